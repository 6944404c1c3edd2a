#include "front.h"

#include "../libc/thread.h"
#include "../log.h"
#include "../telemetry/observer.h"

#include <civetweb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- requests ---- */

/* Sends the client to the same target under https; 308 keeps method and body. */
static void redirect(const struct gn_front *f, struct gn_request *r)
{
    const struct gn_head *h = r->head;
    const char *host = h->host;
    if (!host || !*host) {
        r->keep = false;
        gn_respond_error(r, 400, "Without a Host there is no telling where to.");
        return;
    }
    const char *end = strrchr(host, ']') ? strrchr(host, ']') : host;
    int name = (int)(end - host) + (int)strcspn(end, ":");
    char port[16] = "", *line = NULL;
    if (f->redirect_port != 443)
        snprintf(port, sizeof port, ":%d", f->redirect_port);
    int n = asprintf(&line, "Location: https://%.*s%s%s%s%s\r\n", name, host, port,
                     h->target, h->query ? "?" : "", h->query ? h->query : "");
    gn_respond(r, n < 0 ? 503 : 308, n < 0 ? "" : line, n < 0 ? 0 : (size_t)n, "", 0);
    free(line);
}

static void answer(struct gn_front *f, struct gn_request *r)
{
    if (f->redirect_port && !r->wire->tls && *r->head->target == '/') {
        redirect(f, r);
    } else if (strcmp(r->head->method, "CONNECT") == 0) {
        r->keep = false;
        gn_respond_error(r, 501, "This server is no proxy.");
    } else {
        f->handler(r, f->arg);
    }
}

void gn_front_serve(struct gn_wire *w, void *front)
{
    struct gn_front *f = front;
    struct gn_request r;
    struct gn_observer *o = w->wires->observer;
    gn_request_begin(&r, w, f->max_body);
    if (o && o->on)
        gn_observe_begin(o, &r);
    answer(f, &r);
    if (r.observed)
        gn_observe_end(o, &r);
    gn_request_end(&r);
}

/* civetweb has seen a head; whose it stands for waits in the wire. */
static int on_request(struct mg_connection *c)
{
    struct gn_front *f = mg_get_user_data(mg_get_context(c));
    struct gn_wire *w = gn_wire_self();
    if (f->places && w->head->gate.head.upgrade)
        w->moves = true; /* it may go on for hours: no worker is to wait for it */
    else
        gn_front_serve(w, f);
    return 1;
}

/* Returns 0: civetweb shall not answer. It cannot happen, since all it sees is our own.
 */
static int on_error(struct mg_connection *c, int status, const char *why)
{
    (void)c;
    gn_log(GN_ERROR, "civetweb refused its head: %d %s", status, why);
    gn_wire_self()->ended = true;
    return 0;
}

static int on_message(const struct mg_connection *c, const char *text)
{
    struct gn_front *f = mg_get_user_data(mg_get_context(c));
    snprintf(f->error, sizeof f->error, "%s", text);
    gn_log(GN_DEBUG, "civetweb: %s", text);
    return 1;
}

/* ---- life ---- */

static struct mg_context *start(struct gn_front *f, int connections)
{
    char workers[16];
    const struct mg_callbacks callbacks = {
        .begin_request = on_request, .http_error = on_error, .log_message = on_message};
    /* clang-format off */
    const char *options[] = {
        "listening_ports", "127.0.0.1:1", /* any: bind() adopts the listener */
        "num_threads", workers,
        "max_request_size", "1024", /* the least it takes; our heads are shorter */
        "enable_keep_alive", "yes",
        "request_timeout_ms", "inf", /* the wire keeps the time */
        "keep_alive_timeout_ms", "inf",
        "connection_queue", "64",
        "decode_url", "no",
        NULL};
    /* clang-format on */
    snprintf(workers, sizeof workers, "%d", connections);
    return mg_start(&callbacks, f, options);
}

int gn_front_open(struct gn_front *f, struct gn_stream *listener, int connections)
{
    if (f->places)
        gn_threads_on(f->places, (unsigned)connections);
    else
        gn_threads_as_fibers();
    mg_init_library(MG_FEATURES_DEFAULT);
    gn_bind_adopts(listener);
    f->library = start(f, connections);
    if (gn_threads_plain() < 0 || !f->library)
        return -1;
    gn_yield(); /* the first worker goes to wait before the first connection comes */
    return 0;
}

void gn_front_close(struct gn_front *f)
{
    if (f->library)
        mg_stop(f->library);
    f->library = NULL;
    mg_exit_library();
}
