/* Mutexes: a fiber that finds one taken parks; and a recursive one held by one fiber is
 * closed to the other fibers of its thread, although libc, which counts threads, would
 * let them in.
 *
 * The mutex itself stays libc's: plain threads and fibers exclude each other. */
#include "lot.h"
#include "real.h"

#include <errno.h>
#include <stdlib.h>

/* ---- who holds which recursive mutex on this thread ---- */

struct held {
    struct held *next;
    pthread_mutex_t *mutex;
    struct gn_fiber *fiber;
    unsigned depth;
};

enum { HELD_BUCKETS = 64 };
static _Thread_local struct held *held[HELD_BUCKETS];
static _Thread_local struct held first; /* free while it has no mutex: the usual lock
                                         * allocates nothing */

static struct held **held_place(const pthread_mutex_t *m)
{
    struct held **p = &held[((uintptr_t)m >> 4) % HELD_BUCKETS];
    while (*p && (*p)->mutex != m)
        p = &(*p)->next;
    return p;
}

static int held_add(pthread_mutex_t *m)
{
    struct held **place = held_place(m), *h = *place;
    if (!h) {
        h = first.mutex ? malloc(sizeof *h) : &first;
        if (!h)
            return ENOMEM;
        *h = (struct held){.mutex = m, .fiber = gn_fiber_self()};
        *place = h;
    }
    h->depth++;
    return 0;
}

static void held_drop(pthread_mutex_t *m)
{
    struct held **place = held_place(m), *h = *place;
    if (!h || --h->depth > 0)
        return;
    *place = h->next;
    if (h == &first)
        h->mutex = NULL;
    else
        free(h);
}

/* Only the kinds that ask who the owner is (glibc: recursive is 1, error-checking 2).
 */
static bool has_owner(const pthread_mutex_t *m)
{
    int kind = m->__data.__kind & 3;
    return kind == PTHREAD_MUTEX_RECURSIVE || kind == PTHREAD_MUTEX_ERRORCHECK;
}

/* ---- locking ---- */

enum {
    SHARED_BIT = 128, /* of the kind of a mutex: glibc's PTHREAD_MUTEX_PSHARED_BIT */
    SHARED_SPINS = 200,
    SHARED_PAUSE_LEAST = 50000, /* ns */
    SHARED_PAUSE_MOST = 2000000
};

static int try_plain(pthread_mutex_t *m)
{
    return gn_real()->pthread_mutex_trylock(m);
}

static int try_owned(pthread_mutex_t *m)
{
    struct held *h = *held_place(m);
    if (h && h->fiber != gn_fiber_self())
        return EBUSY;
    int r = h ? gn_real()->pthread_mutex_lock(m) : gn_real()->pthread_mutex_trylock(m);
    if (r == 0 && (r = held_add(m)) != 0)
        gn_real()->pthread_mutex_unlock(m);
    return r;
}

static int try(pthread_mutex_t *m)
{
    return has_owner(m) ? try_owned(m) : try_plain(m);
}

/* Waits in the lot until an unlock; tries again after entering it, or that unlock could
 * be missed. */
static int wait_for_lock(pthread_mutex_t *m, int64_t deadline)
{
    int r;
    while ((r = try(m)) == EBUSY) {
        struct gn_lot_wait w;
        gn_lot_enter(&w, m, GN_LOT_FIFO);
        r = try(m);
        if (r != EBUSY) {
            gn_lot_leave(&w);
            break;
        }
        if (gn_lot_wait(&w, deadline) < 0)
            return ETIMEDOUT;
    }
    return r;
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* One that processes share may be unlocked where nobody knows of our lot. Whoever has
 * it is about to give it back, or has been stopped meanwhile: so it is tried for some
 * microseconds, then now and then. The kernel gives back those of the dead, if they are
 * robust. */
static int wait_for_shared(pthread_mutex_t *m, int64_t deadline)
{
    int r, n = 0;
    int64_t pause = SHARED_PAUSE_LEAST;
    while ((r = try(m)) == EBUSY) {
        relax();
        if (++n < SHARED_SPINS)
            continue;
        if (gn_now() >= deadline)
            return ETIMEDOUT;
        gn_park_shielded(gn_after(pause));
        pause = pause < SHARED_PAUSE_MOST ? 2 * pause : pause;
    }
    return r;
}

static bool is_shared(const pthread_mutex_t *m)
{
    return m->__data.__kind & SHARED_BIT;
}

/* Nobody expects a lock to fail, so it is tried until there is memory to note its
 * owner. */
static int lock_until(pthread_mutex_t *m, int64_t deadline)
{
    int r;
    while ((r = is_shared(m) ? wait_for_shared(m, deadline)
                             : wait_for_lock(m, deadline)) == ENOMEM)
        gn_yield();
    return r;
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
    if (!gn_fiber_self())
        return gn_real()->pthread_mutex_lock(m);
    return lock_until(m, GN_NEVER);
}

int pthread_mutex_trylock(pthread_mutex_t *m)
{
    if (!gn_fiber_self())
        return gn_real()->pthread_mutex_trylock(m);
    int r = try(m);
    return r == ENOMEM ? EAGAIN : r;
}

int pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock,
                            const struct timespec *until)
{
    struct timespec now;
    if (!gn_fiber_self())
        return gn_real()->pthread_mutex_clocklock(m, clock, until);
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    clock_gettime(clock, &now);
    return lock_until(m, gn_after(gn_from_timespec(until) - gn_from_timespec(&now)));
}

int pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *until)
{
    return pthread_mutex_clocklock(m, CLOCK_REALTIME, until);
}

int pthread_mutex_unlock(pthread_mutex_t *m)
{
    bool drop = gn_fiber_self() && has_owner(m);
    int r = gn_real()->pthread_mutex_unlock(m);
    if (r != 0)
        return r;
    if (drop)
        held_drop(m);
    gn_lot_wake(m, 1);
    return 0;
}
