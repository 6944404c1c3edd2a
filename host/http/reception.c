#include "reception.h"

#include "../libc/real.h"
#include "../log.h"
#include "intake.h"

#include <errno.h>

enum {
    FEW = 2,      /* loans between two requests of a wire that is called lonely */
    PATIENCE = 2, /* ms that whoever is summoned has until another one is */
    FULL_MS = 10  /* between two looks whether another connection may be taken */
};

static const int64_t SHORT = PATIENCE * GN_MS / 2; /* of a loan */

static struct gn_reception *reception_of(struct gn_wires *home)
{
    return gn_container_of(home, struct gn_reception, wires);
}

/* Nothing waits while holding it. */
static void lock(struct gn_reception *r)
{
    gn_real()->pthread_mutex_lock(&r->lock);
}

static void unlock(struct gn_reception *r)
{
    gn_real()->pthread_mutex_unlock(&r->lock);
}

/* ---- whom to lend to ---- */

static struct gn_counter *pop_idle(struct gn_reception *r)
{
    struct gn_list *l = gn_list_pop(&r->idle);
    return l ? gn_container_of(l, struct gn_counter, idle) : NULL;
}

/* A counter that is to be asked for the connection that it only holds; they take turns.
 * With the lock. */
static struct gn_counter *pick_holding(struct gn_reception *r)
{
    struct gn_counter *first = r->asked ? r->asked : r->counters, *c = first;
    do {
        r->asked = c->next ? c->next : r->counters;
        if (gn_counter_spares(c)) {
            atomic_fetch_add(&r->loans, FEW + 1); /* nobody is lonely any more */
            return c;
        }
    } while ((c = r->asked) != first);
    return NULL;
}

/* Summons a counter if there is something to fetch, unless one is on its way: whoever
 * comes summons the next one. So there are never more awake than there is work for. */
static void summon(struct gn_reception *r)
{
    struct gn_counter *free = NULL, *holding = NULL;
    lock(r);
    if (!r->summoned && !gn_list_empty(&r->lendable)) {
        free = pop_idle(r);
        holding = free ? NULL : pick_holding(r);
        r->summoned = free ? free : holding;
    }
    unlock(r);
    if (free)
        gn_counter_call(free);
    if (holding)
        gn_counter_ask(holding);
}

void gn_reception_decline(struct gn_reception *r, struct gn_counter *c)
{
    lock(r);
    if (r->summoned == c)
        r->summoned = NULL;
    unlock(r);
    summon(r);
}

/* Without memory for the timer the next loan tries again. */
static void be_patient(struct gn_reception *r)
{
    r->begun = atomic_load(&r->loans);
    gn_timer_add(&r->wires.sched->timers, &r->patience, gn_after_ms(PATIENCE));
}

/* The thread of whoever has been summoned may be held by something else. And wires come
 * home without a word: at the latest now they have been found. */
static void on_impatience(struct gn_timer *t)
{
    struct gn_reception *r = gn_container_of(t, struct gn_reception, patience);
    bool wanted = gn_reception_is_wanted(r);
    if (wanted) {
        lock(r);
        r->summoned = NULL;
        unlock(r);
        summon(r);
    }
    if (wanted || r->begun != atomic_load(&r->loans))
        be_patient(r);
}

/* ---- at home ---- */

void gn_reception_note(struct gn_wire *w)
{
    struct gn_reception *r = reception_of(w->home);
    unsigned loans = atomic_load(&r->loans);
    w->loan.lonely = loans - w->loan.mark <= FEW;
    w->loan.mark = loans;
}

static void lend(struct gn_reception *r, struct gn_wire *w)
{
    atomic_fetch_add(&r->loans, 1);
    gn_reception_note(w);
    w->loan.since = gn_now();
    gn_wire_leave(w);
    lock(r);
    gn_list_append(&r->lendable, &w->link);
    atomic_fetch_add(&r->waiting, 1);
    unlock(r);
    if (!gn_timer_armed(&r->patience))
        be_patient(r);
    summon(r);
}

/* Waits with a connection for its next request. */
static void receive(void *arg)
{
    struct gn_wire *w = arg;
    gn_wire_put_worker(w, gn_fiber_self());
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
    struct gn_wire *w = gn_container_of(m, struct gn_wire, loan.message);
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

/* ---- at a counter ---- */

/* With the lock: the oldest wire, or NULL, and then the counter is free. */
static struct gn_wire *pop_lendable(struct gn_reception *r, struct gn_counter *c)
{
    struct gn_list *l = gn_list_pop(&r->lendable);
    if (r->summoned == c)
        r->summoned = NULL;
    if (l)
        atomic_fetch_sub(&r->waiting, 1);
    else if (!r->closing)
        gn_list_push(&r->idle, &c->idle);
    return l ? gn_container_of(l, struct gn_wire, link) : NULL;
}

struct gn_wire *gn_reception_next(struct gn_reception *r, struct gn_counter *c)
{
    for (;;) {
        lock(r);
        struct gn_wire *w = pop_lendable(r, c);
        bool closing = r->closing;
        unlock(r);
        if (gn_reception_is_wanted(r))
            summon(r);
        if (w || closing)
            return w;
        gn_counter_await_call(c);
    }
}

/* Whether home learns early enough that a wire has come back if it is not woken: when
 * something of it arrives, or by the timer of its loan. */
static bool can_come_quietly(struct gn_wire *w)
{
    return !w->ended && !w->in && !w->buffered && atomic_load(&w->loan.missed) == 0 &&
           gn_now() - w->loan.since < SHORT;
}

/* Home counts what it misses before it looks for notes, and this looks at the count
 * after it has left the note: one of the two notices the other. The wire is home's by
 * then. */
static void go_home(struct gn_wire *w)
{
    struct gn_wires *home = w->home;
    gn_wire_leave(w);
    unsigned missed = atomic_load(&home->missed);
    bool quiet = can_come_quietly(w);
    w->loan.message.fn = on_return;
    gn_sched_leave_note(home->sched, &w->loan.message);
    if (!quiet || atomic_load(&home->missed) != missed)
        gn_sched_rouse(home->sched);
}

/* Serves one request of a connection beside the worker that has given it up. */
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
    gn_wire_settle(w);
    w->moves = false;
    if (gn_fiber_new(w->wires->sched, "request", serve_apart, w))
        return;
    w->broken = w->ended = true;
    go_home(w);
}

void gn_reception_return(struct gn_wire *w)
{
    gn_wire_flush(w);
    if (w->moves)
        begin_apart(w);
    else
        go_home(w);
}

/* ---- life ---- */

void gn_reception_init(struct gn_reception *r, struct gn_sched *s,
                       const struct gn_wire_options *options)
{
    *r = (struct gn_reception){.patience.fn = on_impatience};
    gn_wires_init(&r->wires, s, options);
    pthread_mutex_init(&r->lock, NULL);
    gn_list_init(&r->lendable);
    gn_list_init(&r->idle);
}

void gn_reception_add(struct gn_reception *r, struct gn_counter *c, struct gn_sched *s,
                      const struct gn_wire_options *options)
{
    gn_counter_init(c, r, s, options);
    c->next = r->counters;
    r->counters = r->unclaimed = c;
}

/* What civetweb gets. */
static struct gn_stream *next_counter(void *arg)
{
    struct gn_reception *r = arg;
    struct gn_counter *c = r->unclaimed;
    if (!c)
        return NULL;
    r->unclaimed = c->next;
    return &c->stream;
}

int gn_reception_open(struct gn_reception *r)
{
    for (struct gn_counter *c = r->counters; c; c = c->next) {
        int failed = gn_counter_open(c);
        if (failed < 0)
            return failed;
    }
    gn_acceptor_set_source(r->acceptor, next_counter, r);
    return gn_fiber_new(r->wires.sched, "accept", take_connections, r) ? 0 : -ENOMEM;
}

void gn_reception_close(struct gn_reception *r)
{
    struct gn_counter *c;
    lock(r);
    r->closing = true;
    unlock(r);
    do {
        lock(r);
        c = pop_idle(r);
        unlock(r);
        if (c)
            gn_counter_call(c);
    } while (c);
}

void gn_reception_term(struct gn_reception *r)
{
    pthread_mutex_destroy(&r->lock);
}
