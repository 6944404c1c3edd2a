/* The server: genet.h, made of a scheduler, the app, a listener and the front. */
#include "../genet.h"

#include "../bus/redis.h"
#include "../libc/faults.h"
#include "../log.h"
#include "../sched/offload.h"
#include "../sink.h"
#include "../systemd.h"
#include "../vm/core.h"
#include "../vm/shared.h"
#include "acceptor.h"
#include "control.h"
#include "crew.h"
#include "follower.h"
#include "lookout.h"
#include "parent.h"
#include "reload.h"
#include "watcher.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

struct genet {
    struct genet_options options;
    char *path;
    char **listen; /* ended by NULL */
    struct gn_sched *sched;
    char **config;
    char **certificates, **keys, *client_ca; /* NULL without TLS */
    char *control_path;                      /* NULL: the usual place */
    char *access_log, *log_format;
    struct gn_stats_area stats;
    struct gn_lookout lookout;           /* of the host's own thread */
    struct gn_tls_site *tls, *fresh_tls; /* in use; to be used from now on */
    struct gn_wires *wires; /* at home: `own`, or the reception's of the crew */
    struct gn_wires own;
    struct gn_crew crew; /* of the threaded mode */
    struct gn_role role; /* of the leader's states in that */
    char *bus_url;       /* or NULL */
    struct gn_bus bus;
    struct gn_redis *redis; /* NULL without a URL */
    struct gn_hub hub;
    struct gn_shared shared;
    char *state;
    struct gn_acceptor acceptor;
    char urls[GN_LISTENERS * 161];
    struct gn_front front;
    struct gn_generations generations;
    struct gn_watcher watcher;
    struct gn_control control;
    bool stopping;             /* has begun to */
    int64_t watchdog_ns;       /* see gn_systemd_watchdog() */
    struct gn_fiber *watchdog; /* pings systemd; NULL when that does not ask for it */
    struct gn_parent *parent;  /* while processes are supervised; else NULL */
    struct gn_worker *worker;  /* of a process that has a parent; else NULL */
    struct gn_follower follower;
    struct gn_topic_link topics; /* of such a process, to its parent */
    atomic_int scale;            /* by genet_scale(), to be done yet */
    atomic_bool reopen;          /* processes are to be told of genet_reopen_logs() */
    int stop, reload; /* eventfds that genet_stop() and genet_reload() write to */
    int64_t deadline; /* of what is drained */
    size_t left;      /* of that, at the deadline */
    int status;
    char error[600];
};

/* What is written to the eventfd `reload`, which adds up; SCALE also for what is not a
 * reload. */
enum { GN_RELOAD = 1, GN_SCALE = 1 << 16 };

static const char *const default_addresses[] = {"127.0.0.1:5000", NULL};

void genet_options_init(struct genet_options *o)
{
    *o = (struct genet_options){
        .path = "scripts",
        .log_format = "combined",
        .listen = default_addresses,
        .max_connections = 10000,
        .max_body = 8 << 20,
        .max_head = 16 << 10,
        .drain = 30,
        .head_timeout = 10,
        .keep_alive = 15,
        .load_timeout = 10,
        .patch = true,
        .slice = 0.05,
        .cpu_limit = 30,
        .ws_queue = 1 << 20,
        .ws_ping = 30,
        .shared_memory = GN_SHARED_MEMORY,
    };
}

/* ---- life ---- */

static void free_list(char **list)
{
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

static char **copy_list(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    char **copy = calloc(n + 1, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++)
        if (!(copy[i] = strdup(list[i]))) {
            free_list(copy);
            return NULL;
        }
    return copy;
}

/* Modes that exclude each other, or exceed what there is. */
static const char *find_misuse(const struct genet_options *o)
{
    if (o->processes < 0 || o->processes > GN_PROCESSES)
        return "processes must be from 1 to 1024, or 0";
    if (o->threads < 0 || o->threads > 1024)
        return "threads must be from 1 to 1024, or 0";
    if (o->threads && o->processes)
        return "threads and processes exclude each other";
    if (o->debug && (o->threads || o->processes))
        return "debug goes with neither threads nor processes";
    return NULL;
}

/* What a process has of its parent, if it has one. */
static int find_parent(struct genet *g, char *error, size_t room)
{
    char origin[16];
    if (!g->options.processes || !gn_is_worker())
        return 0;
    g->worker = gn_worker_new(error, room);
    if (!g->worker)
        return -1;
    snprintf(origin, sizeof origin, "#%u ", g->worker->index);
    gn_log_set_origin(origin);
    gn_core_set_secret(g->worker->board->secret);
    return 0;
}

int genet_check_bus(const char *url, char *error, size_t room)
{
    return gn_redis_check(url, error, room) < 0 ? -1 : 0;
}

/* Blocks for the leader, the hands and the desk; or those beside the board. */
static int place_stats(struct genet *g)
{
    struct gn_board *b = g->worker ? g->worker->board : NULL;
    unsigned threads = (unsigned)g->options.threads;
    if (!b || b->beside != sizeof(struct gn_stats))
        return gn_stats_area_open(&g->stats, threads ? threads + 2 : 1);
    gn_stats_area_place(&g->stats, gn_board_memory(b), b->count);
    return 0;
}

struct genet *genet_new(const struct genet_options *o, char *error, size_t room)
{
    const char *misuse = find_misuse(o);
    if (misuse) {
        snprintf(error, room, "%s", misuse);
        return NULL;
    }
    if (o->bus && genet_check_bus(o->bus, error, room) < 0)
        return NULL;
    struct genet *g = calloc(1, sizeof *g);
    if (!g)
        goto fail;
    g->stop = g->reload = -1;
    g->options = *o;
    gn_bus_init(&g->bus);
    if (find_parent(g, error, room) < 0) {
        genet_free(g);
        return NULL;
    }
    gn_log_set_speaker(gn_vm_speaker);
    g->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->reload = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->path = strdup(o->path);
    g->listen = copy_list(o->listen);
    g->config = copy_list(o->config);
    g->certificates = copy_list(o->certificates);
    g->keys = copy_list(o->keys);
    g->client_ca = o->client_ca ? strdup(o->client_ca) : NULL;
    g->control_path = o->control ? strdup(o->control) : NULL;
    g->bus_url = o->bus ? strdup(o->bus) : NULL;
    g->state = o->state ? strdup(o->state) : NULL;
    gn_shared_init(&g->shared, g->state, o->shared_memory);
    if (g->worker && *g->worker->board->shared)
        g->shared.private = g->worker->board->shared;
    g->access_log = o->access_log ? strdup(o->access_log) : NULL;
    g->log_format = strdup(o->log_format);
    int r = place_stats(g);
    if (r < 0) {
        errno = -r;
        goto fail;
    }
    g->sched = gn_sched_new();
    if (g->sched)
        g->sched->pool = gn_pool_new(GN_POOL_THREADS);
    if (g->stop >= 0 && g->reload >= 0 && g->path && g->listen && g->config &&
        g->certificates && g->keys && g->log_format && g->sched && g->sched->pool &&
        (g->bus_url || !o->bus))
        return g;
fail:
    snprintf(error, room, "cannot start: %s", strerror(errno));
    genet_free(g);
    return NULL;
}

void genet_free(struct genet *g)
{
    if (!g)
        return;
    if (g->sched) {
        gn_pool_free(g->sched->pool);
        gn_sched_free(g->sched);
    }
    if (g->stop >= 0)
        close(g->stop);
    if (g->reload >= 0)
        close(g->reload);
    free(g->path);
    free_list(g->listen);
    free_list(g->config);
    free_list(g->certificates);
    free_list(g->keys);
    free(g->client_ca);
    free(g->control_path);
    free(g->bus_url);
    gn_bus_term(&g->bus);
    gn_shared_close(&g->shared);
    free(g->state);
    gn_stats_area_close(&g->stats);
    free(g->access_log);
    free(g->log_format);
    gn_tls_site_unref(g->tls);
    gn_worker_free(g->worker);
    free(g);
}

void genet_stop(struct genet *g)
{
    eventfd_write(g->stop, 1);
}

void genet_reload(struct genet *g)
{
    eventfd_write(g->reload, GN_RELOAD);
}

void genet_scale(struct genet *g, int by)
{
    atomic_fetch_add(&g->scale, by);
    eventfd_write(g->reload, GN_SCALE);
}

void genet_reopen_logs(struct genet *g)
{
    gn_sinks_reopen();
    atomic_store(&g->reopen, true);
    eventfd_write(g->reload, GN_SCALE);
}

const char *genet_error(const struct genet *g)
{
    return g->error;
}

const char *genet_url(const struct genet *g)
{
    return g->urls;
}

/* ---- serving ---- */

static int fail(struct genet *g, const char *why)
{
    snprintf(g->error, sizeof g->error, "%s", why);
    return -1;
}

static void on_request(struct gn_request *r, void *arg)
{
    struct genet *g = arg;
    if (g->options.threads)
        gn_crew_handle(r);
    else
        gn_generations_handle(&g->generations, r);
}

/* ---- threads ---- */

/* The thread that connections are received on. */
static struct gn_sched *desk(const struct genet *g)
{
    return g->options.threads ? g->crew.desk.sched : g->sched;
}

/* Runs fn(g) on that thread. */
static void at_desk(struct genet *g, void (*fn)(void *))
{
    if (!g->options.threads)
        fn(g);
    else if (gn_elsewhere(desk(g), "desk", fn, g) < 0)
        gn_log(GN_ERROR, "out of memory");
}

static void on_swap(struct gn_generations *gs, void *arg)
{
    struct genet *g = arg;
    (void)gs;
    if (g->options.threads)
        gn_crew_follow(&g->crew);
}

/* Every connection is a descriptor, and so is every upstream of its handler. */
static void raise_file_limit(const struct genet *g)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < (rlim_t)g->options.max_connections + 64)
        gn_log(GN_WARN, "only %llu files may be open: not enough for %d connections",
               (unsigned long long)limit.rlim_cur, g->options.max_connections);
}

/* Makes a site of the certificates' files as they are now. NULL and a line in `error`.
 */
static struct gn_tls_site *read_certificates(const struct genet *g, char *error,
                                             size_t room)
{
    const struct gn_tls_options o = {
        .certificates = (const char *const *)g->certificates,
        .keys = (const char *const *)g->keys,
        .client_ca = g->client_ca,
    };
    return gn_tls_site_new(&o, error, room);
}

static int load_certificates(struct genet *g, char *error, size_t room)
{
    if (!*g->certificates)
        return 0;
    g->tls = read_certificates(g, error, room);
    return g->tls ? 0 : -1;
}

static void change_certificates(void *arg)
{
    struct genet *g = arg;
    gn_tls_site_unref(g->tls);
    g->tls = g->acceptor.tls = g->fresh_tls;
}

/* New connections get the new certificates, or, when those cannot be read, the old ones
 * still. */
static void reload_certificates(struct genet *g)
{
    char error[256];
    struct gn_tls_site *fresh = read_certificates(g, error, sizeof error);
    if (!fresh) {
        gn_log(GN_ERROR, "the old certificates stay: %s", error);
        return;
    }
    g->fresh_tls = fresh;
    at_desk(g, change_certificates);
    if (!g->worker || g->worker->index == 0)
        gn_log(GN_INFO, "the certificates have been loaded again");
}

/* What is read from files is read again; a process does so when its parent says so. */
static void reload(struct genet *g)
{
    if (g->parent) {
        gn_supervisor_reload(&g->parent->supervisor);
        return;
    }
    if (*g->certificates && !g->worker)
        reload_certificates(g);
    gn_generations_reload(&g->generations);
}

static void change(struct genet *g)
{
    eventfd_t told = 0;
    eventfd_read(g->reload, &told);
    int by = atomic_exchange(&g->scale, 0);
    if (g->parent && by)
        gn_supervisor_scale(&g->parent->supervisor, by);
    if (atomic_exchange(&g->reopen, false) && g->parent)
        gn_supervisor_reopen(&g->parent->supervisor);
    if (told % GN_SCALE)
        reload(g);
}

/* Does what is asked for from outside until that is to stop. */
static void obey(struct genet *g)
{
    for (;;) {
        struct gn_wait wishes[] = {{.fd = g->stop, .events = EPOLLIN},
                                   {.fd = g->reload, .events = EPOLLIN}};
        gn_wait_any(wishes, 2, GN_NEVER);
        if (wishes[1].ready)
            change(g);
        if (wishes[0].ready)
            return;
    }
}

/* The port of the first listener that speaks TLS; 0 when there is none. */
static int secure_port(const struct gn_acceptor *a)
{
    for (unsigned i = 0; i < a->count; i++)
        if (a->listeners[i].secure)
            return a->listeners[i].port;
    return 0;
}

/* Has the crew get the connections. */
static int open_reception(struct genet *g)
{
    struct gn_reception *r = &g->crew.reception;
    g->front.places = g->crew.places;
    r->acceptor = &g->acceptor;
    r->most = g->options.max_connections;
    r->serve = gn_front_serve;
    r->arg = &g->front;
    return gn_reception_open(r) < 0 ? fail(g, "out of memory") : 0;
}

static int open_civetweb(struct genet *g)
{
    const struct genet_options *o = &g->options;
    if (o->threads && open_reception(g) < 0)
        return -1;
    int r = gn_front_open(&g->front, &g->acceptor.stream,
                          o->threads ? o->threads : o->max_connections);
    return r < 0 ? fail(g, g->front.error) : 0;
}

static void close_front(void *arg)
{
    struct genet *g = arg;
    if (g->options.threads)
        gn_reception_close(&g->crew.reception);
    gn_front_close(&g->front);
}

static void give_up_front(void *arg)
{
    struct genet *g = arg;
    gn_acceptor_close(&g->acceptor);
    close_front(g);
}

static int open_listeners(struct genet *g, char **addresses)
{
    char error[600];
    if (load_certificates(g, error, sizeof error) < 0 ||
        gn_acceptor_open(&g->acceptor, g->wires, g->tls, (const char *const *)addresses,
                         error, sizeof error) < 0)
        return fail(g, error);
    gn_acceptor_urls(&g->acceptor, g->urls, sizeof g->urls);
    return 0;
}

static void open_front(void *arg)
{
    struct genet *g = arg;
    const struct genet_options *o = &g->options;
    g->status = open_listeners(g, g->worker ? g->worker->listen : g->listen);
    if (g->status < 0)
        return;
    g->front =
        (struct gn_front){.handler = on_request, .arg = g, .max_body = o->max_body};
    if (o->redirect_https)
        g->front.redirect_port = secure_port(&g->acceptor);
    g->acceptor.worker = g->worker;
    if (open_civetweb(g) == 0)
        return;
    give_up_front(g);
    g->status = -1;
}

/* ---- what systemd hears, if it has started us ---- */

/* Of several processes the parent does. */
static bool speaks(const struct genet *g)
{
    return g->options.systemd && !g->worker;
}

static void tell_load(const struct genet *g, bool done, unsigned generation,
                      const char *error)
{
    if (!speaks(g) || g->stopping)
        return;
    if (done)
        gn_systemd_reloaded(generation, error);
    else
        gn_systemd_reloading();
}

static void on_load(struct gn_generations *gs, bool done)
{
    tell_load(gs->options.arg, done, gs->last, gs->error);
}

static void on_load_of_all(const struct gn_supervisor *s, bool done, void *arg)
{
    tell_load(arg, done, s->generation, s->error);
}

/* Only while the scheduler comes round. */
static void ping(void *arg)
{
    int64_t half = *(int64_t *)arg / 2;
    while (gn_sleep_until(gn_after(half)) == 0)
        gn_systemd_ping();
}

static void tell_ready(struct genet *g)
{
    if (!speaks(g))
        return;
    gn_systemd_ready(g->urls);
    g->watchdog_ns = gn_systemd_watchdog();
    if (g->watchdog_ns > 0)
        g->watchdog = gn_fiber_new(g->sched, "watchdog", ping, &g->watchdog_ns);
}

static void end_watch(struct genet *g)
{
    if (g->watchdog)
        gn_cancel(g->watchdog, -ECANCELED);
    g->watchdog = NULL;
}

static void tell_stopping(struct genet *g)
{
    g->stopping = true;
    if (speaks(g))
        gn_systemd_stopping(g->options.drain + 4 * GN_ABORT_SECONDS);
}

static struct gn_lookout_options lookout_options(struct genet *g)
{
    return (struct gn_lookout_options){.access_log = g->access_log,
                                       .log_format = g->log_format,
                                       .request_ids = g->options.request_ids,
                                       .area = &g->stats};
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

/* ---- the workers, as consoles see them ---- */

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

static void open_bus(struct genet *g)
{
    if (!g->bus_url || g->worker)
        return; /* a process has its parent's */
    g->redis = gn_redis_open(&g->bus, &(struct gn_redis_options){.url = g->bus_url});
    if (!g->redis)
        gn_log(GN_WARN, "the bus has no Redis: out of memory");
}

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

/* Of which each has a Lua state of its own. */
static void tell_separation(int count, const char *what)
{
    gn_log(GN_INFO,
           "%d %s: module variables are not shared between them; see genet.shared",
           count, what);
}

static int open_crew(struct genet *g)
{
    if (!g->options.threads)
        return 0;
    tell_separation(g->options.threads, "threads");
    const struct gn_crew_options o = {.count = (unsigned)g->options.threads,
                                      .pool = g->sched->pool,
                                      .wires = wire_options(g),
                                      .hub = hub_options(g),
                                      .lookout = lookout_options(g),
                                      .born = g->lookout.telemetry.born,
                                      .leader = &g->generations};
    int r = gn_crew_open(&g->crew, &o);
    if (r < 0)
        return fail(g, *g->crew.error ? g->crew.error : strerror(-r));
    gn_crew_follow(&g->crew);
    g->wires = &g->crew.reception.wires;
    return 0;
}

/* ---- one of several processes ---- */

static void on_parent_loads(void *arg)
{
    struct genet *g = arg;
    if (*g->certificates)
        reload_certificates(g);
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
    return r < 0 ? fail(g, strerror(-r)) : 0;
}

/* Who watches over the scripts has missed what changed before. */
static int await_parent(struct genet *g)
{
    int r = gn_follower_await(&g->follower);
    if (r < 0)
        return fail(g, "told to stop");
    if (g->generations.options.watcher && atomic_load(&g->worker->line->starts) > 1)
        gn_generations_reload(&g->generations);
    return 0;
}

static void start_acceptor(void *arg)
{
    struct genet *g = arg;
    char error[300];
    if (gn_acceptor_start(&g->acceptor, error, sizeof error) < 0)
        g->status = fail(g, error);
}

/* Listens, and takes connections once the parent, if there is one, lets it. */
static int start_front(struct genet *g)
{
    at_desk(g, open_front);
    if (g->status < 0)
        return -1;
    if (g->worker)
        g->status = await_parent(g);
    if (g->status == 0)
        at_desk(g, start_acceptor);
    if (g->status < 0)
        at_desk(g, give_up_front);
    return g->status;
}

/* On disk at once, so that what is wrong with it is told at the start. */
static int open_shared(struct genet *g)
{
    char error[500];
    if (!g->state)
        return 0;
    if (gn_shared_open(&g->shared, error, sizeof error) < 0)
        return fail(g, error);
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
    return fail(g, error);
}

static int start(struct genet *g)
{
    raise_file_limit(g);
    if (open_shared(g) < 0 || (g->worker && open_follower(g) < 0))
        return -1;
    open_generations(g);
    if (open_lookout(g) < 0)
        return -1;
    if (gn_guard_start(&g->generations.options.limits) < 0)
        gn_log(GN_WARN,
               "no timer: what computes for long is neither preempted nor ended");
    if (gn_generations_open(&g->generations) < 0)
        return fail(g, g->generations.error ? g->generations.error : "out of memory");
    if (open_crew(g) < 0 || start_front(g) < 0)
        return -1;
    open_control(g);
    return 0;
}

/* Those that neither end nor let themselves be cancelled hold nobody up any longer. */
static void give_up(size_t left, const char *what)
{
    gn_log(GN_ERROR, "%zu %s cannot be cancelled", left, what);
    _exit(1);
}

/* ---- the end ---- */

static void stop_accepting(void *arg)
{
    struct genet *g = arg;
    bool last = !g->worker || atomic_load(&g->worker->board->sealed);
    gn_wires_begin_drain(g->wires);
    if (last)
        gn_acceptor_finish(&g->acceptor);
    else
        gn_acceptor_stop(&g->acceptor); /* the siblings go on */
    if (g->wires->count > 0)
        gn_log(GN_DEBUG, "draining %zu connections", g->wires->count);
}

static void await_requests(void *arg)
{
    struct genet *g = arg;
    g->left = gn_wires_drain(g->wires, g->deadline);
}

static void cancel_requests(void *arg)
{
    struct genet *g = arg;
    gn_wires_abort(g->wires);
}

static void drain_requests(struct genet *g)
{
    at_desk(g, stop_accepting);
    if (g->options.threads)
        gn_crew_begin_drain(&g->crew);
    at_desk(g, await_requests);
    if (g->left == 0)
        return;
    gn_log(GN_WARN, "%zu requests did not end in %g s: cancelled", g->left,
           g->options.drain);
    at_desk(g, cancel_requests);
    if (g->options.threads)
        gn_crew_abort(&g->crew);
    g->deadline = gn_after(GN_ABORT_SECONDS * GN_SECOND);
    at_desk(g, await_requests);
    if (g->left > 0)
        give_up(g->left, "requests");
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
    drain_requests(g);
    unsigned left = gn_generations_drain(&g->generations, deadline);
    if (g->options.threads)
        left += gn_crew_drain(&g->crew, deadline);
    unsigned asking = gn_control_close(&g->control);
    if (left > 0)
        give_up(left, "tasks");
    if (asking > 0)
        give_up(asking, "consoles");
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

static void serve(void *arg)
{
    struct genet *g = arg;
    const struct gn_wire_options wires = wire_options(g);
    const struct gn_hub_options hub = hub_options(g);
    gn_wires_init(&g->own, g->sched, &wires);
    g->wires = &g->own;
    gn_hub_init(&g->hub, g->sched, &hub);
    open_bus(g);
    g->status = start(g);
    if (g->status == 0) {
        if (g->options.ready && !g->worker)
            g->options.ready(g, g->options.ready_arg);
        tell_ready(g);
        gn_faults_begin();
        obey(g);
        tell_stopping(g);
        drain(g);
        at_desk(g, close_front);
        end_watch(g);
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

/* ---- the parent of several processes ---- */

/* Where all processes will have genet.shared, if that is not on disk. */
static const char *place_shared(struct genet *g)
{
    char error[500];
    if (g->state)
        return NULL;
    const char *place = gn_shared_place(&g->shared, error, sizeof error);
    if (!place)
        gn_log(GN_WARN, "genet.shared is not shared: %s", error);
    return place;
}

static int begin_parenthood(struct genet *g)
{
    const struct genet_options *o = &g->options;
    const struct gn_supervisor_options so = {
        .shared = place_shared(g),
        .processes = (unsigned)o->processes,
        .drain = (int64_t)(o->drain * GN_SECOND),
        .load_timeout = (int64_t)(o->load_timeout * GN_SECOND),
        .on_load = on_load_of_all,
        .arg = g,
        .bus = &g->bus,
    };
    raise_file_limit(g);
    if (open_listeners(g, g->listen) < 0)
        return -1;
    tell_separation(o->processes, "processes");
    return gn_parent_open(g->parent, &g->acceptor, g->urls, &so, g->control_path,
                          g->error, sizeof g->error);
}

/* As serve(), for who has it done. */
static void supervise(void *arg)
{
    struct genet *g = arg;
    struct gn_parent parent;
    g->parent = &parent;
    gn_wires_init(&g->own, g->sched, &(struct gn_wire_options){.head_timeout = 0});
    g->wires = &g->own;
    open_bus(g);
    g->status = begin_parenthood(g);
    if (g->status == 0) {
        if (g->options.ready)
            g->options.ready(g, g->options.ready_arg);
        tell_ready(g);
        obey(g);
        tell_stopping(g);
        if (gn_parent_close(&parent) > 0)
            g->status = fail(g, "not all processes have ended well");
        end_watch(g);
        free(parent.supervisor.error);
    }
    gn_redis_close(g->redis);
    g->parent = NULL;
    gn_wires_term(g->wires);
}

int genet_run(struct genet *g)
{
    g->error[0] = '\0';
    bool parent = g->options.processes && !g->worker;
    if (!gn_fiber_new(g->sched, "main", parent ? supervise : serve, g))
        return fail(g, "out of memory");
    gn_sched_run(g->sched);
    return g->status;
}
