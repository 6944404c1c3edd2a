/* Deadline timers: a binary heap of intrusive entries.
 *
 * A timer belongs to whoever embeds it, and calls its function once, on the loop's own
 * stack, when its deadline has passed. Adding and removing cost O(log n) and allocate
 * only when the heap has never been so large. Not for use from another thread. */
#ifndef GN_TIMER_H
#define GN_TIMER_H

#include "clock.h"

#include <stdbool.h>
#include <stddef.h>

struct gn_timer {
    int64_t deadline; /* ns, monotonic; valid while armed */
    size_t place;     /* 1 + index in the heap; 0 when not armed */
    void (*fn)(struct gn_timer *);
};

struct gn_timers {
    struct gn_timer **heap;
    size_t count, room;
};

void gn_timers_init(struct gn_timers *);

/* Frees the heap; armed timers are forgotten, never called. */
void gn_timers_term(struct gn_timers *);

/* Arms a timer, or moves an armed one, to `deadline`. Returns 0 or -ENOMEM. */
int gn_timer_add(struct gn_timers *, struct gn_timer *, int64_t deadline);

/* Disarms; does nothing to a timer that is not armed. */
void gn_timer_del(struct gn_timers *, struct gn_timer *);

static inline bool gn_timer_armed(const struct gn_timer *t)
{
    return t->place != 0;
}

/* The earliest deadline; GN_NEVER when none is armed. */
int64_t gn_timers_next(const struct gn_timers *);

/* Disarms and calls every timer whose deadline is at or before `now`, earliest first.
 */
void gn_timers_expire(struct gn_timers *, int64_t now);

#endif
