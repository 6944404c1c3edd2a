/* The crew of the threaded mode: civetweb's workers, each on an OS thread with a
 * scheduler, a Lua state and WebSockets of its own, and the reception, on one more.
 *
 * The state of a thread is made when it is first needed, of the generation that the
 * leader, on the host's own thread, has loaded last. When that changes, those that have
 * one follow at once, aside, while what they are at goes on. Everything is called on
 * the host's own thread, except where said. */
#ifndef GN_CREW_H
#define GN_CREW_H

#include "../http/front.h"
#include "../http/reception.h"
#include "../http/websocket.h"
#include "../sched/runner.h"
#include "../site/generations.h"
#include "../telemetry/lookout.h"

#include <stdio.h>

struct gn_crew;

/* A worker's thread. */
struct gn_hand {
    struct gn_counter counter; /* what it serves; its scheduler's owner */
    struct gn_crew *crew;
    struct gn_runner runner;
    struct gn_hub hub;
    struct gn_role role;
    struct gn_lookout lookout;
    struct gn_generations generations;
    atomic_uint serving; /* the number of the generation that serves; 0: it has had no
                            request yet; any thread */
    _Atomic uint64_t requests; /* that it has been given; any thread */
    unsigned failed; /* the number of the generation that it could not load, and ... */
    int64_t retry;   /* ... when it tries again */
};

struct gn_crew_options {
    unsigned count; /* of workers */
    struct gn_pool *pool;
    struct gn_wire_options wires;
    struct gn_hub_options hub;
    struct gn_lookout_options lookout; /* its area has blocks for the leader, the hands
                                          and the desk, in that order */
    int64_t born;                      /* when the host was started */
    struct gn_generations *leader;     /* and its options are those of the others */
};

struct gn_crew {
    struct gn_crew_options options;
    struct gn_hand *hands;
    struct gn_sched **places; /* the schedulers of the hands */
    struct gn_runner desk;    /* the reception's thread */
    struct gn_reception reception;
    struct gn_lookout lookout;  /* on the same thread, for heads that are refused */
    atomic_uint latest;         /* the number of the leader's generation; any thread */
    atomic_bool counts;         /* whether that serves metrics; any thread */
    pthread_mutex_t lock;       /* protects `sources` */
    struct gn_sources *sources; /* of that generation, a reference */
    char error[300]; /* why it could not start, under `lock`; "": as the errno says */
};

/* Starts the threads. Returns 0 or a negative errno, and then gn_crew_close() is still
 * to be called. May wait. */
int gn_crew_open(struct gn_crew *, const struct gn_crew_options *);

/* Has those that have a state load the leader's generation, and waits until they have,
 * but not long for one that is blocked; the others will before they serve. May wait. */
void gn_crew_follow(struct gn_crew *);

/* The hand of a number from 1 on; NULL when there is none such. */
struct gn_hand *gn_crew_hand(struct gn_crew *, unsigned number);

/* Writes a line for each hand. Does not wait. */
void gn_crew_tell(struct gn_crew *, FILE *);

/* Answers a request, on a worker's thread, as gn_generations_handle(). */
void gn_crew_handle(struct gn_request *);

/* Tells all connections that the host stops: see gn_wires_begin_drain(). May wait. */
void gn_crew_begin_drain(struct gn_crew *);

/* Cancels what is being served, see gn_wires_abort(). May wait. */
void gn_crew_abort(struct gn_crew *);

/* Lets what is loaded end, see gn_generations_drain(). May wait. */
unsigned gn_crew_drain(struct gn_crew *, int64_t deadline);

/* Ends the threads, on which nothing runs any more. Blocks until they have ended. */
void gn_crew_close(struct gn_crew *);

#endif
