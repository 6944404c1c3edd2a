/* The reception of the threaded mode: where connections wait for a thread.
 *
 * An idle connection must not hold a thread. So all of them live here, on a thread of
 * its own, which makes TLS handshakes and reads heads; once a head is whole the
 * connection is lent, through civetweb's queue, to the counter of a worker. It stays
 * there for one request after the other as long as nobody else wants the worker, and
 * comes back to wait here, or to be closed. WebSockets hold no worker either: each has
 * a fiber of its own beside it, on the same thread. */
#ifndef GN_RECEPTION_H
#define GN_RECEPTION_H

#include "acceptor.h"

#include <stdatomic.h>

struct gn_reception;

/* What a counter does. */
enum gn_counter_state {
    GN_COUNTER_BUSY,    /* has no connection, or answers its request */
    GN_COUNTER_HOLDING, /* waits with one for its next request */
    GN_COUNTER_ASKED    /* and has been asked to give it back */
};

/* Where a worker serves what it has borrowed. Its thread's, except where said. */
struct gn_counter {
    struct gn_counter *next; /* of the reception's */
    struct gn_reception *reception;
    struct gn_wires wires;
    unsigned served; /* requests in a row of the present connection */
    _Atomic(enum gn_counter_state) state; /* any thread */
    struct gn_message request; /* "give back what you hold", under way while ASKED */
};

struct gn_reception {
    struct gn_wires wires; /* the home of all */
    struct gn_acceptor *acceptor;
    int most;                /* connections at once */
    struct gn_list lendable; /* wires whose heads have been read, the oldest first */
    struct gn_counter *counters;
    unsigned count;           /* of them */
    struct gn_counter *asked; /* the latest that was asked */
    atomic_uint waiting;      /* wires that are to be lent; any thread */
    atomic_uint lent;         /* counters that have one; any thread */
    /* Answers the request whose head stands in the wire. On a worker's thread. */
    void (*serve)(struct gn_wire *, void *arg);
    void *arg;
};

/* Adds the counter of a worker whose scheduler this is; until gn_wires_term() of its
 * wires. Before gn_reception_open(). */
void gn_reception_add(struct gn_reception *, struct gn_counter *, struct gn_sched *,
                      const struct gn_wire_options *);

/* Begins to receive what the acceptor takes: call between gn_acceptor_open() and
 * gn_acceptor_start(), on the thread of its wires. Returns 0 or -ENOMEM. */
int gn_reception_open(struct gn_reception *);

/* ---- for the intake, on a worker's thread ---- */

/* Takes a wire that has been lent. Returns 0 or a negative errno: it is broken then. */
int gn_reception_borrow(struct gn_wire *);

/* Around the wait of a borrowed wire for its next request. Returns false when others
 * have waited long enough. */
bool gn_reception_hold(struct gn_wire *);
void gn_reception_let_go(struct gn_wire *);

/* Gives up a wire that civetweb closes: sends it home, or has the request of one that
 * `moves` served by a fiber of its own. May wait until what is held has been sent. */
void gn_reception_return(struct gn_wire *);

#endif
