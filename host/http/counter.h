/* A counter: where a worker of civetweb's serves, in the threaded mode.
 *
 * civetweb believes that each of its workers has one connection, which is kept for
 * ever. Behind it those of the reception take turns: each comes with a request whose
 * head has been read, and goes home after the answer. Only while hardly any other comes
 * does it wait here for its next request. */
#ifndef GN_COUNTER_H
#define GN_COUNTER_H

#include "wire.h"

struct gn_reception;

enum gn_counter_state {
    GN_COUNTER_BUSY,    /* has no connection, or answers its request */
    GN_COUNTER_HOLDING, /* waits with one for its next request */
    GN_COUNTER_ASKED    /* and has been asked to give it back */
};

/* Its thread's, except where said. */
struct gn_counter {
    struct gn_stream stream; /* what civetweb gets, for whichever of its workers */
    struct gn_counter *next; /* of the reception's */
    struct gn_reception *reception;
    struct gn_wires wires;
    struct gn_wire *wire;     /* whose request is answered, or awaited; NULL: none */
    size_t feed;              /* bytes that civetweb still has to take, see intake.c */
    unsigned served;          /* requests in a row of this wire */
    struct gn_list idle;      /* in the reception's list while free; under its lock */
    struct gn_fiber *waiting; /* the worker while there is nothing to do; or NULL */
    bool called;              /* there may be something to do */
    struct gn_message call;   /* "look again", under way once out of the list */
    _Atomic(enum gn_counter_state) state; /* any thread */
    struct gn_message request; /* "give back what you hold", under way while ASKED */
};

/* Makes one on this scheduler, without its descriptor; until gn_counter_term(). */
void gn_counter_init(struct gn_counter *, struct gn_reception *, struct gn_sched *,
                     const struct gn_wire_options *);
void gn_counter_term(struct gn_counter *);

/* Makes what civetweb is to hold, and will close. Any thread, before it is handed out.
 * Returns 0 or a negative errno. */
int gn_counter_open(struct gn_counter *);

/* Waits until it is called. May wait. */
void gn_counter_await_call(struct gn_counter *);

/* Calls one that has been taken out of the list of those that are free. Any thread. */
void gn_counter_call(struct gn_counter *);

/* Whether it only holds a connection: then it is to be asked for it. Any thread. */
bool gn_counter_spares(struct gn_counter *);

/* Asks one that spares its connection to give it back. Any thread. */
void gn_counter_ask(struct gn_counter *);

#endif
