/* Ticks: how a thread notices that one of its fibers does not let the others run.
 *
 * A fiber that computes is found by a clock of processor time: after every tick of it
 * that the thread has used, a signal interrupts the thread and `on_tick` is told which
 * fiber was running. An idle thread has no ticks. A fiber that blocks the thread
 * without computing is found afterwards, because its round of the loop took long:
 * `on_stall` is told. What is to be done about either is the affair of the layers
 * above.
 *
 * The signal is SIGURG: it is ignored by default, so a stray one hurts nobody, and
 * hardly any program uses it. */
#ifndef GN_TICK_H
#define GN_TICK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct gn_fiber;
struct gn_sched;

/* What to watch for, and whom to tell. */
struct gn_tick_options {
    int64_t ns;       /* of processor time from one tick to the next */
    int64_t patience; /* ns that a fiber may block the thread; GN_NEVER: for ever */
    /* The fiber was running when `ticks` more, mostly 1, were over; `held` of them in
     * its present turn. Called in a signal handler, on the thread's alternate stack. */
    void (*on_tick)(struct gn_fiber *, unsigned ticks, unsigned held);
    /* The turn of the fiber that has just ended took so long, and mostly not to
     * compute. Called on the loop's own stack. */
    void (*on_stall)(struct gn_fiber *, int64_t ns);
};

/* Of a scheduler, which embeds it. */
struct gn_tick {
    struct gn_tick_options options;
    timer_t timer;
    bool started;
    unsigned turn;       /* of the loop, in which the last tick was */
    unsigned held;       /* ticks in that turn */
    int64_t watch_until; /* every turn is measured until then; 0: there was no stall */
    int64_t looked;      /* at the clock when a turn was last measured */
};

/* Starts the ticks of a scheduler, on its thread. Returns 0 or a negative errno. */
int gn_tick_start(struct gn_sched *, const struct gn_tick_options *);

/* Stops them. Does nothing when they have not been started. */
void gn_tick_stop(struct gn_sched *);

/* For the loop only. A round of so many turns, which began at sched->now, has taken
 * longer than anybody has patience for. */
void gn_tick_round(struct gn_sched *, unsigned turns, int64_t now);

/* For the loop only, while there is something to watch for: a turn has ended, the first
 * of its round or not. */
void gn_tick_turn(struct gn_sched *, bool first);

#endif
