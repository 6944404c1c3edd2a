/* Condition variables between fibers of one thread, fibers of several, and plain
 * threads.
 *
 * A fiber waits in the lot, a plain thread in libc; a signal takes a fiber first. The
 * last fiber that came is the first to be woken: of a pool of workers the warmest
 * serves next, and the rest sleep on. */
#include "lot.h"
#include "real.h"
#include "thread.h"

#include <errno.h>
#include <limits.h>

static int wait_until(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline)
{
    struct gn_lot_wait w;
    gn_lot_enter(&w, c, GN_LOT_LIFO);
    int r = pthread_mutex_unlock(m);
    if (r != 0) {
        gn_lot_leave(&w);
        return r;
    }
    gn_thread_idle(c);
    int waited = gn_lot_wait(&w, deadline);
    gn_thread_busy(c);
    r = pthread_mutex_lock(m);
    return r ? r : -waited;
}

/* ---- plain threads ---- */

/* libc's wait would release `m` inside libc, and a fiber that waits for it would not be
 * told. So `m` is released by our unlock, and a gate takes its place: a signal passes
 * it, so none comes in between. */
enum { GATES = 64 };
static pthread_mutex_t gates[GATES] = {[0 ... GATES - 1] = PTHREAD_MUTEX_INITIALIZER};

static pthread_mutex_t *enter_gate(const pthread_cond_t *c)
{
    pthread_mutex_t *gate = &gates[((uintptr_t)c >> 4) % GATES];
    gn_real()->pthread_mutex_lock(gate);
    return gate;
}

/* As libc's pthread_cond_clockwait(); `until` may be NULL. */
static int wait_plainly(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock,
                        const struct timespec *until)
{
    pthread_mutex_t *gate = enter_gate(c);
    int waited = 0, r = pthread_mutex_unlock(m);
    if (r == 0)
        waited = until ? gn_real()->pthread_cond_clockwait(c, gate, clock, until)
                       : gn_real()->pthread_cond_wait(c, gate);
    gn_real()->pthread_mutex_unlock(gate);
    if (r == 0)
        r = pthread_mutex_lock(m);
    return r ? r : waited;
}

static int signal_plainly(pthread_cond_t *c, int (*signal)(pthread_cond_t *))
{
    pthread_mutex_t *gate = enter_gate(c);
    int r = signal(c);
    gn_real()->pthread_mutex_unlock(gate);
    return r;
}

/* ---- the names ---- */

int pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    if (!gn_fiber_self())
        return wait_plainly(c, m, CLOCK_REALTIME, NULL);
    return wait_until(c, m, GN_NEVER);
}

/* The clock that pthread_condattr_setclock() chose: glibc keeps it in bit 1 of __wrefs.
 */
static clockid_t clock_of(const pthread_cond_t *c)
{
    return c->__data.__wrefs & 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME;
}

int pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock,
                           const struct timespec *until)
{
    struct timespec now;
    if (!gn_fiber_self())
        return wait_plainly(c, m, clock, until);
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC)
        return EINVAL;
    clock_gettime(clock, &now);
    return wait_until(c, m, gn_after(gn_from_timespec(until) - gn_from_timespec(&now)));
}

int pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m,
                           const struct timespec *until)
{
    return pthread_cond_clockwait(c, m, clock_of(c), until);
}

int pthread_cond_signal(pthread_cond_t *c)
{
    if (gn_lot_wake(c, 1) > 0 || gn_thread_start_for(c))
        return 0;
    return signal_plainly(c, gn_real()->pthread_cond_signal);
}

int pthread_cond_broadcast(pthread_cond_t *c)
{
    gn_lot_wake(c, INT_MAX);
    return signal_plainly(c, gn_real()->pthread_cond_broadcast);
}
