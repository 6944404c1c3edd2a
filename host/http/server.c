/* The server: genet.h, made of a scheduler, the app, a listener and the front. */
#include "../genet.h"

#include "../log.h"
#include "../sched/offload.h"
#include "app.h"
#include "front.h"
#include "listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    POOL_THREADS = 32,
    ABORT_SECONDS = 2 /* for cancelled requests to clean up in */
};

struct genet {
    struct genet_options options;
    char *path, *host;
    struct gn_sched *sched;
    struct gn_wires wires;
    struct gn_listener listener;
    struct gn_front front;
    struct gn_app app;
    int stop; /* eventfd that genet_stop() writes to */
    int status;
    char error[600];
};

void genet_options_init(struct genet_options *o)
{
    *o = (struct genet_options){
        .path = "scripts",
        .host = "127.0.0.1",
        .port = 5000,
        .max_connections = 10000,
        .max_body = 8 << 20,
        .drain = 30,
    };
}

/* ---- life ---- */

struct genet *genet_new(const struct genet_options *o, char *error, size_t room)
{
    struct genet *g = calloc(1, sizeof *g);
    if (!g)
        goto fail;
    g->options = *o;
    g->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    g->path = strdup(o->path);
    g->host = strdup(o->host);
    g->sched = gn_sched_new();
    if (g->sched)
        g->sched->pool = gn_pool_new(POOL_THREADS);
    if (g->stop >= 0 && g->path && g->host && g->sched && g->sched->pool)
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
    free(g->path);
    free(g->host);
    free(g);
}

void genet_stop(struct genet *g)
{
    eventfd_write(g->stop, 1);
}

const char *genet_error(const struct genet *g)
{
    return g->error;
}

const char *genet_url(const struct genet *g)
{
    return g->listener.url;
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
    gn_app_handle(&g->app, r);
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

static int open_front(struct genet *g)
{
    struct genet_options *o = &g->options;
    char error[256];
    if (gn_listener_open(&g->listener, &g->wires, g->host, o->port, error,
                         sizeof error) < 0)
        return fail(g, error);
    g->front =
        (struct gn_front){.handler = on_request, .arg = g, .max_body = o->max_body};
    if (gn_front_open(&g->front, &g->listener, o->max_connections) < 0) {
        gn_listener_close(&g->listener);
        return fail(g, g->front.error);
    }
    return gn_listener_start(&g->listener);
}

static int start(struct genet *g)
{
    raise_file_limit(g);
    if (gn_app_open(&g->app, g->path) < 0)
        return fail(g, g->app.error);
    if (open_front(g) == 0)
        return 0;
    gn_app_close(&g->app);
    return -1;
}

/* Lets requests in flight finish; what has not by the deadline is cancelled. */
static void drain(struct genet *g)
{
    gn_listener_stop(&g->listener);
    size_t open = g->wires.count;
    if (open > 0)
        gn_log(GN_DEBUG, "draining %zu connections", open);
    size_t left =
        gn_wires_drain(&g->wires, gn_after((int64_t)(g->options.drain * GN_SECOND)));
    if (left == 0)
        return;
    gn_log(GN_WARN, "%zu requests did not end in %g s: cancelled", left,
           g->options.drain);
    gn_wires_abort(&g->wires);
    left = gn_wires_drain(&g->wires, gn_after(ABORT_SECONDS * GN_SECOND));
    if (left > 0) {
        gn_log(GN_ERROR, "%zu requests cannot be cancelled", left);
        _exit(1);
    }
}

static void serve(void *arg)
{
    struct genet *g = arg;
    gn_wires_init(&g->wires, g->sched);
    g->status = start(g);
    if (g->status == 0) {
        if (g->options.ready)
            g->options.ready(g, g->options.ready_arg);
        gn_wait_fd(g->stop, EPOLLIN, GN_NEVER);
        drain(g);
        gn_front_close(&g->front);
        gn_app_close(&g->app);
    }
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
