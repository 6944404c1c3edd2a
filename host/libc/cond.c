/* Condition variables between fibers of one thread, fibers of several, and plain threads.
 *
 * A fiber waits in the lot, a plain thread in libc; a signal takes a fiber first. The last fiber that
 * came is the first to be woken: of a pool of workers the warmest serves next, and the rest sleep on. */
#include "lot.h"
#include "real.h"
#include "thread.h"

#include <errno.h>
#include <limits.h>

static int wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline)
{
    struct gn_lot_wait w;
    gn_thread_idles_on(c);
    gn_lot_enter(&w, c, GN_LOT_LIFO);
    int r = pthread_mutex_unlock(m);
    if (r != 0) {
        gn_lot_leave(&w);
        return r;
    }
    int waited = gn_lot_wait(&w, deadline);
    r = pthread_mutex_lock(m);
    return r ? r : -waited;
}

int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    if (!gn_fiber_self())
        return gn_real()->pthread_cond_wait(c, m);
    return wait_until(c, m, GN_NEVER);
}

/* The clock that pthread_condattr_setclock() chose: glibc keeps it in bit 1 of __wrefs. */
static clockid_t clock_of(const pthread_cond_t *c)
{
    return c->__data.__wrefs & 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *until)
{
    struct timespec now;
    if (!gn_fiber_self())
        return gn_real()->pthread_cond_timedwait(c, m, until);
    clock_gettime(clock_of(c), &now);
    return wait_until(c, m, gn_after(gn_from_timespec(until) - gn_from_timespec(&now)));
}

int pthread_cond_signal(pthread_cond_t *c)
{
    if (gn_lot_wake(c, 1) > 0 || gn_thread_start_for(c))
        return 0;
    return gn_real()->pthread_cond_signal(c);
}

int pthread_cond_broadcast(pthread_cond_t *c)
{
    gn_lot_wake(c, INT_MAX);
    return gn_real()->pthread_cond_broadcast(c);
}
