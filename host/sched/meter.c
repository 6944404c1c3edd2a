#include "meter.h"

#include "sched.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

atomic_bool gn_tsc_is_even;

static const int64_t ENOUGH = 10 * GN_SECOND; /* to know the ratio for good */

/* Whether the counter runs at one pace, whatever the processor does. */
static bool is_even(void)
{
#if defined(__x86_64__)
    unsigned a, b, c, d = 0;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1u << 8);
#elif defined(__aarch64__)
    return true;
#else
    return false;
#endif
}

void gn_meter_start(struct gn_sched *s)
{
    struct gn_meter *m = &s->meter;
    if (m->on)
        return;
    gn_tsc_is_even = is_even();
    m->on = true;
    m->ns = gn_now();
    m->resumed = m->ticks = gn_meter_ticks();
    m->ns_per_tick = 0;
}

struct gn_reading gn_meter_read(const struct gn_sched *s)
{
    uint64_t now = gn_meter_ticks();
    return (struct gn_reading){now, gn_fiber_self()->ran + (now - s->meter.resumed)};
}

/* The longer the time since the start, the better the ratio: at first it is taken each
 * time anew. */
static double ratio(struct gn_meter *m)
{
    if (m->ns_per_tick > 0)
        return m->ns_per_tick;
    int64_t ns = gn_now() - m->ns;
    uint64_t ticks = gn_meter_ticks() - m->ticks;
    double r = ticks ? (double)ns / (double)ticks : 0;
    if (ns > ENOUGH)
        m->ns_per_tick = r;
    return r;
}

int64_t gn_meter_ns(struct gn_sched *s, uint64_t ticks)
{
    return (int64_t)((double)ticks * ratio(&s->meter));
}
