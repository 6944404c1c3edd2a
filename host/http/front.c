#include "front.h"

#include "../libc/thread.h"
#include "../log.h"

#include <civetweb.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    HEAD_MAX = 16 * 1024 /* bytes of a request's head */
};

/* ---- requests ---- */

static ssize_t read_body(struct gn_request *r, void *buf, size_t n)
{
    if (r->content_length > 0 && n > (size_t)(r->content_length - r->received))
        n = (size_t)(r->content_length - r->received);
    int got = mg_read(r->front, buf, n);
    bool cut = got <= 0 && r->content_length > r->received;
    if (got < 0 || cut || r->wire->broken || (r->chunked && r->wire->ended))
        return -EPIPE;
    r->body_done = got == 0 || r->received + got == r->content_length;
    return got;
}

/* What two headers say of the connection. civetweb keeps it when the client asked for
 * that or, in 1.1, did not object, but never after a wish to upgrade. */
static void note(struct gn_request *r, const struct mg_header *h)
{
    if (strcasecmp(h->name, "Connection") == 0)
        r->keep =
            strcasestr(h->value, "keep-alive") && !strcasestr(h->value, "upgrade");
    else if (strcasecmp(h->name, "Transfer-Encoding") == 0)
        r->chunked = strcasecmp(h->value, "identity") != 0;
}

static void parse(struct gn_request *r, struct mg_connection *c,
                  const struct gn_front *f)
{
    const struct mg_request_info *info = mg_get_request_info(c);
    r->front = c;
    r->read = read_body;
    r->wire = gn_wire_self();
    r->method = info->request_method;
    r->target = info->local_uri_raw;
    r->query = info->query_string;
    r->version = info->http_version;
    r->max_body = f->max_body;
    r->chunked = r->continued = false;
    r->keep = r->version[2] == '1';
    r->header_count = info->num_headers;
    for (int i = 0; i < info->num_headers; i++) {
        r->headers[i] =
            (struct gn_header){info->http_headers[i].name, info->http_headers[i].value};
        if ((*info->http_headers[i].name | 32) == 'c' ||
            (*info->http_headers[i].name | 32) == 't')
            note(r, &info->http_headers[i]);
    }
    r->content_length = r->chunked ? -1 : info->content_length;
    r->body_done = !r->chunked && r->content_length <= 0;
    r->received = 0;
    r->progress = GN_UNANSWERED;
    r->status = 0;
}

/* Lets civetweb close where it would otherwise read on: it throws away what is left of
 * a body, however long that is. */
static void finish(struct gn_request *r, struct mg_connection *c)
{
    if (!r->keep)
        mg_disable_connection_keep_alive(c);
    r->wire->lingers = !r->body_done;
    gn_wire_end(r->wire, r->keep);
}

static int on_request(struct mg_connection *c)
{
    struct gn_front *f = mg_get_user_data(mg_get_context(c));
    struct gn_request r;
    parse(&r, c, f);
    gn_wire_begin(r.wire);
    if (r.content_length > r.max_body) {
        r.keep = false;
        gn_respond_error(&r, 413, "The body is larger than this server takes.");
    } else {
        f->handler(&r, f->arg);
    }
    finish(&r, c);
    return r.status;
}

/* Returns 0: civetweb shall not answer. */
static int on_error(struct mg_connection *c, int status, const char *why)
{
    struct gn_request r = {.wire = gn_wire_self(), .method = "", .version = "1.1"};
    (void)c;
    status = status == 413   ? 431
             : status == 411 ? 400
                             : status; /* it means the head; a bad length */
    r.wire->lingers = true;
    gn_respond_error(&r, status, why);
    gn_log(GN_DEBUG, "refused a request: %d %s", status, why);
    gn_wire_end(r.wire, false);
    return 0;
}

static int on_message(const struct mg_connection *c, const char *text)
{
    (void)c;
    struct gn_front *f = mg_get_user_data(mg_get_context(c));
    snprintf(f->error, sizeof f->error, "%s", text);
    gn_log(GN_DEBUG, "civetweb: %s", text);
    return 1;
}

/* ---- life ---- */

static struct mg_context *start(struct gn_front *f, int connections)
{
    char workers[16], head[16];
    const struct mg_callbacks callbacks = {
        .begin_request = on_request, .http_error = on_error, .log_message = on_message};
    /* clang-format off */
    const char *options[] = {
        "listening_ports", "127.0.0.1:1", /* any: bind() adopts the listener */
        "num_threads", workers,
        "max_request_size", head,
        "enable_keep_alive", "yes",
        "listen_backlog", "65535",
        "request_timeout_ms", "inf", /* the wire keeps the time */
        "keep_alive_timeout_ms", "inf",
        "connection_queue", "64",
        "decode_url", "no",
        NULL};
    /* clang-format on */
    snprintf(workers, sizeof workers, "%d", connections);
    snprintf(head, sizeof head, "%d", HEAD_MAX);
    return mg_start(&callbacks, f, options);
}

int gn_front_open(struct gn_front *f, struct gn_listener *l, int connections)
{
    gn_threads_as_fibers();
    mg_init_library(MG_FEATURES_DEFAULT);
    gn_bind_adopts(&l->stream);
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
