#include "counter.h"

#include "intake.h"
#include "reception.h"

#include <errno.h>

enum { RUN = 64 }; /* requests of one connection in a row that have come together */

/* Which worker takes which of the streams is civetweb's affair: whatever it has taken,
 * it serves at the counter of its thread. */
static struct gn_counter *counter_here(void)
{
    return gn_sched_self()->owner;
}

/* ---- with a connection ---- */

static bool change(struct gn_counter *c, enum gn_counter_state from,
                   enum gn_counter_state to)
{
    return atomic_compare_exchange_strong(&c->state, &from, to);
}

static void on_asked(struct gn_message *m)
{
    struct gn_counter *c = gn_container_of(m, struct gn_counter, request);
    atomic_store(&c->state, GN_COUNTER_BUSY);
    gn_wires_want(&c->wires);
}

bool gn_counter_spares(struct gn_counter *c)
{
    return change(c, GN_COUNTER_HOLDING, GN_COUNTER_ASKED);
}

void gn_counter_ask(struct gn_counter *c)
{
    c->request.fn = on_asked;
    gn_sched_post(c->wires.sched, &c->request);
}

/* Whether the wire may wait here for its next request. Who asks looks at the state
 * after a wire waits, and this looks for waiting wires after it has changed the state:
 * one of the two notices the other. */
static bool begin_to_hold(struct gn_counter *c)
{
    if (!c->wire->loan.lonely)
        return false;
    change(c, GN_COUNTER_BUSY, GN_COUNTER_HOLDING);
    if (!gn_reception_is_wanted(c->reception))
        return true;
    change(c, GN_COUNTER_HOLDING, GN_COUNTER_BUSY);
    return false;
}

/* The next request of the wire, if it has come with the last one or may be awaited. */
static bool has_next(struct gn_counter *c)
{
    struct gn_wire *w = c->wire;
    if (w->moves || w->ended)
        return false;
    bool together = (w->in || w->buffered) && ++c->served < RUN;
    bool holds = begin_to_hold(c);
    c->wires.wanted = !holds;
    bool there = (holds || together) && gn_intake_next(w);
    bool asked = holds && !change(c, GN_COUNTER_HOLDING, GN_COUNTER_BUSY);
    if (there)
        gn_reception_note(w);
    if (there && asked)
        gn_reception_decline(c->reception, c);
    return there;
}

static void take(struct gn_counter *c, struct gn_wire *w)
{
    c->wire = w;
    c->served = 0;
    gn_wire_enter(w, &c->wires);
    gn_wire_put_worker(w, gn_fiber_self());
}

static bool next_request(struct gn_counter *c)
{
    struct gn_wire *w = c->wire;
    if (w && has_next(c))
        return true;
    c->wire = NULL;
    if (w)
        gn_reception_return(w);
    if ((w = gn_reception_next(c->reception, c)))
        take(c, w);
    return w;
}

/* ---- without ---- */

void gn_counter_await_call(struct gn_counter *c)
{
    c->waiting = gn_fiber_self();
    while (!c->called)
        gn_park_shielded(GN_NEVER);
    c->waiting = NULL;
    c->called = false;
}

static void on_call(struct gn_message *m)
{
    struct gn_counter *c = gn_container_of(m, struct gn_counter, call);
    c->called = true;
    if (c->waiting)
        gn_wake(c->waiting);
}

void gn_counter_call(struct gn_counter *c)
{
    c->call.fn = on_call;
    gn_sched_post(c->wires.sched, &c->call);
}

/* ---- as civetweb's socket ---- */

/* "Readable" is a promise, as the intake's. */
static short counter_poll(struct gn_stream *s, short events, int timeout_ms)
{
    struct gn_counter *c = counter_here();
    (void)s, (void)timeout_ms;
    if (!(events & POLLIN))
        return events & POLLOUT;
    if (c->feed == 0 && next_request(c))
        c->feed = GN_STAND_IN;
    return POLLIN;
}

static ssize_t counter_recv(struct gn_stream *s, void *buf, size_t n, int flags)
{
    (void)s;
    return gn_intake_give(&counter_here()->feed, buf, n, flags);
}

static const struct gn_stream_ops ops = {
    .poll = counter_poll,
    .recv = counter_recv,
    .send = gn_intake_send,
    .name = gn_intake_name,
    .shutdown = gn_intake_shutdown,
    .close = gn_stream_close,
};

/* ---- life ---- */

void gn_counter_init(struct gn_counter *c, struct gn_reception *r, struct gn_sched *s,
                     const struct gn_wire_options *options)
{
    *c = (struct gn_counter){.reception = r, .stream = {.ops = &ops, .fd = -1}};
    gn_wires_init(&c->wires, s, options);
    gn_list_init(&c->idle);
}

void gn_counter_term(struct gn_counter *c)
{
    gn_stream_close(&c->stream);
    gn_wires_term(&c->wires);
}

/* A socket, since civetweb sets options; it is never connected to anything. */
int gn_counter_open(struct gn_counter *c)
{
    c->stream.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->stream.fd < 0)
        return -errno;
    int r = gn_stream_own(&c->stream);
    if (r < 0)
        gn_stream_close(&c->stream);
    return r;
}
