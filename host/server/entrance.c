/* The entrance: listeners and their certificates, and civetweb, which takes what they
 * let in; in the threaded mode on a thread of its own, the desk. */
#include "server.h"

#include "../log.h"

/* ---- the desk ---- */

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

/* ---- certificates ---- */

_Static_assert((int)GN_SECRET == (int)GN_TLS_SECRET,
               "the board's secret is one of TLS");

/* Makes a site of the certificates' files as they are now. NULL and a line in `error`.
 */
static struct gn_tls_site *read_certificates(const struct genet *g, char *error,
                                             size_t room)
{
    const struct gn_tls_options o = {
        .certificates = (const char *const *)g->certificates,
        .keys = (const char *const *)g->keys,
        .client_ca = g->client_ca,
        .secret = g->worker ? g->worker->board->secret : NULL,
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

void gn_entrance_renew(struct genet *g)
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

/* ---- listening ---- */

int gn_entrance_listen(struct genet *g, char **addresses)
{
    char error[600];
    if (load_certificates(g, error, sizeof error) < 0 ||
        gn_acceptor_open(&g->acceptor, g->wires, g->tls, (const char *const *)addresses,
                         error, sizeof error) < 0)
        return gn_server_fail(g, error);
    gn_acceptor_urls(&g->acceptor, g->urls, sizeof g->urls);
    return 0;
}

/* ---- civetweb ---- */

static void on_request(struct gn_request *r, void *arg)
{
    struct genet *g = arg;
    if (g->options.threads)
        gn_crew_handle(r);
    else
        gn_generations_handle(&g->generations, r);
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
    return gn_reception_open(r) < 0 ? gn_server_fail(g, "out of memory") : 0;
}

static int open_civetweb(struct genet *g)
{
    const struct genet_options *o = &g->options;
    if (o->threads && open_reception(g) < 0)
        return -1;
    int r = gn_front_open(&g->front, &g->acceptor.stream,
                          o->threads ? o->threads : o->max_connections);
    return r < 0 ? gn_server_fail(g, g->front.error) : 0;
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

/* ---- opening ---- */

/* The port of the first listener that speaks TLS; 0 when there is none. */
static int secure_port(const struct gn_acceptor *a)
{
    for (unsigned i = 0; i < a->count; i++)
        if (a->listeners[i].secure)
            return a->listeners[i].port;
    return 0;
}

static void open_front(void *arg)
{
    struct genet *g = arg;
    const struct genet_options *o = &g->options;
    g->status = gn_entrance_listen(g, g->worker ? g->worker->listen : g->listen);
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

static void start_acceptor(void *arg)
{
    struct genet *g = arg;
    char error[300];
    if (gn_acceptor_start(&g->acceptor, error, sizeof error) < 0)
        g->status = gn_server_fail(g, error);
}

int gn_entrance_open(struct genet *g)
{
    at_desk(g, open_front);
    return g->status;
}

int gn_entrance_start(struct genet *g)
{
    at_desk(g, start_acceptor);
    return g->status;
}

void gn_entrance_give_up(struct genet *g)
{
    at_desk(g, give_up_front);
}

void gn_entrance_close(struct genet *g)
{
    at_desk(g, close_front);
}

/* ---- draining ---- */

static void begin_drain(void *arg)
{
    struct genet *g = arg;
    gn_wires_begin_drain(g->wires);
}

static void stop_accepting(void *arg)
{
    struct genet *g = arg;
    bool last = !g->worker || atomic_load(&g->worker->board->sealed);
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

size_t gn_entrance_drain(struct genet *g)
{
    at_desk(g, begin_drain);
    if (g->options.threads)
        gn_crew_begin_drain(&g->crew);
    at_desk(g, stop_accepting);
    at_desk(g, await_requests);
    if (g->left == 0)
        return 0;
    gn_log(GN_WARN, "%zu requests did not end in %g s: cancelled", g->left,
           g->options.drain);
    at_desk(g, cancel_requests);
    if (g->options.threads)
        gn_crew_abort(&g->crew);
    g->deadline = gn_after(GN_ABORT_SECONDS * GN_SECOND);
    at_desk(g, await_requests);
    return g->left;
}
