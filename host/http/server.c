/* The server: genet.h, made of a scheduler, the app, a listener and the front. */
#include "../genet.h"

#include "../libc/faults.h"
#include "../log.h"
#include "../sched/offload.h"
#include "../sink.h"
#include "acceptor.h"
#include "control.h"
#include "front.h"
#include "observer.h"
#include "reload.h"
#include "stats.h"
#include "watcher.h"

#include <errno.h>
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
    struct gn_access_log *log; /* NULL: none */
    struct gn_observer observer;
    struct gn_stats_area stats;
    struct gn_telemetry telemetry;
    struct gn_tls_site *tls;
    struct gn_wires wires;
    struct gn_hub hub;
    struct gn_acceptor acceptor;
    char urls[GN_LISTENERS * 161];
    struct gn_front front;
    struct gn_generations generations;
    struct gn_watcher watcher;
    struct gn_control control;
    int stop, reload; /* eventfds that genet_stop() and genet_reload() write to */
    int status;
    char error[600];
};

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

struct genet *genet_new(const struct genet_options *o, char *error, size_t room)
{
    struct genet *g = calloc(1, sizeof *g);
    if (!g)
        goto fail;
    g->options = *o;
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
    g->access_log = o->access_log ? strdup(o->access_log) : NULL;
    g->log_format = strdup(o->log_format);
    int r = gn_stats_area_open(&g->stats, 1);
    if (r < 0) {
        errno = -r;
        goto fail;
    }
    g->sched = gn_sched_new();
    if (g->sched)
        g->sched->pool = gn_pool_new(GN_POOL_THREADS);
    if (g->stop >= 0 && g->reload >= 0 && g->path && g->listen && g->config &&
        g->certificates && g->keys && g->log_format && g->sched && g->sched->pool)
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
    gn_stats_area_close(&g->stats);
    free(g->access_log);
    free(g->log_format);
    gn_tls_site_unref(g->tls);
    free(g);
}

void genet_stop(struct genet *g)
{
    eventfd_write(g->stop, 1);
}

void genet_reload(struct genet *g)
{
    eventfd_write(g->reload, 1);
}

void genet_reopen_logs(void)
{
    gn_sinks_reopen();
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
    gn_generations_handle(&g->generations, r);
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
    gn_tls_site_unref(g->tls);
    g->tls = g->acceptor.tls = fresh;
    gn_log(GN_INFO, "the certificates have been loaded again");
}

/* What is read from files is read again. */
static void reload(struct genet *g)
{
    eventfd_t count;
    eventfd_read(g->reload, &count);
    if (*g->certificates)
        reload_certificates(g);
    gn_generations_reload(&g->generations);
}

/* Does what is asked for from outside until that is to stop. */
static void obey(struct genet *g)
{
    for (;;) {
        struct gn_wait wishes[] = {{.fd = g->stop, .events = EPOLLIN},
                                   {.fd = g->reload, .events = EPOLLIN}};
        gn_wait_any(wishes, 2, GN_NEVER);
        if (wishes[1].ready)
            reload(g);
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

static int open_front(struct genet *g)
{
    const struct genet_options *o = &g->options;
    char error[600];
    if (load_certificates(g, error, sizeof error) < 0 ||
        gn_acceptor_open(&g->acceptor, &g->wires, g->tls,
                         (const char *const *)g->listen, error, sizeof error) < 0)
        return fail(g, error);
    gn_acceptor_urls(&g->acceptor, g->urls, sizeof g->urls);
    g->front =
        (struct gn_front){.handler = on_request, .arg = g, .max_body = o->max_body};
    if (o->redirect_https)
        g->front.redirect_port = secure_port(&g->acceptor);
    int r = gn_front_open(&g->front, &g->acceptor.stream, o->max_connections);
    if (r == 0)
        r = gn_acceptor_start(&g->acceptor, g->front.error, sizeof g->front.error);
    if (r == 0)
        return 0;
    gn_acceptor_close(&g->acceptor);
    gn_front_close(&g->front);
    return fail(g, g->front.error);
}

static void open_generations(struct genet *g)
{
    const struct genet_options *o = &g->options;
    bool watch = o->reload;
    g->telemetry = (struct gn_telemetry){.area = &g->stats,
                                         .observer = &g->observer,
                                         .wires = &g->wires,
                                         .hub = &g->hub,
                                         .generations = &g->generations,
                                         .born = gn_now()};
    gn_generations_init(&g->generations, g->sched,
                        &(struct gn_generations_options){
                            .path = g->path,
                            .config = g->config,
                            .drain = (int64_t)(o->drain * GN_SECOND),
                            .load_timeout = (int64_t)(o->load_timeout * GN_SECOND),
                            .prepare = gn_generations_register,
                            .hub = &g->hub,
                            .patch = o->patch,
                            .limits = {.slice = o->slice, .cpu = o->cpu_limit},
                            .telemetry = &g->telemetry,
                            .debug = o->debug,
                            .watcher = watch ? &g->watcher : NULL,
                        });
    int r = watch ? gn_watcher_open(&g->watcher, &g->generations) : 0;
    if (r < 0)
        gn_log(GN_WARN, "changes of scripts cannot be watched for: %s", strerror(-r));
}

/* A host without one serves all the same. */
static void open_control(struct genet *g)
{
    char error[300];
    if (gn_control_open(&g->control, &g->generations, g->urls, g->control_path, error,
                        sizeof error) < 0)
        gn_log(GN_WARN, "%s", error);
}

/* Each worker of a host has an observer of its own. */
static int open_observer(struct genet *g)
{
    char error[300];
    g->observer.tells_ids = g->options.request_ids;
    g->wires.observer = &g->observer;
    if (g->access_log)
        g->log = gn_access_log_open(g->access_log, g->log_format, error, sizeof error);
    if (g->access_log && !g->log)
        return fail(g, error);
    if (g->log && gn_access_log_start(g->log) < 0)
        return fail(g, "out of memory");
    if (g->options.request_ids || (g->log && gn_access_log_has_ids(g->log)))
        gn_log_show_requests(true);
    gn_observer_set(&g->observer, g->log, NULL);
    return 0;
}

static int start(struct genet *g)
{
    raise_file_limit(g);
    open_generations(g);
    if (open_observer(g) < 0)
        return -1;
    if (gn_guard_start(&g->generations.options.limits) < 0)
        gn_log(GN_WARN,
               "no timer: what computes for long is neither preempted nor ended");
    if (gn_generations_open(&g->generations) < 0)
        return fail(g, g->generations.error ? g->generations.error : "out of memory");
    if (open_front(g) < 0)
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

static void drain_requests(struct genet *g, int64_t deadline)
{
    size_t left = gn_wires_drain(&g->wires, deadline);
    if (left == 0)
        return;
    gn_log(GN_WARN, "%zu requests did not end in %g s: cancelled", left,
           g->options.drain);
    gn_wires_abort(&g->wires);
    left = gn_wires_drain(&g->wires, gn_after(GN_ABORT_SECONDS * GN_SECOND));
    if (left > 0)
        give_up(left, "requests");
}

/* Lets requests in flight finish, and the tasks they have started; what has not by the
 * deadline is cancelled. */
static void drain(struct genet *g)
{
    int64_t deadline = gn_after((int64_t)(g->options.drain * GN_SECOND));
    gn_watcher_close(&g->watcher);
    gn_acceptor_stop(&g->acceptor);
    if (g->wires.count > 0)
        gn_log(GN_DEBUG, "draining %zu connections", g->wires.count);
    drain_requests(g, deadline);
    unsigned left = gn_generations_drain(&g->generations, deadline);
    gn_control_close(&g->control);
    if (left > 0)
        give_up(left, "tasks");
}

static void serve(void *arg)
{
    struct genet *g = arg;
    const struct genet_options *o = &g->options;
    gn_wires_init(&g->wires, g->sched,
                  &(struct gn_wire_options){
                      .limits = {.head = o->max_head,
                                 .target = o->max_head / 2,
                                 .headers = GN_HEADERS},
                      .head_timeout = (int64_t)(o->head_timeout * GN_SECOND),
                      .keep_alive = (int64_t)(o->keep_alive * GN_SECOND),
                      .max_per_peer = (unsigned)o->max_per_ip,
                  });
    gn_hub_init(&g->hub, g->sched,
                &(struct gn_hub_options){
                    .queue = o->ws_queue,
                    .ping = (int64_t)(o->ws_ping * GN_SECOND),
                });
    g->status = start(g);
    if (g->status == 0) {
        if (g->options.ready)
            g->options.ready(g, g->options.ready_arg);
        gn_faults_begin();
        obey(g);
        drain(g);
        gn_front_close(&g->front);
    } else {
        gn_watcher_close(&g->watcher);
        gn_generations_drain(&g->generations, gn_now());
    }
    gn_generations_close(&g->generations);
    gn_hub_term(&g->hub);
    gn_access_log_close(g->log);
    gn_wires_term(&g->wires);
}

int genet_run(struct genet *g)
{
    g->error[0] = '\0';
    if (!gn_fiber_new(g->sched, "main", serve, g))
        return fail(g, "out of memory");
    gn_sched_run(g->sched);
    return g->status;
}
