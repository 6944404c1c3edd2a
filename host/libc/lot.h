/* The parking lot: fibers that wait for an address, whatever thread they run on.
 *
 * The idea is the kernel's futex: mutexes and condition variables are libc's own, and
 * only who waits for one stands here. Waits are not cancellation points, since no
 * caller of a lock expects failure. */
#ifndef GN_LOT_H
#define GN_LOT_H

#include "../sched/sched.h"

struct gn_lot_wait {
    struct gn_list link;
    const void *address;
    struct gn_fiber *fiber;
    struct gn_message message; /* carries the wake-up to another thread's scheduler */
    bool woken;                /* somebody has taken it out of the lot */
    bool delivered; /* and its own scheduler knows; then the memory is the waiter's */
};

enum gn_lot_order { GN_LOT_FIFO, GN_LOT_LIFO };

/* Puts the running fiber into the lot, before it checks a last time that it must wait.
 */
void gn_lot_enter(struct gn_lot_wait *, const void *address, enum gn_lot_order);

/* Waits until woken or the deadline, and leaves the lot. Returns 0 or -ETIMEDOUT. May
 * wait. */
int gn_lot_wait(struct gn_lot_wait *, int64_t deadline);

/* Leaves the lot without waiting. */
void gn_lot_leave(struct gn_lot_wait *);

/* Wakes up to `most` fibers that wait for the address; returns how many. Any thread.
 * Costs a load and a fence when nobody waits. */
int gn_lot_wake(const void *address, int most);

#endif
