#include "control.h"

#include "../log.h"
#include "attach.h"

#include <errno.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE = 64 };
static const int64_t PATIENCE = 5 * GN_SECOND; /* with a client that says nothing */

/* ---- what it can be asked ---- */

static void tell_generation(FILE *out, const struct gn_app *a, const char *how)
{
    const unsigned *count = a->vm.count;
    fprintf(out,
            "generation %u %s, loaded %lld s ago: %llu requests; running: %u calls, "
            "%u tasks, %u in the background; Lua memory %d KB\n",
            a->vm.number, how, (long long)((gn_now() - a->born) / GN_SECOND),
            (unsigned long long)a->requests, count[GN_CALL_HOST], count[GN_CALL_TASK],
            count[GN_CALL_BACKGROUND], lua_gc(a->vm.L, LUA_GCCOUNT));
}

static bool status(void *arg, FILE *out)
{
    const struct gn_control *c = arg;
    const struct gn_generations *gs = c->generations;
    fprintf(out, "pid %d, up %lld s, %s\n", (int)getpid(),
            (long long)((gn_now() - c->born) / GN_SECOND), c->urls);
    tell_generation(out, gs->current, "serves");
    if (gs->retiring)
        tell_generation(out, gs->retiring, "retires");
    if (gs->error)
        fprintf(out, "the latest load failed: %s\n", gs->error);
    if (c->workers.tell)
        c->workers.tell(c->workers.arg, out);
    return true;
}

static bool reload(void *arg, FILE *out)
{
    const struct gn_control *c = arg;
    struct gn_generations *gs = c->generations;
    int r = gn_generations_await(gs, gn_generations_reload(gs), NULL);
    if (r > 0)
        fprintf(out, "generation %d serves\n", r);
    else
        fprintf(out, "%s\n", r == -EBADMSG ? gs->error : strerror(-r));
    return r > 0;
}

static const struct gn_control_verb verbs[] = {
    {"status", status}, {"reload", reload}, {NULL, NULL}};

static const struct gn_control_verb *find_verb(const struct gn_control *c,
                                               const char *name)
{
    for (const struct gn_control_verb *v = c->verbs; v->name; v++)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

bool gn_control_run(struct gn_control *c, const char *verb, FILE *out)
{
    const struct gn_control_verb *v = find_verb(c, verb);
    if (!v)
        fprintf(out, "there is no verb '%s'\n", verb);
    return v && v->fn(c->arg, out);
}

/* ---- the server ---- */

struct client {
    struct gn_control *control;
    int fd;
};

static bool is_ours(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           (peer.uid == geteuid() || peer.uid == 0);
}

/* Reads up to the first newline, and nothing behind it. Returns false when none comes.
 */
static bool read_line(int fd, char *line, size_t room)
{
    size_t n = 0;
    int64_t deadline = gn_after(PATIENCE);
    while (n + 1 < room && gn_wait_fd(fd, EPOLLIN, deadline) == 0) {
        if (recv(fd, line + n, 1, MSG_DONTWAIT) <= 0)
            return false;
        if (line[n] == '\n') {
            line[n] = '\0';
            return true;
        }
        n++;
    }
    return false;
}

static void send_all(int fd, const char *data, size_t n)
{
    for (ssize_t sent; n > 0; data += sent, n -= (size_t)sent)
        if ((sent = send(fd, data, n, MSG_NOSIGNAL)) <= 0)
            return;
}

/* The verb's text is collected first: the line before it tells how it went. */
static void answer(struct client *c, const char *line)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return;
    bool ok = gn_control_run(c->control, line, out);
    fclose(out);
    send_all(c->fd, ok ? "ok\n" : "failed\n", ok ? 3 : 7);
    send_all(c->fd, text, size);
    free(text);
}

static void obey(struct client *c, const char *line)
{
    if (strncmp(line, "attach", 6) == 0)
        gn_attach_serve(c->control, c->fd, line + 6 + (line[6] == ' '));
    else
        answer(c, line);
}

static void serve_client(void *arg)
{
    struct client *c = arg;
    char line[LINE];
    if (is_ours(c->fd) && read_line(c->fd, line, sizeof line))
        obey(c, line);
    close(c->fd);
    c->control->clients--;
    free(c);
}

static int start_client(struct gn_control *control, int fd)
{
    struct client *c = malloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = (struct client){control, fd};
    if (!gn_fiber_new(control->sched, "control", serve_client, c)) {
        free(c);
        return -ENOMEM;
    }
    control->clients++;
    return 0;
}

static void accept_clients(void *arg)
{
    struct gn_control *c = arg;
    int fd;
    while ((fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
        if (start_client(c, fd) < 0)
            close(fd);
    c->clients--; /* it counts as one */
}

/* ---- life ---- */

/* A directory that others could write to would let them answer in our place. */
static int check_directory(const char *path)
{
    struct stat st;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (lstat(path, &st) < 0)
        return -errno;
    bool ours = S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077);
    return ours ? 0 : -EPERM;
}

int gn_control_directory(char *out, size_t room)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (runtime && *runtime)
        snprintf(out, room, "%s/genet", runtime);
    else
        snprintf(out, room, "/tmp/genet-%u", (unsigned)geteuid());
    return check_directory(out);
}

static int name_address(struct sockaddr_un *address, const char *path)
{
    char directory[sizeof address->sun_path], whole[2 * sizeof directory];
    int r = path ? 0 : gn_control_directory(directory, sizeof directory);
    if (r < 0)
        return r;
    if (!path) {
        snprintf(whole, sizeof whole, "%s/%d.sock", directory, (int)getpid());
        path = whole;
    }
    if (strlen(path) >= sizeof address->sun_path)
        return -ENAMETOOLONG;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    strcpy(address->sun_path, path);
    return 0;
}

static bool is_alive(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0;
    close(fd);
    return alive;
}

static int listen_at(struct gn_control *c)
{
    const struct sockaddr *address = (const struct sockaddr *)&c->address;
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return -errno;
    int r = bind(c->fd, address, sizeof c->address);
    if (r < 0 && errno == EADDRINUSE && !is_alive(&c->address)) {
        unlink(c->address.sun_path);
        r = bind(c->fd, address, sizeof c->address);
    }
    if (r < 0 || chmod(c->address.sun_path, 0600) < 0 || listen(c->fd, 16) < 0)
        return -errno;
    return 0;
}

int gn_control_open_with(struct gn_control *c, struct gn_sched *sched,
                         const struct gn_control_verb *list, void *arg,
                         const char *path, char *error, size_t room)
{
    *c = (struct gn_control){
        .sched = sched, .verbs = list, .arg = arg, .born = gn_now(), .fd = -1};
    gn_list_init(&c->sessions);
    int r = name_address(&c->address, path);
    if (r == 0)
        r = listen_at(c);
    if (r == 0 && !gn_fiber_new(sched, "control", accept_clients, c))
        r = -ENOMEM;
    if (r == 0) {
        c->clients = 1;
        return 0;
    }
    snprintf(error, room, "control socket '%s': %s", path ? path : c->address.sun_path,
             strerror(-r));
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    return -1;
}

int gn_control_open(struct gn_control *c, struct gn_generations *gs, const char *urls,
                    const char *path, char *error, size_t room)
{
    int r = gn_control_open_with(c, gs->sched, verbs, c, path, error, room);
    c->generations = gs;
    c->urls = urls;
    return r;
}

unsigned gn_control_close(struct gn_control *c)
{
    int64_t deadline = gn_after(2 * PATIENCE);
    if (c->fd < 0)
        return 0;
    unlink(c->address.sun_path);
    close(c->fd);
    c->fd = -1;
    gn_attach_end(c);
    while (c->clients > 0 && gn_now() < deadline)
        gn_sleep_until(gn_after(GN_MS));
    return c->clients;
}
