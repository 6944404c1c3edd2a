#include "supervisor.h"

#include "../libc/real.h"
#include "../log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

/* Who ends sooner has died quickly: the next one is not started at once. */
static const int64_t QUICK = 2 * GN_SECOND;
static const int64_t REST_FIRST = GN_SECOND / 10, REST_LAST = 5 * GN_SECOND;
/* In which a process that was told to must have swapped; what it may need beyond
 * --load-timeout to load, and beyond --drain to end. */
static const int64_t SWAP = 2 * GN_SECOND, LOAD_MORE = 10 * GN_SECOND,
                     END_MORE = 6 * GN_SECOND;
/* How long a connection may wait before it is offered to all, and between offers. */
static const int64_t QUEUED = 5 * GN_MS, OFFERED = 20 * GN_MS;

enum { SPARE = 8 }; /* places there are at least beyond those taken at first */

/* ---- changes ---- */

struct waiter {
    struct gn_list link;
    struct gn_fiber *fiber;
};

static void tell_change(struct gn_supervisor *s)
{
    struct gn_list *l;
    while ((l = gn_list_pop(&s->waiters)))
        gn_wake(gn_container_of(l, struct waiter, link)->fiber);
}

static int wait_change(struct gn_supervisor *s, int64_t deadline)
{
    struct waiter self = {.fiber = gn_fiber_self()};
    gn_list_append(&s->waiters, &self.link);
    int r = gn_park(deadline);
    gn_list_del(&self.link);
    return r;
}

static void set_error(struct gn_supervisor *s, char *error)
{
    free(s->error);
    s->error = error;
}

/* ---- standings ---- */

static enum gn_standing standing(const struct gn_place *p)
{
    return (enum gn_standing)atomic_load(&p->line->standing);
}

static void set_standing(struct gn_place *p, enum gn_standing to)
{
    atomic_store(&p->line->standing, (unsigned)to);
    tell_change(p->supervisor);
}

static bool is_any(const struct gn_supervisor *s, enum gn_standing wanted)
{
    for (unsigned i = 0; i < s->most; i++)
        if (standing(&s->places[i]) == wanted)
            return true;
    return false;
}

static void poke_all(struct gn_supervisor *s)
{
    for (unsigned i = 0; i < s->most; i++)
        if (standing(&s->places[i]) == GN_SERVING)
            eventfd_write(s->pokes[i], GN_POKE_ALL);
}

static void let_serve(struct gn_place *p)
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
    if (o.turn == 0 && standing(p) == GN_STARTING) {
        set_standing(p, GN_LOADED);
        if (p->supervisor->started)
            let_serve(p);
    } else if (is_answer(p, &o) && p->vote == GN_ASKED) {
        p->vote = GN_YES;
        tell_change(p->supervisor);
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
    tell_change(p->supervisor);
}

static void on_swapped(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    struct gn_place *p = arg;
    struct gn_order o;
    (void)c;
    if (read_order(data, n, &o) && is_answer(p, &o))
        p->vote = GN_SWAPPED;
    tell_change(p->supervisor);
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
static void tell_to_stop(struct gn_place *p)
{
    struct gn_supervisor *s = p->supervisor;
    p->deadline = gn_after(s->options.drain + END_MORE);
    p->unused = standing(p) != GN_SERVING;
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
        wait_change(p->supervisor, until);
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
    poke_all(p->supervisor); /* what it was to take */
    if (p->supervisor->started && goes_on(p))
        mourn(p);
}

/* While all load again none is started: it would not know what all have agreed on. */
static void wait_for_reload(struct gn_place *p)
{
    while (p->supervisor->loader && goes_on(p))
        wait_change(p->supervisor, GN_NEVER);
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
            set_error(s, strdup(strerror(-r)));
        if (r < 0)
            continue;
        live_once(p);
        if (!s->started && !s->stopping && !s->error)
            set_error(s, why_not(p));
        bury(p);
    } while (s->started && goes_on(p));
    p->fiber = NULL;
    s->fibers--;
    tell_change(s);
}

static int take(struct gn_place *p)
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

/* ---- the queues of connections ---- */

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
        if (standing(&s->places[i]) == GN_SERVING && gn_real()->poll(&unread, 1, 0) > 0)
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
        poke_all(s);
        gn_sleep_until(gn_after(OFFERED));
    }
    s->queues = NULL;
    s->fibers--;
    tell_change(s);
}

/* ---- reloading ---- */

static void send_order(struct gn_place *p, enum gn_kind kind, const char *text)
{
    struct gn_supervisor *s = p->supervisor;
    size_t n = text ? strlen(text) : 0, most = GN_CHANNEL_MOST / 2;
    struct gn_order o = {
        .turn = s->turn, .number = s->generation + 1, .covers = p->wish};
    char bytes[sizeof o + GN_CHANNEL_MOST / 2];
    n = n < most ? n : most;
    memcpy(bytes, &o, sizeof o);
    memcpy(bytes + sizeof o, text ? text : "", n);
    gn_channel_send(&p->channel, kind, bytes, sizeof o + n);
}

/* Has all that serve load aside. */
static void ask_all(struct gn_supervisor *s)
{
    s->turn++;
    for (unsigned i = 0; i < s->most; i++) {
        struct gn_place *p = &s->places[i];
        p->vote = standing(p) == GN_SERVING ? GN_ASKED : GN_NO_VOTE;
        if (p->vote == GN_ASKED)
            send_order(p, GN_KIND_LOAD, NULL);
    }
}

/* How many have this vote; who ends has none any more. */
static unsigned count_votes(const struct gn_supervisor *s, int vote)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->most; i++)
        n += s->places[i].vote == (unsigned)vote &&
             standing(&s->places[i]) == GN_SERVING;
    return n;
}

/* Waits until none has this vote any more, but not beyond the deadline. */
static void await_votes(struct gn_supervisor *s, int vote, int64_t deadline)
{
    int r = 0;
    while (r == 0 && !s->stopping && count_votes(s, vote) > 0)
        r = wait_change(s, deadline);
}

/* Why the vote went against it, owned; NULL when it did not. */
static char *objection(const struct gn_supervisor *s)
{
    char *text = NULL;
    for (unsigned i = 0; i < s->most && !text; i++)
        if (s->places[i].vote == GN_NO && s->places[i].problem)
            text = strdup(s->places[i].problem);
    for (unsigned i = 0; i < s->most && !text; i++)
        if (s->places[i].vote == GN_ASKED && standing(&s->places[i]) == GN_SERVING &&
            asprintf(&text, "process %u does not answer", i) < 0)
            text = NULL;
    if (!text && count_votes(s, GN_YES) == 0)
        text = strdup(s->stopping ? "the host stops" : "no process serves at present");
    return text;
}

static void tell_verdict(struct gn_supervisor *s, enum gn_kind kind)
{
    for (unsigned i = 0; i < s->most; i++)
        if (s->places[i].vote != GN_NO_VOTE)
            send_order(&s->places[i], kind, s->error);
}

/* Who has agreed and does not follow is replaced by one that does. */
static void await_swaps(struct gn_supervisor *s)
{
    await_votes(s, GN_YES, gn_after(SWAP));
    for (unsigned i = 0; i < s->most; i++)
        if (s->places[i].vote == GN_YES && standing(&s->places[i]) == GN_SERVING) {
            gn_log(GN_ERROR, "process %u (pid %d) does not follow: killed", i,
                   (int)s->places[i].child->pid);
            gn_child_kill(s->places[i].child, SIGKILL);
        }
    await_votes(s, GN_YES, GN_NEVER);
}

static void forget_votes(struct gn_supervisor *s)
{
    for (unsigned i = 0; i < s->most; i++) {
        s->places[i].vote = GN_NO_VOTE;
        free(s->places[i].problem);
        s->places[i].problem = NULL;
    }
}

static void load_once(struct gn_supervisor *s)
{
    int64_t begin = gn_now();
    while ((!s->started || is_any(s, GN_STARTING)) && !s->stopping)
        wait_change(s, GN_NEVER);
    ask_all(s);
    await_votes(s, GN_ASKED, gn_after(s->options.load_timeout + LOAD_MORE));
    set_error(s, objection(s));
    if (s->error) {
        tell_verdict(s, GN_KIND_ABORT);
        gn_log(GN_ERROR, "not reloaded, generation %u serves on: %s", s->generation,
               s->error);
    } else {
        tell_verdict(s, GN_KIND_COMMIT);
        await_swaps(s);
        s->generation++;
        gn_log(GN_INFO, "generation %u serves, loaded in %d ms", s->generation,
               (int)((gn_now() - begin) / GN_MS));
    }
    forget_votes(s);
}

static void tell_load(const struct gn_supervisor *s, bool done)
{
    if (s->options.on_load)
        s->options.on_load(s, done, s->options.arg);
}

/* Loads until nobody has asked since the last load began. */
static void load_as_asked(void *arg)
{
    struct gn_supervisor *s = arg;
    tell_load(s, false);
    while (s->answered != s->asked) {
        unsigned covers = s->asked;
        load_once(s);
        s->answered = covers;
        tell_change(s);
    }
    tell_load(s, true);
    s->loader = NULL;
    s->fibers--;
    tell_change(s);
}

unsigned gn_supervisor_reload(struct gn_supervisor *s)
{
    s->asked++;
    if (s->loader)
        return s->asked;
    s->loader = s->stopping ? NULL : gn_fiber_new(s->sched, "reload", load_as_asked, s);
    if (s->loader) {
        s->fibers++;
    } else {
        set_error(s, strdup(s->stopping ? "the host stops" : "out of memory"));
        s->answered = s->asked;
    }
    return s->asked;
}

int gn_supervisor_await(struct gn_supervisor *s, unsigned ticket)
{
    int r = 0;
    while (r == 0 && (int)(s->answered - ticket) < 0)
        r = wait_change(s, GN_NEVER);
    if (r < 0)
        return r;
    return s->error ? -EBADMSG : (int)s->generation;
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
    if (take(&s->places[s->count]) == 0)
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
    tell_to_stop(&s->places[s->count]);
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
    tell_change(s);
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
                words[standing(p)]);
        if (standing(p) != GN_ABSENT)
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
        if (standing(&s->places[i]) != GN_LOADED)
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
        wait_change(s, GN_NEVER);
    }
    return s->stopping ? -1 : 0;
}

int gn_supervisor_start(struct gn_supervisor *s, const struct gn_supervisor_options *o)
{
    int r = prepare(s, o);
    for (unsigned i = 0; r == 0 && i < s->count; i++)
        r = take(&s->places[i]);
    if (r < 0) {
        set_error(s, strdup(strerror(-r)));
        return -1;
    }
    if (await_first(s) < 0)
        return -1;
    s->started = true;
    s->generation = 1;
    for (unsigned i = 0; i < s->count; i++)
        let_serve(&s->places[i]);
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
        if (s->places[i].fiber && standing(&s->places[i]) != GN_ENDING)
            tell_to_stop(&s->places[i]);
    if (s->queues)
        gn_cancel(s->queues, -ECANCELED);
    tell_change(s);
    while (s->fibers > 0)
        wait_change(s, GN_NEVER);
    term(s);
    return s->unsound;
}
