#include "watcher.h"

#include "../log.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

/* Saving a file makes several events: the reload waits until there were none for a
 * while, but not for ever. */
static const int64_t QUIET = 50 * GN_MS, LONGEST = GN_SECOND;
/* How often a directory that is gone is looked for. */
static const int64_t SEARCH = GN_SECOND / 4;

static const uint32_t CHANGES = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM |
                                IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

struct name {
    struct name *next;
    char text[];
};

struct gn_watched {
    struct gn_watched *next;
    int wd;             /* inotify's; -1 while it is gone */
    bool scripts;       /* every *.lua counts */
    struct name *names; /* of files that count */
    char path[];
};

/* ---- what is watched ---- */

static struct gn_watched *find(struct gn_watcher *w, const char *path)
{
    struct gn_watched *d = w->directories;
    while (d && strcmp(d->path, path) != 0)
        d = d->next;
    return d;
}

static bool has_name(const struct gn_watched *d, const char *name)
{
    const struct name *n = d->names;
    while (n && strcmp(n->text, name) != 0)
        n = n->next;
    return n;
}

static void add_name(struct gn_watched *d, const char *name)
{
    size_t size = strlen(name) + 1;
    struct name *n = has_name(d, name) ? NULL : malloc(sizeof *n + size);
    if (!n)
        return;
    memcpy(n->text, name, size);
    n->next = d->names;
    d->names = n;
}

static struct gn_watched *add_directory(struct gn_watcher *w, const char *path)
{
    struct gn_watched *d = find(w, path);
    if (d)
        return d;
    size_t size = strlen(path) + 1;
    d = calloc(1, sizeof *d + size);
    if (!d)
        return NULL;
    memcpy(d->path, path, size);
    d->wd = inotify_add_watch(w->fd, path, CHANGES);
    if (d->wd < 0)
        gn_log(GN_WARN, "'%s' cannot be watched for changes: %s", path,
               strerror(errno));
    d->next = w->directories;
    return w->directories = d;
}

static void add_file(struct gn_watcher *w, const char *path)
{
    char directory[PATH_MAX], name[PATH_MAX];
    if (strlen(path) >= PATH_MAX)
        return;
    strcpy(directory, path);
    strcpy(name, path);
    struct gn_watched *d = add_directory(w, dirname(directory));
    if (d)
        add_name(d, basename(name));
}

void gn_watcher_add_file(struct gn_watcher *w, const char *path)
{
    char target[PATH_MAX];
    if (w->fd < 0)
        return;
    add_file(w, path);
    if (realpath(path, target))
        add_file(w, target);
}

void gn_watcher_add_directory(struct gn_watcher *w, const char *path)
{
    struct gn_watched *d = w->fd < 0 ? NULL : add_directory(w, path);
    if (d)
        d->scripts = true;
}

static void free_directory(struct gn_watched *d)
{
    for (struct name *n = d->names, *next; n; n = next) {
        next = n->next;
        free(n);
    }
    free(d);
}

/* ---- events ---- */

static bool is_script(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && name[0] != '.' && strcmp(name + n - 4, ".lua") == 0;
}

static bool concerns(struct gn_watched *d, const struct inotify_event *e)
{
    if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED))
        d->wd = -1; /* look_for_lost() finds its successor */
    return e->len > 0 && (has_name(d, e->name) || (d->scripts && is_script(e->name)));
}

/* Whether an event means that something has to be loaded again. */
static bool matters(struct gn_watcher *w, const struct inotify_event *e)
{
    bool any = e->mask & IN_Q_OVERFLOW;
    for (struct gn_watched *d = w->directories; d; d = d->next)
        any |= d->wd == e->wd && concerns(d, e);
    return any;
}

/* Reads what has happened. Returns whether it matters. */
static bool read_events(struct gn_watcher *w)
{
    _Alignas(struct inotify_event) char buf[4096];
    bool any = false;
    ssize_t n = read(w->fd, buf, sizeof buf);
    for (char *p = buf; n > 0 && p < buf + n;) {
        const struct inotify_event *e = (const struct inotify_event *)p;
        any |= matters(w, e);
        p += sizeof *e + e->len;
    }
    return any;
}

/* Watches directories again that were deleted or moved and are there once more. Returns
 * whether one is; *lost tells whether others are still gone. */
static bool look_for_lost(struct gn_watcher *w, bool *lost)
{
    bool found = false;
    *lost = false;
    for (struct gn_watched *d = w->directories; d; d = d->next) {
        if (d->wd >= 0)
            continue;
        d->wd = inotify_add_watch(w->fd, d->path, CHANGES);
        found |= d->wd >= 0;
        *lost |= d->wd < 0;
    }
    return found;
}

/* Waits for a change that matters. Returns 0 or a negative errno. */
static int wait_for_change(struct gn_watcher *w)
{
    for (;;) {
        bool lost;
        if (look_for_lost(w, &lost))
            return 0;
        int r = gn_wait_fd(w->fd, EPOLLIN, lost ? gn_after(SEARCH) : GN_NEVER);
        if (r < 0 && r != -ETIMEDOUT)
            return r;
        if (r == 0 && read_events(w))
            return 0;
    }
}

/* Waits until no event has come for a while. */
static int wait_for_quiet(struct gn_watcher *w)
{
    int r = 0;
    for (int64_t last = gn_after(LONGEST); r == 0 && gn_now() < last;) {
        r = gn_wait_fd(w->fd, EPOLLIN, gn_after(QUIET));
        if (r == 0)
            read_events(w);
    }
    return r == -ETIMEDOUT ? 0 : r;
}

static void watch(void *arg)
{
    struct gn_watcher *w = arg;
    while (wait_for_change(w) == 0 && wait_for_quiet(w) == 0)
        gn_generations_reload(w->generations);
    close(w->fd);
    w->fd = -1;
    w->fiber = NULL;
}

/* ---- life ---- */

int gn_watcher_open(struct gn_watcher *w, struct gn_generations *gs)
{
    *w = (struct gn_watcher){.generations = gs, .fd = -1};
    w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->fd < 0)
        return -errno;
    w->fiber = gn_fiber_new(gs->sched, "watch", watch, w);
    if (w->fiber)
        return 0;
    close(w->fd);
    w->fd = -1;
    return -ENOMEM;
}

void gn_watcher_close(struct gn_watcher *w)
{
    if (w->fiber)
        gn_cancel(w->fiber, -ECANCELED);
    while (w->fiber)
        gn_yield();
    for (struct gn_watched *d = w->directories, *next; d; d = next) {
        next = d->next;
        free_directory(d);
    }
    w->directories = NULL;
}
