/* sleep usleep nanosleep clock_nanosleep. glibc's call one another inside, so each is
 * its own. */
#include "block.h"

/* Sleeps `ns` and tells in *left how much of it a cancellation cut off. Returns 0 or a
 * negative errno. */
static int sleep_for(int64_t ns, int64_t *left)
{
    int64_t deadline = gn_after(ns);
    int r = gn_sleep_until(deadline);
    *left = r < 0 && deadline > gn_now() ? deadline - gn_now() : 0;
    return r;
}

static struct timespec to_timespec(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / GN_SECOND, .tv_nsec = ns % GN_SECOND};
}

static bool valid(const struct timespec *t)
{
    return t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < GN_SECOND;
}

unsigned sleep(unsigned seconds)
{
    int64_t left;
    if (!gn_may_park())
        return gn_real()->sleep(seconds);
    sleep_for(seconds * GN_SECOND, &left);
    return (unsigned)((left + GN_SECOND - 1) / GN_SECOND);
}

int usleep(useconds_t us)
{
    int64_t left;
    if (!gn_may_park())
        return gn_real()->usleep(us);
    int r = sleep_for(us * INT64_C(1000), &left);
    return r < 0 ? gn_fail(r) : 0;
}

int nanosleep(const struct timespec *wanted, struct timespec *rest)
{
    int64_t left;
    if (!gn_may_park())
        return gn_real()->nanosleep(wanted, rest);
    if (!valid(wanted))
        return gn_fail(-EINVAL);
    int r = sleep_for(gn_from_timespec(wanted), &left);
    if (r < 0 && rest)
        *rest = to_timespec(left);
    return r < 0 ? gn_fail(r) : 0;
}

/* How long from now until `t`, as the flags and the clock mean it; nanoseconds. */
static int64_t span(clockid_t clock, int flags, const struct timespec *t)
{
    struct timespec now;
    if (!(flags & TIMER_ABSTIME))
        return gn_from_timespec(t);
    clock_gettime(clock, &now);
    return gn_from_timespec(t) - gn_from_timespec(&now);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted,
                    struct timespec *rest)
{
    int64_t left;
    bool ours =
        clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME;
    if (!ours || !gn_may_park())
        return gn_real()->clock_nanosleep(clock, flags, wanted, rest);
    if (!valid(wanted))
        return EINVAL;
    int r = sleep_for(span(clock, flags, wanted), &left);
    if (r < 0 && rest && !(flags & TIMER_ABSTIME))
        *rest = to_timespec(left);
    return -r;
}
