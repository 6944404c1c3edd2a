/* The server: genet.h, its life, and what is asked of it from outside. */
#include "server.h"

#include "../log.h"
#include "../sched/offload.h"
#include "../sink.h"
#include "../vm/core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* ---- from outside ---- */

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

/* ---- what has been asked for ---- */

/* What is read from files is read again; a process does so when its parent says so. */
static void reload(struct genet *g)
{
    if (g->parent) {
        gn_supervisor_reload(&g->parent->supervisor);
        return;
    }
    if (*g->certificates && !g->worker)
        gn_entrance_renew(g);
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

void gn_server_obey(struct genet *g)
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

/* ---- for a process that serves, and for the parent of several ---- */

int gn_server_fail(struct genet *g, const char *why)
{
    snprintf(g->error, sizeof g->error, "%s", why);
    return -1;
}

void gn_server_raise_file_limit(const struct genet *g)
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

void gn_server_tell_separation(int count, const char *what)
{
    gn_log(GN_INFO,
           "%d %s: module variables are not shared between them; see genet.shared",
           count, what);
}

void gn_server_open_bus(struct genet *g)
{
    if (!g->bus_url || g->worker)
        return; /* a process has its parent's */
    g->redis = gn_redis_open(&g->bus, &(struct gn_redis_options){.url = g->bus_url});
    if (!g->redis)
        gn_log(GN_WARN, "the bus has no Redis: out of memory");
}

int genet_run(struct genet *g)
{
    g->error[0] = '\0';
    bool parent = g->options.processes && !g->worker;
    if (!gn_fiber_new(g->sched, "main", parent ? gn_server_supervise : gn_server_serve,
                      g))
        return gn_server_fail(g, "out of memory");
    gn_sched_run(g->sched);
    return g->status;
}
