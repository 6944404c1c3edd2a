#include "supervisor.h"

#include "../libc/real.h"
#include "../log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

/* How long a connection may wait before it is offered to all, and between offers. */
static const int64_t QUEUED = 5 * GN_MS, OFFERED = 20 * GN_MS;

enum { SPARE = 8 }; /* places there are at least beyond those taken at first */

/* ---- changes ---- */

struct waiter {
    struct gn_list link;
    struct gn_fiber *fiber;
};

void gn_supervisor_tell_change(struct gn_supervisor *s)
{
    struct gn_list *l;
    while ((l = gn_list_pop(&s->waiters)))
        gn_wake(gn_container_of(l, struct waiter, link)->fiber);
}

int gn_supervisor_wait_change(struct gn_supervisor *s, int64_t deadline)
{
    struct waiter self = {.fiber = gn_fiber_self()};
    gn_list_append(&s->waiters, &self.link);
    int r = gn_park(deadline);
    gn_list_del(&self.link);
    return r;
}

void gn_supervisor_set_error(struct gn_supervisor *s, char *error)
{
    free(s->error);
    s->error = error;
}

/* ---- the queues of connections ---- */

void gn_supervisor_poke_all(struct gn_supervisor *s)
{
    for (unsigned i = 0; i < s->most; i++)
        if (gn_place_standing(&s->places[i]) == GN_SERVING)
            eventfd_write(s->pokes[i], GN_POKE_ALL);
}

static int await_connection(struct gn_supervisor *s)
{
    struct gn_wait waits[64] = {{.fd = -1}};
    unsigned n = s->options.listening_count;
    for (unsigned i = 0; i < n; i++)
        waits[i] =
            (struct gn_wait){.fd = s->options.listening[i].fd, .events = EPOLLIN};
    return gn_wait_any(waits, n, GN_NEVER);
}

static bool is_any_queued(const struct gn_supervisor *s)
{
    struct pollfd polls[64];
    unsigned n = s->options.listening_count;
    for (unsigned i = 0; i < n; i++)
        polls[i] = (struct pollfd){.fd = s->options.listening[i].fd, .events = POLLIN};
    return gn_real()->poll(polls, n, 0) > 0;
}

/* Who has not read what it was told does not run: nothing is to be left to it. */
static void note_deaf(struct gn_supervisor *s)
{
    for (unsigned i = 0; i < s->most; i++) {
        struct pollfd unread = {.fd = s->pokes[i], .events = POLLIN};
        if (gn_place_standing(&s->places[i]) == GN_SERVING &&
            gn_real()->poll(&unread, 1, 0) > 0)
            atomic_store(&s->places[i].line->deaf, 1);
    }
}

/* A connection that waits for long is one that nobody was woken for. */
static void watch_queues(void *arg)
{
    struct gn_supervisor *s = arg;
    while (await_connection(s) > 0 && gn_sleep_until(gn_after(QUEUED)) == 0) {
        if (!is_any_queued(s))
            continue;
        note_deaf(s);
        gn_supervisor_poke_all(s);
        gn_sleep_until(gn_after(OFFERED));
    }
    s->queues = NULL;
    s->fibers--;
    gn_supervisor_tell_change(s);
}

/* ---- more and fewer ---- */

static void tell_count(struct gn_supervisor *s)
{
    for (unsigned i = 0; i < s->most; i++)
        if (s->places[i].child)
            gn_channel_send(&s->places[i].channel, GN_KIND_COUNT, &s->count,
                            sizeof s->count);
}

static void add_one(struct gn_supervisor *s)
{
    if (s->count == s->most || s->places[s->count].fiber) {
        gn_log(GN_WARN,
               s->count == s->most ? "%u processes are the most that this host can have"
                                   : "process %u has not ended yet: none is added",
               s->count);
        return;
    }
    if (gn_place_take(&s->places[s->count]) == 0)
        s->count++;
}

static void end_one(struct gn_supervisor *s)
{
    if (s->count == 1) {
        gn_log(GN_WARN, "the last process stays");
        return;
    }
    s->count--;
    s->places[s->count].wanted = false;
    gn_place_tell_to_stop(&s->places[s->count]);
}

void gn_supervisor_scale(struct gn_supervisor *s, int by)
{
    unsigned before = s->count;
    if (s->stopping)
        return;
    for (; by > 0; by--)
        add_one(s);
    for (; by < 0; by++)
        end_one(s);
    if (s->count != before)
        gn_log(GN_INFO, "%u processes from now on", s->count);
    tell_count(s);
    gn_supervisor_tell_change(s);
}

void gn_supervisor_reopen(struct gn_supervisor *s)
{
    for (unsigned i = 0; i < s->most; i++)
        if (s->places[i].child)
            gn_channel_send(&s->places[i].channel, GN_KIND_REOPEN, NULL, 0);
}

/* ---- telling ---- */

void gn_supervisor_tell(struct gn_supervisor *s, FILE *out)
{
    static const char *const words[] = {"waits to be started", "loads", "has loaded",
                                        "serves", "ends"};
    for (unsigned i = 0; i < s->most; i++) {
        struct gn_place *p = &s->places[i];
        struct gn_line *l = p->line;
        if (!p->fiber)
            continue;
        fprintf(out, "process %u: pid %d, %s", i, atomic_load(&l->pid),
                words[gn_place_standing(p)]);
        if (gn_place_standing(p) != GN_ABSENT)
            fprintf(out,
                    " generation %u, up %lld s, %u connections, %llu requests, "
                    "%u restarts",
                    atomic_load(&l->generation),
                    (long long)((gn_now() - atomic_load(&l->born)) / GN_SECOND),
                    atomic_load(&l->connections),
                    (unsigned long long)atomic_load(&l->requests),
                    atomic_load(&l->starts) - 1);
        fputs(atomic_load(&l->deaf) ? ", does not respond\n" : "\n", out);
    }
}

/* ---- life ---- */

/* The words this program was started with, for its likes. */
static int read_arguments(struct gn_supervisor *s)
{
    size_t room = 0, n = 0;
    char *word = NULL, **list;
    FILE *f = fopen("/proc/self/cmdline", "re");
    while (f && getdelim(&word, &room, '\0', f) > 0) {
        list = realloc(s->argv, (n + 2) * sizeof *list);
        if (!list)
            break;
        s->argv = list;
        list[n++] = word;
        list[n] = word = NULL;
        room = 0;
    }
    free(word);
    if (f)
        fclose(f);
    return n > 0 ? 0 : -EIO;
}

static int open_pokes(struct gn_supervisor *s)
{
    s->pokes = malloc(s->most * sizeof *s->pokes);
    for (unsigned i = 0; s->pokes && i < s->most; i++)
        s->pokes[i] = -1;
    for (unsigned i = 0; s->pokes && i < s->most; i++)
        if ((s->pokes[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            return -errno;
    return s->pokes ? 0 : -ENOMEM;
}

static int open_places(struct gn_supervisor *s)
{
    s->places = calloc(s->most, sizeof *s->places);
    if (!s->places)
        return -ENOMEM;
    for (unsigned i = 0; i < s->most; i++) {
        s->places[i] = (struct gn_place){.supervisor = s,
                                         .index = i,
                                         .line = &s->board->lines[i],
                                         .channel = {.watch.fd = -1}};
        gn_list_init(&s->places[i].channel.queue);
    }
    return 0;
}

static int prepare(struct gn_supervisor *s, const struct gn_supervisor_options *o)
{
    unsigned spare = o->processes < SPARE ? SPARE : o->processes;
    *s = (struct gn_supervisor){.sched = gn_sched_self(),
                                .options = *o,
                                .count = o->processes,
                                .most = o->processes + spare,
                                .board_fd = -1,
                                .born = gn_now()};
    gn_list_init(&s->waiters);
    if (s->most > GN_PROCESSES)
        s->most = GN_PROCESSES;
    int r = gn_board_new(&s->board, &s->board_fd, s->most, o->beside);
    if (r == 0 && o->shared)
        snprintf(s->board->shared, sizeof s->board->shared, "%s", o->shared);
    if (r == 0)
        r = read_arguments(s);
    if (r == 0)
        r = open_places(s);
    return r < 0 ? r : open_pokes(s);
}

static bool all_have_loaded(const struct gn_supervisor *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (gn_place_standing(&s->places[i]) != GN_LOADED)
            return false;
    return true;
}

/* Waits until all have loaded, or one has ended. */
static int await_first(struct gn_supervisor *s)
{
    while (!s->stopping && !all_have_loaded(s)) {
        for (unsigned i = 0; i < s->count; i++)
            if (!s->places[i].fiber)
                return -1;
        gn_supervisor_wait_change(s, GN_NEVER);
    }
    return s->stopping ? -1 : 0;
}

int gn_supervisor_start(struct gn_supervisor *s, const struct gn_supervisor_options *o)
{
    int r = prepare(s, o);
    for (unsigned i = 0; r == 0 && i < s->count; i++)
        r = gn_place_take(&s->places[i]);
    if (r < 0) {
        gn_supervisor_set_error(s, strdup(strerror(-r)));
        return -1;
    }
    if (await_first(s) < 0)
        return -1;
    s->started = true;
    s->generation = 1;
    for (unsigned i = 0; i < s->count; i++)
        gn_place_let_serve(&s->places[i]);
    s->queues = gn_fiber_new(s->sched, "queues", watch_queues, s);
    s->fibers += s->queues != NULL;
    return 0;
}

static void close_descriptors(struct gn_supervisor *s)
{
    for (unsigned i = 0; s->pokes && i < s->most; i++)
        if (s->pokes[i] >= 0)
            close(s->pokes[i]);
    if (s->board_fd >= 0)
        close(s->board_fd);
}

/* But for `error`, which its caller may want to tell. */
static void term(struct gn_supervisor *s)
{
    close_descriptors(s);
    gn_board_free(s->board);
    free(s->pokes);
    free(s->places);
    for (char **word = s->argv; word && *word; word++)
        free(*word);
    free(s->argv);
}

unsigned gn_supervisor_stop(struct gn_supervisor *s)
{
    s->stopping = true;
    if (s->board)
        atomic_store(&s->board->sealed, true);
    for (unsigned i = 0; s->places && i < s->most; i++)
        if (s->places[i].fiber && gn_place_standing(&s->places[i]) != GN_ENDING)
            gn_place_tell_to_stop(&s->places[i]);
    if (s->queues)
        gn_cancel(s->queues, -ECANCELED);
    gn_supervisor_tell_change(s);
    while (s->fibers > 0)
        gn_supervisor_wait_change(s, GN_NEVER);
    term(s);
    return s->unsound;
}
