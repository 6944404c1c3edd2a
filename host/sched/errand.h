/* Errands: work that a fiber has done on another thread's scheduler, by a fiber there.
 */
#ifndef GN_ERRAND_H
#define GN_ERRAND_H

#include "sched.h"

/* Lives where its sender likes, until it is done. */
struct gn_errand {
    struct gn_message message; /* on its way there, then back */
    struct gn_sched *home, *there;
    const char *name;                 /* of the fiber that does it; borrowed */
    void (*fn)(void *);               /* what that fiber runs */
    void *arg;                        /* with this */
    struct gn_fiber *waiter;          /* in gn_errand_await(), or NULL */
    void (*drop)(struct gn_errand *); /* of one that nobody awaits any more */
    int error;                        /* -ENOMEM: it could not be begun */
    bool done;                        /* it has come back; its home's thread only */
};

/* Sends fn(arg) to a scheduler, which may be the sender's own. Does not wait. On the
 * thread of a scheduler. */
void gn_errand_send(struct gn_errand *, struct gn_sched *there, const char *name,
                    void (*fn)(void *), void *arg);

/* Waits until it is done, on the thread it was sent from. Returns 0, or -ENOMEM when it
 * could not be begun. May wait; it is no cancellation point. */
int gn_errand_await(struct gn_errand *);

/* As gn_errand_await(), but no longer than until the deadline: returns -ETIMEDOUT then,
 * and the errand is left to itself, whose memory `drop` frees once it is done. */
int gn_errand_await_until(struct gn_errand *, int64_t deadline,
                          void (*drop)(struct gn_errand *));

/* gn_errand_send() and gn_errand_await(). */
int gn_elsewhere(struct gn_sched *there, const char *name, void (*fn)(void *),
                 void *arg);

#endif
