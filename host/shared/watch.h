/* Waiting for a change of an entry, whoever makes it: another fiber, thread or process.
 *
 * Nobody polls. Who changes an entry counts that on the marks, in the stripe of the
 * entry's hash; and, if anybody waits for the stripe, at a futex there. Each process
 * has one thread asleep at that futex, from its first wait on, which wakes the fibers
 * that wait for a stripe which has changed; they look whether it was their entry. One
 * thread for all, because a fiber cannot sleep at a futex, and because epoll knows
 * nothing that can be signalled by whoever has merely opened the same directory.
 *
 * Where nobody waits, a change costs two atomic operations for this. */
#ifndef GN_WATCH_H
#define GN_WATCH_H

#include "store.h"

struct gn_watches;

/* Waits until the version of an entry is not `version`: also by expiry. Must be on a
 * fiber that may park. May wait. Returns 0 and the entry, as gn_store_get(); -ETIMEDOUT
 * at the deadline (monotonic ns); the cause when interrupted; or what gn_store_get()
 * returns. */
int gn_store_watch(struct gn_store *, const struct gn_key *, uint64_t version,
                   int64_t deadline, struct gn_item *, struct gn_scratch *);

/* For the store: ends the thread. NULL is allowed. */
void gn_watches_free(struct gn_watches *);

#endif
