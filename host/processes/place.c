#include "supervisor.h"

#include "../log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Who ends sooner has died quickly: the next one is not started at once. */
static const int64_t QUICK = 2 * GN_SECOND;
static const int64_t REST_FIRST = GN_SECOND / 10, REST_LAST = 5 * GN_SECOND;
/* What a process may need beyond --drain to end. */
static const int64_t END_MORE = 6 * GN_SECOND;

/* ---- standings ---- */

static void set_standing(struct gn_place *p, enum gn_standing to)
{
    atomic_store(&p->line->standing, (unsigned)to);
    gn_supervisor_tell_change(p->supervisor);
}

void gn_place_let_serve(struct gn_place *p)
{
    set_standing(p, GN_SERVING);
    gn_channel_send(&p->channel, GN_KIND_SERVE, NULL, 0);
}

/* ---- what processes say ---- */

static bool read_order(const char *data, size_t n, struct gn_order *o)
{
    if (n < sizeof *o)
        return false;
    memcpy(o, data, sizeof *o);
    return true;
}

/* Whether a process answers the latest order to load. */
static bool is_answer(const struct gn_place *p, const struct gn_order *o)
{
    return p->vote != GN_NO_VOTE && o->turn == p->supervisor->turn;
}

static void on_loaded(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    struct gn_place *p = arg;
    struct gn_order o;
    (void)c;
    if (!read_order(data, n, &o))
        return;
    if (o.turn == 0 && gn_place_standing(p) == GN_STARTING) {
        set_standing(p, GN_LOADED);
        if (p->supervisor->started)
            gn_place_let_serve(p);
    } else if (is_answer(p, &o) && p->vote == GN_ASKED) {
        p->vote = GN_YES;
        gn_supervisor_tell_change(p->supervisor);
    }
}

static void on_failed(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    struct gn_place *p = arg;
    struct gn_order o;
    (void)c;
    if (!read_order(data, n, &o))
        return;
    if (o.turn == 0 || is_answer(p, &o)) {
        free(p->problem);
        p->problem = strndup(data + sizeof o, n - sizeof o);
    }
    if (is_answer(p, &o))
        p->vote = GN_NO;
    gn_supervisor_tell_change(p->supervisor);
}

static void on_swapped(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    struct gn_place *p = arg;
    struct gn_order o;
    (void)c;
    if (read_order(data, n, &o) && is_answer(p, &o))
        p->vote = GN_SWAPPED;
    gn_supervisor_tell_change(p->supervisor);
}

static void on_want(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    struct gn_place *p = arg;
    (void)c;
    if (n != sizeof p->wish)
        return;
    memcpy(&p->wish, data, n);
    gn_supervisor_reload(p->supervisor);
}

static int listen_to(struct gn_place *p, int fd)
{
    char name[24];
    snprintf(name, sizeof name, "process %u", p->index);
    int r = gn_channel_open(&p->channel, fd);
    gn_channel_on(&p->channel, GN_KIND_LOADED, on_loaded, p);
    gn_channel_on(&p->channel, GN_KIND_FAILED, on_failed, p);
    gn_channel_on(&p->channel, GN_KIND_SWAPPED, on_swapped, p);
    gn_channel_on(&p->channel, GN_KIND_WANT, on_want, p);
    if (r == 0)
        gn_topic_link_open(&p->topics, &p->channel, p->supervisor->options.bus, name);
    return r;
}

/* ---- starting a process ---- */

static char *describe(const struct gn_place *p)
{
    const struct gn_supervisor *s = p->supervisor;
    const struct gn_supervisor_options *o = &s->options;
    char secure[64] = "", control[128] = "", *text;
    for (unsigned i = 0; i < o->listening_count && i + 1 < sizeof secure; i++)
        secure[i] = o->listening[i].secure ? 's' : 'p';
    if (o->control)
        snprintf(control, sizeof control, "%s.%u", o->control, p->index);
    int n = asprintf(&text,
                     GN_WORKER_VARIABLE
                     "=parent=%d,slot=%u,count=%u,generation=%u,pokes=%u,listen=%s,"
                     "control=%s",
                     (int)getpid(), p->index, s->count,
                     s->generation ? s->generation : 1, s->most, secure, control);
    return n < 0 ? NULL : text;
}

/* The environment with the variable; the array is owned, its strings are not. */
static char **environment_with(char *variable)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **list = malloc((n + 2) * sizeof *list);
    if (!list)
        return NULL;
    memcpy(list, environ, n * sizeof *list);
    list[n] = variable;
    list[n + 1] = NULL;
    return list;
}

/* What it inherits, in the order that worker.h tells; owned. */
static int *descriptors_for(const struct gn_supervisor *s, int channel, unsigned *count)
{
    const struct gn_supervisor_options *o = &s->options;
    int *list = malloc((2 + s->most + o->listening_count) * sizeof *list);
    unsigned n = 0;
    if (!list)
        return NULL;
    list[n++] = channel;
    list[n++] = s->board_fd;
    for (unsigned i = 0; i < s->most; i++)
        list[n++] = s->pokes[i];
    for (unsigned i = 0; i < o->listening_count; i++)
        list[n++] = o->listening[i].fd;
    *count = n;
    return list;
}

static int spawn_with(struct gn_place *p, int channel)
{
    struct gn_spawn how = {
        .file = "/proc/self/exe", .argv = p->supervisor->argv, .fd = {-1, -1, -1}};
    const char *culprit;
    int r = -ENOMEM;
    char *variable = describe(p);
    char **environment = variable ? environment_with(variable) : NULL;
    int *more = descriptors_for(p->supervisor, channel, &how.more_count);
    how.envp = environment;
    how.more = more;
    if (environment && more)
        r = gn_child_start(&how, &p->child, &culprit);
    free(variable);
    free(environment);
    free(more);
    return r;
}

/* The line of who was here before says nothing of its successor. */
static void clear_line(struct gn_place *p, pid_t pid)
{
    struct gn_line *l = p->line;
    atomic_store(&l->generation, 0);
    atomic_store(&l->connections, 0);
    atomic_store(&l->requests, 0);
    atomic_store(&l->taken, 0);
    atomic_store(&l->before, 0);
    atomic_store(&l->deaf, 0);
    atomic_store(&l->pid, (int)pid);
}

static int start(struct gn_place *p)
{
    int fd[2];
    int r = gn_channel_pair(fd);
    if (r < 0)
        return r;
    clear_line(p, 0);
    p->wish = 0;
    r = listen_to(p, fd[0]);
    if (r == 0)
        r = spawn_with(p, fd[1]);
    close(fd[1]);
    if (r < 0) {
        gn_topic_link_close(&p->topics);
        gn_channel_close(&p->channel);
        return r;
    }
    atomic_store(&p->line->pid, (int)p->child->pid);
    atomic_store(&p->line->born, gn_now());
    atomic_fetch_add(&p->line->starts, 1);
    set_standing(p, GN_STARTING);
    return 0;
}

/* ---- a place and its processes ---- */

/* Has its process end in order. */
void gn_place_tell_to_stop(struct gn_place *p)
{
    struct gn_supervisor *s = p->supervisor;
    p->deadline = gn_after(s->options.drain + END_MORE);
    p->unused = gn_place_standing(p) != GN_SERVING;
    if (p->child) {
        set_standing(p, GN_ENDING);
        gn_channel_send(&p->channel, GN_KIND_STOP, NULL, 0);
    }
    if (p->fiber)
        gn_wake(p->fiber);
}

/* Waits until it has ended; kills it at its deadline. */
static void see_through(struct gn_place *p)
{
    bool killed = false;
    while (!p->child->ended) {
        int r = gn_child_wait(p->child, killed ? GN_NEVER : p->deadline);
        if (r == -ETIMEDOUT && !killed) {
            gn_log(GN_ERROR, "process %u (pid %d) does not end: killed", p->index,
                   (int)p->child->pid);
            gn_child_kill(p->child, SIGKILL);
            killed = true;
        }
    }
}

static void say_how(const struct gn_place *p, char *out, size_t room)
{
    int status = p->child->status;
    if (p->problem)
        snprintf(out, room, "cannot start: %s", p->problem);
    else if (WIFSIGNALED(status))
        snprintf(out, room, "was killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(out, room, "ended with status %d", WEXITSTATUS(status));
}

/* How long to wait before the next one is started: ever longer while they die quickly
 * without having answered anything. */
static int64_t rest_after(struct gn_place *p)
{
    bool quick = gn_now() - atomic_load(&p->line->born) < QUICK || p->problem;
    bool useless = quick && atomic_load(&p->line->requests) == 0;
    p->failures = useless ? p->failures + 1 : 0;
    if (!useless)
        return quick ? REST_FIRST : 0;
    int64_t rest = REST_FIRST << (p->failures > 7 ? 6 : p->failures - 1);
    return rest < REST_LAST ? rest : REST_LAST;
}

static bool goes_on(const struct gn_place *p)
{
    return p->wanted && !p->supervisor->stopping;
}

/* Says why its process is gone, and rests. */
static void mourn(struct gn_place *p)
{
    char how[2048], after[64] = "at once";
    say_how(p, how, sizeof how);
    int64_t rest = rest_after(p);
    if (rest > 0)
        snprintf(after, sizeof after, "in %g s", (double)rest / GN_SECOND);
    gn_log(GN_ERROR, "process %u (pid %d) %s; the next one starts %s", p->index,
           (int)p->child->pid, how, after);
    for (int64_t until = gn_after(rest); goes_on(p) && gn_now() < until;)
        gn_supervisor_wait_change(p->supervisor, until);
}

/* Frees what is left of its process. */
static void bury(struct gn_place *p)
{
    gn_topic_link_close(&p->topics);
    gn_channel_close(&p->channel);
    gn_child_drop(p->child);
    p->child = NULL;
    free(p->problem);
    p->problem = NULL;
}

/* One that is told to stop while it loads says that it could not start. */
static bool has_ended_well(const struct gn_place *p)
{
    int status = p->child->status;
    return status == 0 || (p->unused && WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void live_once(struct gn_place *p)
{
    see_through(p);
    p->supervisor->unsound += p->supervisor->stopping && !has_ended_well(p);
    p->vote = GN_NO_VOTE;
    atomic_store(&p->line->pid, 0);
    set_standing(p, GN_ABSENT);
    if (p->supervisor->options.on_end)
        p->supervisor->options.on_end(p->supervisor, p->index,
                                      p->supervisor->options.arg);
    gn_supervisor_poke_all(p->supervisor); /* what it was to take */
    if (p->supervisor->started && goes_on(p))
        mourn(p);
}

/* While all load again none is started: it would not know what all have agreed on. */
static void wait_for_reload(struct gn_place *p)
{
    while (p->supervisor->loader && goes_on(p))
        gn_supervisor_wait_change(p->supervisor, GN_NEVER);
}

/* Why its first process has not come to serve; owned. */
static char *why_not(const struct gn_place *p)
{
    char how[128], *text;
    if (p->problem)
        return strdup(p->problem);
    say_how(p, how, sizeof how);
    return asprintf(&text, "process %u %s", p->index, how) < 0 ? NULL : text;
}

static void keep_taken(void *arg)
{
    struct gn_place *p = arg;
    struct gn_supervisor *s = p->supervisor;
    int r = 0;
    do {
        wait_for_reload(p);
        if (!goes_on(p))
            break;
        r = start(p);
        if (r < 0)
            gn_log(GN_ERROR, "cannot start process %u: %s", p->index, strerror(-r));
        if (r < 0 && s->started)
            gn_sleep_until(gn_after(GN_SECOND));
        else if (r < 0)
            gn_supervisor_set_error(s, strdup(strerror(-r)));
        if (r < 0)
            continue;
        live_once(p);
        if (!s->started && !s->stopping && !s->error)
            gn_supervisor_set_error(s, why_not(p));
        bury(p);
    } while (s->started && goes_on(p));
    p->fiber = NULL;
    s->fibers--;
    gn_supervisor_tell_change(s);
}

int gn_place_take(struct gn_place *p)
{
    p->wanted = true;
    p->deadline = GN_NEVER;
    p->failures = 0;
    p->fiber = gn_fiber_new(p->supervisor->sched, "process", keep_taken, p);
    if (!p->fiber)
        return -ENOMEM;
    p->supervisor->fibers++;
    return 0;
}
