/* The scheduler: one per OS thread that runs fibers. Runs what is ready, then waits in
 * epoll for descriptors, deadlines and messages from other threads. Knows nothing of
 * Lua or HTTP. */
#ifndef GN_SCHED_H
#define GN_SCHED_H

#include "fiber.h"
#include "meter.h"
#include "poller.h"
#include "tick.h"

#include <pthread.h>
#include <stdatomic.h>

/* A note from another thread, to be run on the loop's own stack. The sender owns the
 * memory until `fn` is called; `fn` may free it. */
struct gn_message {
    struct gn_message *next;
    void (*fn)(struct gn_message *);
};

struct gn_pool;

struct gn_sched {
    struct gn_list ready; /* fibers to run, in order */
    struct gn_list hogs;  /* those that can wait, see gn_give_way() */
    int64_t now;   /* when the loop last came back from the kernel; monotonic ns */
    unsigned turn; /* counts how often a fiber was resumed */
    struct gn_fiber *last; /* that was; NULL when it has ended */
    struct gn_tick tick;
    struct gn_meter meter;
    struct {
        int64_t since;         /* the present stretch of time; monotonic ns */
        int64_t longest, last; /* ns of a round of the loop, in it and in the one before
                                */
    } lag;
    unsigned long stalls;      /* turns that have blocked the thread, see tick.h */
    unsigned long preemptions; /* of fibers that computed, see gn_give_way() */
    struct gn_timers timers;
    struct gn_poller poller;
    struct gn_stacks stacks;
    struct gn_context loop;     /* where fibers switch back to */
    struct gn_stack loop_stack; /* known only under AddressSanitizer */
    void *tsan;                 /* what ThreadSanitizer knows the loop by */
    struct gn_fiber *ended; /* the fiber that has just ended and waits to be freed */
    size_t fibers;          /* alive */
    unsigned long calls;    /* that were made on them; for those who count some */
    struct gn_pool *pool;   /* for offloaded calls; borrowed; may be NULL */
    bool skips; /* where all fibers wait for time to pass, it is skipped: for tests */
    unsigned outside; /* fibers that wait for a descriptor, a thread or a child, for
                         which time must pass */
    void *owner;      /* what the layers above hang on it */
    struct {
        pthread_mutex_t lock; /* for those who write head and last */
        _Atomic(struct gn_message *) head;
        struct gn_message *last;
        atomic_bool asleep;    /* the loop waits, or is about to: it must be told */
        struct gn_watch watch; /* of an eventfd that senders write to then */
    } inbox;
};

/* Makes the calling thread's scheduler. Returns NULL and sets errno on failure. */
struct gn_sched *gn_sched_new(void);

/* Frees a scheduler on which no fiber is alive. */
void gn_sched_free(struct gn_sched *);

/* The calling thread's scheduler; NULL when it has none. Any thread. */
struct gn_sched *gn_sched_self(void);

/* Runs the loop until no fiber is alive. */
void gn_sched_run(struct gn_sched *);

/* The longest round of the loop in the last half to whole minute, if it is asked for
 * that often: for so long others have waited for their turn. */
int64_t gn_sched_lag(struct gn_sched *);

/* Sends a message to a scheduler. Any thread; async-signal-safe it is not. */
void gn_sched_post(struct gn_sched *, struct gn_message *);

/* As gn_sched_post(), but does not wake a scheduler that sleeps: it finds the message
 * when something else wakes it. */
void gn_sched_leave_note(struct gn_sched *, struct gn_message *);

/* Has a scheduler, which must go on to exist meanwhile, find its notes. Any thread. */
void gn_sched_rouse(struct gn_sched *);

/* For fiber.c: counts a new fiber and makes it ready; lets the loop free an ended one.
 */
void gn_sched_adopt(struct gn_sched *, struct gn_fiber *);
void gn_sched_bury(struct gn_sched *, struct gn_fiber *);

#endif
