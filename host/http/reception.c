#include "reception.h"

#include "../log.h"
#include "intake.h"

#include <errno.h>

enum {
    RUN = 64,    /* requests in a row of one connection while others wait */
    FULL_MS = 10 /* between two looks whether another connection may be taken */
};

/* ---- demand ---- */

/* Whether more connections wait than there are counters free. */
static bool in_demand(struct gn_reception *r)
{
    return atomic_load(&r->waiting) + atomic_load(&r->lent) > r->count;
}

static bool change(struct gn_counter *c, enum gn_counter_state from,
                   enum gn_counter_state to)
{
    return atomic_compare_exchange_strong(&c->state, &from, to);
}

/* On the counter's thread. */
static void on_asked(struct gn_message *m)
{
    struct gn_counter *c = gn_container_of(m, struct gn_counter, request);
    atomic_store(&c->state, GN_COUNTER_BUSY);
    gn_wires_want(&c->wires);
}

/* Asks a counter that only holds its connection to give it back; they take turns. */
static void ask_for_counter(struct gn_reception *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        struct gn_counter *c = r->asked ? r->asked : r->counters;
        r->asked = c->next;
        if (!change(c, GN_COUNTER_HOLDING, GN_COUNTER_ASKED))
            continue;
        c->request.fn = on_asked;
        gn_sched_post(c->wires.sched, &c->request);
        return;
    }
}

/* ---- at home ---- */

static struct gn_reception *reception_of(struct gn_wires *home)
{
    return gn_container_of(home, struct gn_reception, wires);
}

static void lend(struct gn_reception *r, struct gn_wire *w)
{
    gn_wire_leave(w);
    gn_list_append(&r->lendable, &w->link);
    atomic_fetch_add(&r->waiting, 1);
    gn_acceptor_offer(r->acceptor);
    if (in_demand(r))
        ask_for_counter(r);
}

/* What civetweb gets. */
static struct gn_wire *next_lendable(void *arg)
{
    struct gn_reception *r = arg;
    struct gn_list *l = gn_list_pop(&r->lendable);
    return l ? gn_container_of(l, struct gn_wire, link) : NULL;
}

/* Waits with a connection for its next request. */
static void receive(void *arg)
{
    struct gn_wire *w = arg;
    gn_wire_put_worker(w, gn_fiber_self());
    if (w->wires->draining && w->state == GN_WIRE_IDLE && !w->in)
        w->ended = true;
    if (gn_intake_next(w))
        lend(reception_of(w->home), w);
    else
        gn_wire_close(w);
}

/* Without memory for a fiber the connection is closed, which waits for nobody once it
 * is broken. */
static void begin_to_receive(struct gn_wire *w)
{
    if (gn_fiber_new(w->home->sched, "reception", receive, w))
        return;
    w->broken = w->ended = true;
    gn_wire_close(w);
}

static void on_return(struct gn_message *m)
{
    struct gn_wire *w = gn_container_of(m, struct gn_wire, message);
    gn_wire_enter(w, w->home);
    begin_to_receive(w);
}

/* Takes connections, up to so many at once. */
static void take_connections(void *arg)
{
    struct gn_reception *r = arg;
    struct gn_wire *w;
    while ((w = gn_acceptor_take(r->acceptor))) {
        begin_to_receive(w);
        while (r->wires.count >= (size_t)r->most)
            gn_sleep_until(gn_after_ms(FULL_MS));
    }
}

void gn_reception_add(struct gn_reception *r, struct gn_counter *c, struct gn_sched *s,
                      const struct gn_wire_options *options)
{
    *c = (struct gn_counter){.reception = r, .next = r->counters};
    gn_wires_init(&c->wires, s, options);
    c->wires.counter = c;
    r->counters = c;
    r->count++;
}

int gn_reception_open(struct gn_reception *r)
{
    gn_list_init(&r->lendable);
    gn_acceptor_set_source(r->acceptor, next_lendable, r);
    return gn_fiber_new(r->wires.sched, "accept", take_connections, r) ? 0 : -ENOMEM;
}

/* ---- at a counter ---- */

int gn_reception_borrow(struct gn_wire *w)
{
    struct gn_reception *r = reception_of(w->home);
    struct gn_counter *c = gn_sched_self()->owner;
    atomic_fetch_add(&r->lent, 1);
    atomic_fetch_sub(&r->waiting, 1);
    c->wires.wanted = false;
    c->served = 0;
    return gn_wire_enter(w, &c->wires);
}

/* Who asks looks at the state after it has counted itself as waiting, and this looks at
 * the demand after it has changed the state: one of the two notices the other. */
bool gn_reception_hold(struct gn_wire *w)
{
    struct gn_counter *c = w->wires->counter;
    change(c, GN_COUNTER_BUSY, GN_COUNTER_HOLDING);
    c->served++;
    if (in_demand(c->reception))
        c->wires.wanted = true;
    return !c->wires.wanted || c->served < RUN;
}

void gn_reception_let_go(struct gn_wire *w)
{
    change(w->wires->counter, GN_COUNTER_HOLDING, GN_COUNTER_BUSY);
}

static void go_home(struct gn_wire *w)
{
    if (w->wires)
        gn_wire_leave(w);
    w->message.fn = on_return;
    gn_sched_post(w->home->sched, &w->message);
}

/* Serves one request of a connection that civetweb has given up. */
static void serve_apart(void *arg)
{
    struct gn_wire *w = arg;
    struct gn_reception *r = reception_of(w->home);
    gn_wire_put_worker(w, gn_fiber_self());
    r->serve(w, r->arg);
    gn_wire_flush(w);
    go_home(w);
}

static void begin_apart(struct gn_wire *w)
{
    gn_wire_put_worker(w, NULL);
    w->moves = false;
    if (gn_fiber_new(w->wires->sched, "request", serve_apart, w))
        return;
    w->broken = w->ended = true;
    go_home(w);
}

void gn_reception_return(struct gn_wire *w)
{
    struct gn_reception *r = reception_of(w->home);
    atomic_fetch_sub(w->wires ? &r->lent : &r->waiting, 1);
    gn_wire_flush(w);
    if (w->moves)
        begin_apart(w);
    else
        go_home(w);
}
