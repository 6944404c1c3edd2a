/* host/sched/tick.c: who computes for long is noticed, and who blocks the thread. */
#include "fiber_test.h"

#include "sched/tick.h"

#include <signal.h>
#include <sys/syscall.h>

enum { TICK_MS = 4 };

static struct {
    struct gn_fiber *fiber, *stalled;
    unsigned ticks, most, strangers, stalls;
    int64_t stalled_for;
} seen;

static void on_tick(struct gn_fiber *f, unsigned ticks, unsigned held)
{
    if (f == seen.fiber)
        seen.ticks += ticks;
    else
        seen.strangers += ticks;
    if (held > seen.most)
        seen.most = held;
}

static void on_stall(struct gn_fiber *f, int64_t ns)
{
    seen.stalled = f;
    seen.stalls++;
    seen.stalled_for = ns;
}

static void watch(int64_t patience)
{
    const struct gn_tick_options o = {TICK_MS * GN_MS, patience, on_tick, on_stall};
    memset(&seen, 0, sizeof seen);
    seen.fiber = gn_fiber_self();
    assert_int_equal(gn_tick_start(gn_sched_self(), &o), 0);
}

static int64_t used(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return gn_from_timespec(&t);
}

/* Uses so much processor time. */
static void compute(int64_t ns)
{
    for (int64_t end = used() + ns; used() < end;)
        continue;
}

static void a_fiber_that_computes_is_told_of(void **state)
{
    (void)state;
    watch(GN_NEVER);
    compute(200 * GN_MS);
    gn_tick_stop(gn_sched_self());
    assert_true(seen.ticks >= 200 / TICK_MS / 2);
    assert_true(seen.ticks <= 200 / TICK_MS + 2);
    assert_int_equal(seen.most, seen.ticks);
}

static void each_turn_is_counted_anew(void **state)
{
    (void)state;
    watch(GN_NEVER);
    for (int i = 0; i < 10; i++) {
        compute(20 * GN_MS);
        gn_yield();
    }
    gn_tick_stop(gn_sched_self());
    assert_true(seen.ticks >= 200 / TICK_MS / 2);
    assert_true(seen.most < seen.ticks / 2);
}

static void compute_twice_as_long(void *unused)
{
    (void)unused;
    compute(200 * GN_MS);
}

static void ticks_go_to_who_was_running(void **state)
{
    (void)state;
    watch(GN_NEVER);
    go(compute_twice_as_long, NULL);
    gn_yield();
    gn_tick_stop(gn_sched_self());
    assert_true(seen.strangers >= 200 / TICK_MS / 2);
    assert_true(seen.ticks <= 2);
}

static void who_waits_has_no_ticks(void **state)
{
    (void)state;
    watch(GN_NEVER);
    for (int i = 0; i < 20; i++)
        gn_sleep_until(gn_after_ms(5));
    gn_tick_stop(gn_sched_self());
    assert_true(seen.ticks <= 4);
}

static void a_stopped_clock_is_silent(void **state)
{
    (void)state;
    watch(GN_NEVER);
    gn_tick_stop(gn_sched_self());
    gn_tick_stop(gn_sched_self());
    compute(30 * GN_MS);
    raise(SIGURG); /* a stray one */
    assert_int_equal(seen.ticks, 0);
}

static void block(int ms)
{
    struct timespec t = {.tv_nsec = ms * GN_MS};
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
}

static void a_fiber_that_blocks_the_thread_is_told_of(void **state)
{
    (void)state;
    watch(300 * GN_MS);
    gn_yield();
    block(400);
    assert_null(seen.stalled);
    gn_yield(); /* the loop takes notice */
    gn_tick_stop(gn_sched_self());
    assert_ptr_equal(seen.stalled, gn_fiber_self());
    assert_true(seen.stalled_for >= 380 * GN_MS);
}

static struct gn_fiber *blocker;

static void block_twice(void *unused)
{
    (void)unused;
    blocker = gn_fiber_self();
    block(400);
    gn_yield();
    block(400);
    gn_yield();
}

/* In a round of several the culprit is not known; after that each turn is measured. */
static void who_blocks_again_among_others_is_told_of(void **state)
{
    (void)state;
    watch(300 * GN_MS);
    go(block_twice, NULL);
    gn_yield(); /* it blocks for the first time */
    gn_yield(); /* and the second */
    gn_yield();
    gn_tick_stop(gn_sched_self());
    assert_ptr_equal(seen.stalled, blocker);
    assert_int_equal(seen.stalls, 1);
}

static void who_computes_is_not_said_to_block(void **state)
{
    (void)state;
    watch(300 * GN_MS);
    gn_yield();
    compute(400 * GN_MS);
    gn_yield();
    gn_tick_stop(gn_sched_self());
    assert_null(seen.stalled);
}

static void idle_time_is_nobodys(void **state)
{
    (void)state;
    watch(300 * GN_MS);
    gn_sleep_until(gn_after_ms(400));
    gn_yield();
    gn_tick_stop(gn_sched_self());
    assert_null(seen.stalled);
}

static char order[16];

static void give_way_twice(void *name)
{
    for (int i = 0; i < 2; i++) {
        strcat(order, name);
        gn_give_way();
    }
}

/* After the first round, in which nobody has, the one who does not give way runs in
 * each round, and then one of those who do. */
static void those_who_give_way_take_turns_with_everybody_else(void **state)
{
    (void)state;
    *order = '\0';
    go(give_way_twice, "a");
    go(give_way_twice, "b");
    gn_yield();
    for (int i = 0; i < 4; i++) {
        strcat(order, "-");
        gn_yield();
    }
    assert_string_equal(order, "ab--a-b-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(a_fiber_that_computes_is_told_of),
        on_a_fiber(each_turn_is_counted_anew),
        on_a_fiber(ticks_go_to_who_was_running),
        on_a_fiber(who_waits_has_no_ticks),
        on_a_fiber(a_stopped_clock_is_silent),
        on_a_fiber(a_fiber_that_blocks_the_thread_is_told_of),
        on_a_fiber(who_blocks_again_among_others_is_told_of),
        on_a_fiber(who_computes_is_not_said_to_block),
        on_a_fiber(idle_time_is_nobodys),
        on_a_fiber(those_who_give_way_take_turns_with_everybody_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
