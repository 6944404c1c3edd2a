/* A process that serves: alone, or one of several. */
#include "server.h"

#include "../libc/faults.h"
#include "../log.h"
#include "../site/reload.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

/* ---- of what its parts are to be ---- */

static struct gn_wire_options wire_options(const struct genet *g)
{
    const struct genet_options *o = &g->options;
    return (struct gn_wire_options){
        .limits = {.head = o->max_head,
                   .target = o->max_head / 2,
                   .headers = GN_HEADERS},
        .head_timeout = (int64_t)(o->head_timeout * GN_SECOND),
        .keep_alive = (int64_t)(o->keep_alive * GN_SECOND),
        .max_per_peer = (unsigned)o->max_per_ip,
        .gauge = g->worker ? &g->worker->line->connections : NULL,
    };
}

static struct gn_hub_options hub_options(struct genet *g)
{
    return (struct gn_hub_options){
        .queue = g->options.ws_queue,
        .ping = (int64_t)(g->options.ws_ping * GN_SECOND),
        .bus = &g->bus,
    };
}

static struct gn_lookout_options lookout_options(struct genet *g)
{
    return (struct gn_lookout_options){.access_log = g->access_log,
                                       .log_format = g->log_format,
                                       .request_ids = g->options.request_ids,
                                       .area = &g->stats};
}

/* ---- generations ---- */

static void on_load(struct gn_generations *gs, bool done)
{
    gn_notice_load(gs->options.arg, done, gs->last, gs->error);
}

static void on_swap(struct gn_generations *gs, void *arg)
{
    struct genet *g = arg;
    (void)gs;
    if (g->options.threads)
        gn_crew_follow(&g->crew);
}

static void open_generations(struct genet *g)
{
    const struct genet_options *o = &g->options;
    g->role = (struct gn_role){GN_MODE_THREADED, 0, (unsigned)o->threads};
    bool watch = o->reload && (!g->worker || g->worker->index == 0);
    const struct gn_lookout_options lookout = lookout_options(g);
    gn_lookout_init(&g->lookout, &lookout,
                    &(struct gn_telemetry){.worker = g->worker ? g->worker->index : 0,
                                           .wires = &g->own,
                                           .hub = &g->hub,
                                           .generations = &g->generations,
                                           .born = gn_now()});
    gn_generations_init(&g->generations, g->sched,
                        &(struct gn_generations_options){
                            .path = g->path,
                            .config = g->config,
                            .drain = (int64_t)(o->drain * GN_SECOND),
                            .load_timeout = (int64_t)(o->load_timeout * GN_SECOND),
                            .prepare = gn_generations_register,
                            .shared = &g->shared,
                            .hub = &g->hub,
                            .patch = o->patch,
                            .limits = {.slice = o->slice, .cpu = o->cpu_limit},
                            .telemetry = &g->lookout.telemetry,
                            .debug = o->debug,
                            .on_load = on_load,
                            .watcher = watch ? &g->watcher : NULL,
                            .swapped = on_swap,
                            .arg = g,
                            .record = o->threads,
                            .role = g->worker    ? &g->follower.role
                                    : o->threads ? &g->role
                                                 : NULL,
                            .first = g->worker ? g->worker->generation : 1,
                            .peers = g->worker ? &g->follower.peers : NULL,
                            .requests = g->worker ? &g->worker->line->requests : NULL,
                        });
    int r = watch ? gn_watcher_open(&g->watcher, &g->generations) : 0;
    if (r < 0)
        gn_log(GN_WARN, "changes of scripts cannot be watched for: %s", strerror(-r));
}

/* ---- workers, as consoles see them ---- */

static void tell_threads(void *arg, FILE *out)
{
    struct genet *g = arg;
    fprintf(out, "0  the leader, which serves nothing, pid %d, generation %u\n",
            (int)getpid(), atomic_load(&g->crew.latest));
    gn_crew_tell(&g->crew, out);
}

static struct gn_generations *find_thread(void *arg, unsigned number)
{
    struct genet *g = arg;
    struct gn_hand *h = gn_crew_hand(&g->crew, number);
    return h ? &h->generations : NULL;
}

static void tell_processes(void *arg, FILE *out)
{
    struct genet *g = arg;
    gn_board_tell(g->worker->board, out);
}

static struct gn_control_workers workers_of(struct genet *g)
{
    if (g->worker)
        return (struct gn_control_workers){
            .self = g->worker->index, .tell = tell_processes, .arg = g};
    if (g->options.threads)
        return (struct gn_control_workers){
            .tell = tell_threads, .find = find_thread, .arg = g};
    return (struct gn_control_workers){0};
}

/* A host without one serves all the same. */
static void open_control(struct genet *g)
{
    char error[300];
    const char *path = g->worker ? g->worker->control : g->control_path;
    g->control.fd = -1;
    if (g->worker && !path)
        return;
    if (gn_control_open(&g->control, &g->generations, g->urls, path, error,
                        sizeof error) < 0)
        gn_log(GN_WARN, "%s", error);
    g->control.workers = workers_of(g);
}

/* ---- one of several processes ---- */

static void on_parent_loads(void *arg)
{
    struct genet *g = arg;
    if (*g->certificates)
        gn_entrance_renew(g);
}

static void on_parent_stops(void *arg)
{
    genet_stop(arg);
}

static void on_poke(void *arg)
{
    struct genet *g = arg;
    gn_acceptor_look(&g->acceptor);
}

/* A terminal's interrupt is the parent's to hear; it tells. */
static int open_follower(struct genet *g)
{
    signal(SIGINT, SIG_IGN);
    int r = gn_follower_open(&g->follower, g->worker, &g->generations);
    if (r == 0)
        gn_topic_link_open(&g->topics, &g->worker->channel, &g->bus, "the parent");
    g->follower.on_load = on_parent_loads;
    g->follower.on_stop = on_parent_stops;
    g->follower.arg = g;
    g->worker->on_poke = on_poke;
    g->worker->poke_arg = g;
    return r < 0 ? gn_server_fail(g, strerror(-r)) : 0;
}

/* Who watches over the scripts has missed what changed before. */
static int await_parent(struct genet *g)
{
    int r = gn_follower_await(&g->follower);
    if (r < 0)
        return gn_server_fail(g, "told to stop");
    if (g->generations.options.watcher && atomic_load(&g->worker->line->starts) > 1)
        gn_generations_reload(&g->generations);
    return 0;
}

/* Says why it could not start, if it could not. */
static void leave_parent(struct genet *g)
{
    if (g->status < 0) {
        gn_follower_fail(&g->follower, g->error);
        g->error[0] = '\0';
    }
    gn_follower_close(&g->follower);
}

/* ---- the beginning ---- */

static int open_crew(struct genet *g)
{
    if (!g->options.threads)
        return 0;
    gn_server_tell_separation(g->options.threads, "threads");
    const struct gn_crew_options o = {.count = (unsigned)g->options.threads,
                                      .pool = g->sched->pool,
                                      .wires = wire_options(g),
                                      .hub = hub_options(g),
                                      .lookout = lookout_options(g),
                                      .born = g->lookout.telemetry.born,
                                      .leader = &g->generations};
    int r = gn_crew_open(&g->crew, &o);
    if (r < 0)
        return gn_server_fail(g, *g->crew.error ? g->crew.error : strerror(-r));
    gn_crew_follow(&g->crew);
    g->wires = &g->crew.reception.wires;
    return 0;
}

/* Listens, and takes connections once the parent, if there is one, lets it. */
static int let_in(struct genet *g)
{
    if (gn_entrance_open(g) < 0)
        return -1;
    if (g->worker)
        g->status = await_parent(g);
    if (g->status == 0)
        gn_entrance_start(g);
    if (g->status < 0)
        gn_entrance_give_up(g);
    return g->status;
}

/* On disk at once, so that what is wrong with it is told at the start. */
static int open_shared(struct genet *g)
{
    char error[500];
    if (!g->state)
        return 0;
    if (gn_shared_open(&g->shared, error, sizeof error) < 0)
        return gn_server_fail(g, error);
    const char *note = gn_store_note(g->shared.store);
    if (note)
        gn_log(GN_WARN, "%s", note);
    return 0;
}

/* Threads that serve have lookouts of their own. */
static int open_lookout(struct genet *g)
{
    char error[300];
    if (g->options.threads || gn_lookout_open(&g->lookout, error, sizeof error) == 0)
        return 0;
    return gn_server_fail(g, error);
}

static int start(struct genet *g)
{
    gn_server_raise_file_limit(g);
    if (open_shared(g) < 0 || (g->worker && open_follower(g) < 0))
        return -1;
    open_generations(g);
    if (open_lookout(g) < 0)
        return -1;
    if (gn_guard_start(&g->generations.options.limits) < 0)
        gn_log(GN_WARN,
               "no timer: what computes for long is neither preempted nor ended");
    if (gn_generations_open(&g->generations) < 0)
        return gn_server_fail(g, g->generations.error ? g->generations.error
                                                      : "out of memory");
    if (open_crew(g) < 0 || let_in(g) < 0)
        return -1;
    open_control(g);
    return 0;
}

/* ---- the end ---- */

/* Those that neither end nor let themselves be cancelled hold nobody up any longer. */
static void give_up(size_t left, const char *what)
{
    gn_log(GN_ERROR, "%zu %s cannot be cancelled", left, what);
    _exit(1);
}

/* Lets requests in flight finish, and the tasks they have started; what has not by the
 * deadline is cancelled. */
static void drain(struct genet *g)
{
    int64_t deadline = gn_after((int64_t)(g->options.drain * GN_SECOND));
    g->deadline = deadline;
    if (g->worker)
        atomic_store(&g->worker->line->standing, GN_ENDING);
    gn_watcher_close(&g->watcher);
    size_t requests = gn_entrance_drain(g);
    if (requests > 0)
        give_up(requests, "requests");
    unsigned left = gn_generations_drain(&g->generations, deadline);
    if (g->options.threads)
        left += gn_crew_drain(&g->crew, deadline);
    unsigned asking = gn_control_close(&g->control);
    if (left > 0)
        give_up(left, "tasks");
    if (asking > 0)
        give_up(asking, "consoles");
}

void gn_server_serve(void *arg)
{
    struct genet *g = arg;
    const struct gn_wire_options wires = wire_options(g);
    const struct gn_hub_options hub = hub_options(g);
    gn_wires_init(&g->own, g->sched, &wires);
    g->wires = &g->own;
    gn_hub_init(&g->hub, g->sched, &hub);
    gn_server_open_bus(g);
    g->status = start(g);
    if (g->status == 0) {
        if (g->options.ready && !g->worker)
            g->options.ready(g, g->options.ready_arg);
        gn_notice_ready(g);
        gn_faults_begin();
        gn_server_obey(g);
        gn_notice_stopping(g);
        drain(g);
        gn_entrance_close(g);
        gn_notice_end(g);
    } else {
        gn_watcher_close(&g->watcher);
        gn_generations_drain(&g->generations, gn_now());
    }
    gn_lookout_close(&g->lookout);
    if (g->options.threads)
        gn_crew_close(&g->crew);
    gn_generations_close(&g->generations);
    gn_bus_flush(&g->topics.relay.member, gn_after(GN_SECOND));
    gn_topic_link_close(&g->topics);
    gn_redis_close(g->redis);
    if (g->worker)
        leave_parent(g);
    gn_hub_term(&g->hub);
    gn_wires_term(g->wires);
}
