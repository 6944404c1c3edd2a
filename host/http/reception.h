/* The reception of the threaded mode: where connections wait for a thread.
 *
 * An idle connection must not hold a thread. So all of them live here, on a thread of
 * its own, which makes TLS handshakes and reads heads; once a head is whole the
 * connection is lent to the counter of a worker (counter.h), and comes back to wait
 * here, or to be closed. WebSockets hold no worker either: each has a fiber of its own
 * beside it, on the same thread. */
#ifndef GN_RECEPTION_H
#define GN_RECEPTION_H

#include "acceptor.h"
#include "counter.h"

#include <pthread.h>
#include <stdatomic.h>

struct gn_reception {
    struct gn_wires wires; /* the home of all */
    struct gn_acceptor *acceptor;
    int most; /* connections at once */
    struct gn_counter *counters;
    struct gn_counter *unclaimed; /* the next one that civetweb is to get */
    atomic_uint loans;            /* that there have been; any thread */
    atomic_uint waiting;          /* wires that are to be lent; any thread */
    struct gn_timer patience;     /* runs for a while after each loan; at home */
    unsigned begun;               /* how many loans there had been when it began */
    pthread_mutex_t lock;         /* protects the following */
    struct gn_list lendable; /* wires whose heads have been read, the oldest first */
    struct gn_list idle;     /* counters that are free, the latest first */
    struct gn_counter *summoned; /* is on its way to fetch one; NULL: none is */
    struct gn_counter *asked;    /* where to begin to look for one to ask */
    bool closing;
    /* Answers the request whose head stands in the wire. On a worker's thread. */
    void (*serve)(struct gn_wire *, void *arg);
    void *arg;
};

void gn_reception_init(struct gn_reception *, struct gn_sched *,
                       const struct gn_wire_options *);

/* Adds the counter of a worker whose scheduler this is, until gn_counter_term(). */
void gn_reception_add(struct gn_reception *, struct gn_counter *, struct gn_sched *,
                      const struct gn_wire_options *);

/* Receives what the acceptor will take: call after gn_acceptor_open(), before civetweb
 * starts, on the thread of its wires. Returns 0 or a negative errno. */
int gn_reception_open(struct gn_reception *);

/* Has the workers leave their counters: civetweb is about to stop. Any thread. */
void gn_reception_close(struct gn_reception *);

void gn_reception_term(struct gn_reception *);

/* ---- for the counters, on their threads ---- */

/* Whether wires wait to be lent. */
static inline bool gn_reception_is_wanted(const struct gn_reception *r)
{
    return atomic_load(&r->waiting) > 0;
}

/* Takes the next wire that is to be served. May wait. NULL: no more come. */
struct gn_wire *gn_reception_next(struct gn_reception *, struct gn_counter *);

/* Tells that a counter that has been asked goes on with its wire. */
void gn_reception_decline(struct gn_reception *, struct gn_counter *);

/* Tells that a request of a wire has come: notes how long ago the last one was, in
 * loans. */
void gn_reception_note(struct gn_wire *);

/* Gives up a wire: sends it home, or has the request of one that `moves` served by a
 * fiber of its own. May wait until what is held has been sent. */
void gn_reception_return(struct gn_wire *);

#endif
