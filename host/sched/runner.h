/* A runner: an OS thread with a scheduler, which lives until it is told to stop and the
 * last of its fibers has ended. Work gets there by errands and messages. */
#ifndef GN_RUNNER_H
#define GN_RUNNER_H

#include "errand.h"

#include <semaphore.h>

struct gn_runner {
    struct gn_sched *sched; /* from start to stop */
    struct gn_pool *pool;   /* for offloaded calls; borrowed */
    void *owner;            /* see gn_sched */
    pthread_t id;
    sem_t started;
    int error;                 /* why it could not start */
    struct gn_fiber *resident; /* keeps the loop alive */
    bool stopping;             /* the runner's thread only */
};

/* Starts it; signals stay with the other threads. Blocks for as long as that takes.
 * Returns 0 or a negative errno. */
int gn_runner_start(struct gn_runner *, struct gn_pool *, void *owner);

/* Ends it once the last of its fibers has ended, for which it blocks. On a fiber of
 * another scheduler. Does nothing to one that has not started. */
void gn_runner_stop(struct gn_runner *);

#endif
