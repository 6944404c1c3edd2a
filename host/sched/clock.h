/* Time: monotonic nanoseconds in int64_t, and absolute deadlines made of them. */
#ifndef GN_CLOCK_H
#define GN_CLOCK_H

#include <stdint.h>
#include <sys/time.h>
#include <time.h>

#define GN_NEVER INT64_MAX /* the deadline that never comes */
#define GN_MS INT64_C(1000000)
#define GN_SECOND INT64_C(1000000000)

static inline int64_t gn_from_timespec(const struct timespec *t)
{
    if (t->tv_sec >= GN_NEVER / GN_SECOND)
        return GN_NEVER;
    return t->tv_sec * GN_SECOND + t->tv_nsec;
}

static inline int64_t gn_from_timeval(const struct timeval *t)
{
    return gn_from_timespec(&(struct timespec){t->tv_sec, t->tv_usec * 1000});
}

/* Nanoseconds by which the calling thread's clock is ahead of CLOCK_MONOTONIC: its
 * scheduler has skipped them, see gn_sched.skips. */
extern _Thread_local int64_t gn_clock_ahead;

/* Now: CLOCK_MONOTONIC, and what was skipped. No system call: the vDSO answers. */
static inline int64_t gn_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return gn_from_timespec(&t) + gn_clock_ahead;
}

/* The deadline `ns` from now; negative counts as 0, and what overflows is GN_NEVER. */
static inline int64_t gn_after(int64_t ns)
{
    int64_t deadline;
    if (ns < 0)
        ns = 0;
    return __builtin_add_overflow(gn_now(), ns, &deadline) ? GN_NEVER : deadline;
}

/* The deadline for a time-out in milliseconds as poll(2) takes it: negative waits for
 * ever. */
static inline int64_t gn_after_ms(int ms)
{
    return ms < 0 ? GN_NEVER : gn_after(ms * GN_MS);
}

#endif
