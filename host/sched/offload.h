/* The offload pool: threads for calls that block and have no descriptor to wait for.
 *
 * Threads start when work waits and none is idle, up to a bound, and end after ten idle
 * seconds. One pool serves all schedulers of a host.
 *
 * A heavy job is one that may take long. Of these only so many are run at once as the
 * machine has processors (four at least, and at most three
 * quarters of the threads), so that quick ones,
 * such as name resolution, always find a thread. */
#ifndef GN_OFFLOAD_H
#define GN_OFFLOAD_H

#include "sched.h"

struct gn_pool;

enum { GN_POOL_THREADS = 32 }; /* what a host's pool has at most */

/* A job lives on the heap, because a cancelled fiber leaves it behind. */
struct gn_job {
    void (*run)(
        struct gn_job *); /* on a pool thread; may block; must not use the scheduler */
    void (*drop)(struct gn_job *); /* frees it; called by the pool only when nobody
                                      waits any more */
    bool heavy;                    /* may take long */
    struct gn_message message;     /* private from here on */
    struct gn_list link;
    struct gn_fiber *fiber; /* NULL once abandoned; the scheduler's thread only */
    struct gn_sched *sched;
    bool done;
    bool held; /* waits for other heavy ones; protected by the pool's lock */
};

/* Makes a pool of at most `threads` threads; none is started yet. Returns NULL when out
 * of memory. */
struct gn_pool *gn_pool_new(unsigned threads);

/* What a pool has at a moment. */
struct gn_pool_state {
    unsigned queued; /* jobs that wait for a thread */
    unsigned threads, idle;
};

void gn_pool_look(struct gn_pool *, struct gn_pool_state *);

/* Waits for running jobs, drops queued ones, ends the threads. */
void gn_pool_free(struct gn_pool *);

/* Runs a job on the pool of the fiber's scheduler. May wait.
 * Returns 0 when it has run: the job is the caller's again. Returns -ECANCELED when the
 * fiber was cancelled or -ENOMEM when no thread can be had; the job is then the pool's
 * (-ECANCELED) and must not be touched, or still the caller's (-ENOMEM). */
int gn_offload(struct gn_job *);

/* Runs a job that cannot be left behind, because it works on what its caller holds. May
 * wait, until the job has come back: a fiber that is cancelled meanwhile calls
 * `interrupt`, on its own thread and again every few milliseconds, since the job may
 * not listen yet, and waits on. Where `interrupt` is NULL this is no cancellation
 * point. Returns 0 when the job has run, the cause when the fiber was cancelled before
 * it began, -ENOMEM when no thread can be had. The job stays the caller's and may lie
 * on its stack; it needs no `drop`. */
int gn_offload_attended(struct gn_job *, void (*interrupt)(struct gn_job *));

#endif
