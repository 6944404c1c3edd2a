/* A meter: how long each fiber of a scheduler has run, measured at every switch while
 * somebody wants to know. Counts in the processor's own ticks, which cost less to read
 * than the clock, where they run evenly. */
#ifndef GN_METER_H
#define GN_METER_H

#include "clock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct gn_sched;

struct gn_meter {
    bool on;
    uint64_t resumed;   /* when the running fiber was */
    uint64_t ticks;     /* a moment, ... */
    int64_t ns;         /* ... and the same on the clock */
    double ns_per_tick; /* 0: not known yet */
};

/* What the running fiber has used when something begins or ends. */
struct gn_reading {
    uint64_t at;  /* ticks */
    uint64_t ran; /* of the fiber, in all; ticks */
};

#if defined(__x86_64__)
static inline uint64_t gn_tsc(void)
{
    return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
static inline uint64_t gn_tsc(void)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
    return ticks;
}
#else
static inline uint64_t gn_tsc(void)
{
    return (uint64_t)gn_now();
}
#endif

extern atomic_bool gn_tsc_is_even; /* set by gn_meter_start() */

static inline uint64_t gn_meter_ticks(void)
{
    return atomic_load_explicit(&gn_tsc_is_even, memory_order_relaxed)
               ? gn_tsc()
               : (uint64_t)gn_now();
}

/* Begins to measure; again is allowed. */
void gn_meter_start(struct gn_sched *);

/* Reads the meter of the running fiber, which must be on. */
struct gn_reading gn_meter_read(const struct gn_sched *);

/* So many ticks in ns. */
int64_t gn_meter_ns(struct gn_sched *, uint64_t ticks);

#endif
