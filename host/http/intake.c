#include "intake.h"

#include "../log.h"
#include "../telemetry/observer.h"
#include "address.h"
#include "request.h"
#include "wire.h"

#include <errno.h>
#include <string.h>

static const char stand_in[GN_STAND_IN] = "GET / HTTP/1.1\r\n\r\n";

/* ---- refusals ---- */

/* Answers what cannot be handled, and ends the stream. Returns false. */
static bool refuse(struct gn_wire *w, int status, const char *why)
{
    const struct gn_head *seen = w->in ? &w->in->gate.head : NULL;
    const struct gn_head h = {.method = seen && seen->method ? seen->method : "",
                              .target = seen && seen->target ? seen->target : "",
                              .query = seen ? seen->query : NULL,
                              .minor = 1};
    struct gn_observer *o = w->wires->observer;
    struct gn_request r = {.wire = w, .head = &h};
    gn_log(GN_DEBUG, "refused a request: %d %s", status, why);
    gn_respond_error(&r, status, why);
    if (o && o->on)
        gn_observe_refusal(o, &r);
    w->ended = w->lingers = true;
    return false;
}

/* What is left to do when no more of a head comes: `r` is what gn_wire_read() said. */
static bool give_up(struct gn_wire *w, ssize_t r)
{
    if (r == -EAGAIN)
        return false; /* the next one has not come yet */
    if (r == -ETIMEDOUT && w->state == GN_WIRE_HEAD)
        return refuse(w, 408, "The head of the request took too long.");
    if (w->state == GN_WIRE_HEAD)
        gn_log(GN_DEBUG, "a client went away in the middle of a head");
    w->ended = true;
    return false;
}

/* The TLS handshake, if one is due. Returns false when the stream has ended. */
static bool secure(struct gn_wire *w)
{
    if (!w->tls || w->secured)
        return true;
    int r = gn_wire_secure(w, gn_after(w->wires->options.head_timeout));
    if (r == -ENOMSG)
        return refuse(w, 400, "This port speaks TLS: ask with https.");
    if (r < 0) {
        gn_log(GN_DEBUG, "a TLS handshake failed: %s", strerror(-r));
        w->ended = true;
        w->lingers = r == -EPROTO; /* so that the alert is read */
    }
    return r == 0;
}

/* ---- heads ---- */

/* Makes `in` hold nothing but what has not been consumed, so that a head has all the
 * room. */
static void compact(struct gn_input *in)
{
    memmove(in->bytes, in->bytes + in->off, in->len - in->off);
    in->len -= in->off;
    in->off = 0;
}

/* Gets an input to read into. While nothing comes an idle wire has none. */
static int prepare(struct gn_wire *w, int64_t deadline)
{
    if (w->in) {
        compact(w->in);
        return 0;
    }
    int r = gn_wire_wait(w, deadline);
    if (r == 0 && !w->ended && !(w->in = gn_input_take(w->wires)))
        r = -ENOMEM;
    return r;
}

/* Reads more of a head; from its first byte on the time for all of it runs. */
static ssize_t read_more(struct gn_wire *w, int64_t *deadline)
{
    struct gn_input *in = w->in;
    if (w->state == GN_WIRE_IDLE && in->len > 0) {
        w->state = GN_WIRE_HEAD;
        *deadline = gn_after(w->wires->options.head_timeout);
    }
    int r = gn_wire_flush(w);
    if (r < 0)
        return r;
    ssize_t n = gn_wire_read(w, in->bytes + in->len, gn_input_room(w->wires) - in->len,
                             *deadline);
    if (n > 0)
        in->len += (size_t)n;
    return n;
}

/* Reads the next head. Returns false at the end of the stream, whatever ended it. */
static bool next_head(struct gn_wire *w)
{
    struct gn_wires *ws = w->wires;
    int64_t deadline =
        ws->sched->now +
        (w->state == GN_WIRE_HEAD ? ws->options.head_timeout : ws->options.keep_alive);
    ssize_t r = prepare(w, deadline);
    if (r < 0 || w->ended)
        return give_up(w, r);
    struct gn_input *in = w->in;
    if (w->state != GN_WIRE_HEAD) /* else it goes on where another thread left off */
        gn_gate_init(&in->gate, ws->options.limits);
    for (;;) {
        int taken = in->len > 0 ? gn_gate_feed(&in->gate, in->bytes, in->len) : 0;
        if (taken < 0)
            return refuse(w, -taken, in->gate.reason);
        if (taken > 0) {
            in->off = (size_t)taken;
            w->head = in;
            return true;
        }
        if ((r = read_more(w, &deadline)) <= 0)
            return give_up(w, r);
    }
}

bool gn_intake_next(struct gn_wire *w)
{
    return !w->ended && secure(w) && next_head(w);
}

/* ---- as civetweb's socket ---- */

static struct gn_wire *wire_of(struct gn_stream *s)
{
    return gn_container_of(s, struct gn_wire, stream);
}

/* "Readable" is a promise: the request has come, or the end for civetweb. The time-out
 * is the wire's affair. */
static short intake_poll(struct gn_stream *s, short events, int timeout_ms)
{
    struct gn_wire *w = wire_of(s);
    (void)timeout_ms;
    gn_wire_put_worker(w, gn_fiber_self());
    if (!(events & POLLIN))
        return events & POLLOUT;
    if (w->feed == 0 && gn_intake_next(w))
        w->feed = GN_STAND_IN;
    return POLLIN;
}

ssize_t gn_intake_give(size_t *left, void *buf, size_t n, int flags)
{
    if (n > *left)
        n = *left;
    memcpy(buf, stand_in + GN_STAND_IN - *left, n);
    if (!(flags & MSG_PEEK))
        *left -= n;
    return (ssize_t)n;
}

static ssize_t intake_recv(struct gn_stream *s, void *buf, size_t n, int flags)
{
    return gn_intake_give(&wire_of(s)->feed, buf, n, flags);
}

/* civetweb has nothing to say that the host has not said. */
ssize_t gn_intake_send(struct gn_stream *s, const void *buf, size_t n, int flags)
{
    (void)s, (void)buf, (void)flags;
    return (ssize_t)n;
}

int gn_intake_name(struct gn_stream *s, struct sockaddr *addr, socklen_t *len)
{
    (void)s;
    gn_address_stand_in(addr, len, 0);
    return 0;
}

/* civetweb says this before it closes, when the wire may still have answers to send. */
int gn_intake_shutdown(struct gn_stream *s, int how)
{
    (void)s, (void)how;
    return 0;
}

static int intake_close(struct gn_stream *s)
{
    return gn_wire_close(wire_of(s));
}

const struct gn_stream_ops gn_intake = {
    .poll = intake_poll,
    .recv = intake_recv,
    .send = gn_intake_send,
    .name = gn_intake_name,
    .shutdown = gn_intake_shutdown,
    .close = intake_close,
};
