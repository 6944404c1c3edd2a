#include "lot.h"

#include "real.h"

#include <errno.h>
#include <limits.h>

enum { BUCKETS = 256 };

/* The lock protects the list and the `woken` of its members; it is libc's real one, and
 * nothing waits while holding it. */
static struct bucket {
    atomic_int count; /* readable without the lock */
    pthread_mutex_t lock;
    struct gn_list waits;
} buckets[BUCKETS] = {[0 ... BUCKETS - 1] = {.lock = PTHREAD_MUTEX_INITIALIZER}};

static struct bucket *bucket_of(const void *address)
{
    uintptr_t n = (uintptr_t)address >> 3;
    return &buckets[(n ^ n >> 8 ^ n >> 16) % BUCKETS];
}

static void lock(struct bucket *b)
{
    gn_real()->pthread_mutex_lock(&b->lock);
    if (!b->waits.next)
        gn_list_init(&b->waits);
}

static void unlock(struct bucket *b)
{
    gn_real()->pthread_mutex_unlock(&b->lock);
}

static void on_delivery(struct gn_message *m)
{
    struct gn_lot_wait *w = gn_container_of(m, struct gn_lot_wait, message);
    w->delivered = true;
    gn_wake(w->fiber);
}

void gn_lot_enter(struct gn_lot_wait *w, const void *address, enum gn_lot_order order)
{
    struct bucket *b = bucket_of(address);
    *w = (struct gn_lot_wait){.address = address, .fiber = gn_fiber_self()};
    lock(b);
    if (order == GN_LOT_LIFO)
        gn_list_push(&b->waits, &w->link);
    else
        gn_list_append(&b->waits, &w->link);
    atomic_fetch_add(&b->count, 1);
    unlock(b);
}

/* Takes `w` out unless somebody else has. Returns whether somebody else has. */
static bool take_out(struct gn_lot_wait *w)
{
    struct bucket *b = bucket_of(w->address);
    lock(b);
    if (!w->woken) {
        gn_list_del(&w->link);
        atomic_fetch_sub(&b->count, 1);
    }
    unlock(b);
    return w->woken;
}

int gn_lot_wait(struct gn_lot_wait *w, int64_t deadline)
{
    int r = 0;
    while (!w->delivered && r == 0)
        r = gn_park_shielded(deadline);
    if (!w->delivered && !take_out(w))
        return -ETIMEDOUT;
    while (!w->delivered)
        gn_park_shielded(GN_NEVER);
    return 0;
}

void gn_lot_leave(struct gn_lot_wait *w)
{
    if (take_out(w))
        while (!w->delivered)
            gn_park_shielded(GN_NEVER);
}

/* To the same thread at once, to another by its inbox. Called without the bucket's
 * lock. */
static void deliver(struct gn_lot_wait *w)
{
    w->message.fn = on_delivery;
    if (w->fiber->sched == gn_sched_self())
        on_delivery(&w->message);
    else
        gn_sched_post(w->fiber->sched, &w->message);
}

/* Takes one waiter for the address out of the lot; NULL when there is none. */
static struct gn_lot_wait *claim(struct bucket *b, const void *address)
{
    struct gn_lot_wait *found = NULL;
    lock(b);
    for (struct gn_list *l = b->waits.next; l != &b->waits && !found; l = l->next) {
        struct gn_lot_wait *w = gn_container_of(l, struct gn_lot_wait, link);
        if (w->address == address)
            found = w;
    }
    if (found) {
        gn_list_del(&found->link);
        atomic_fetch_sub(&b->count, 1);
        found->woken = true;
    }
    unlock(b);
    return found;
}

int gn_lot_wake(const void *address, int most)
{
    struct bucket *b = bucket_of(address);
    struct gn_lot_wait *w;
    int n = 0;
    atomic_thread_fence(
        memory_order_seq_cst); /* pairs with gn_lot_enter() and the check after it */
    if (atomic_load_explicit(&b->count, memory_order_relaxed) == 0)
        return 0;
    while (n < most && (w = claim(b, address))) {
        deliver(w);
        n++;
    }
    return n;
}
