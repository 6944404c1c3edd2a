/* host/sched/timer.c and clock.h: the heap against a naive model, and what callbacks
 * may do. */
#include "fiber_test.h"

#include "sched/timer.h"

static struct gn_timers timers;

struct entry {
    struct gn_timer timer;
    bool armed;                   /* the model's */
    int64_t deadline;             /* the model's */
    void (*then)(struct entry *); /* what the callback does besides; or NULL */
};

static struct entry *called[4096];
static size_t calls;

static void on_expiry(struct gn_timer *t)
{
    struct entry *e = gn_container_of(t, struct entry, timer);
    assert_false(gn_timer_armed(t));
    called[calls++] = e;
    if (e->then)
        e->then(e);
}

static int begin(void **state)
{
    (void)state;
    gn_timers_init(&timers);
    calls = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    gn_timers_term(&timers);
    return 0;
}

static void arm(struct entry *e, int64_t deadline)
{
    e->timer.fn = on_expiry;
    assert_int_equal(gn_timer_add(&timers, &e->timer, deadline), 0);
    e->armed = true;
    e->deadline = deadline;
}

static void disarm(struct entry *e)
{
    gn_timer_del(&timers, &e->timer);
    e->armed = false;
}

/* ---- the heap ---- */

static void no_timer_means_never(void **state)
{
    (void)state;
    assert_true(gn_timers_next(&timers) == GN_NEVER);
    gn_timers_expire(&timers, GN_NEVER);
    assert_int_equal(calls, 0);
}

static void timers_expire_earliest_first(void **state)
{
    (void)state;
    struct entry e[5] = {0};
    const int64_t deadlines[] = {50, 10, 40, 20, 30};
    for (int i = 0; i < 5; i++)
        arm(&e[i], deadlines[i]);
    assert_int_equal(gn_timers_next(&timers), 10);
    gn_timers_expire(&timers, 50);
    assert_int_equal(calls, 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(called[i]->deadline, 10 * (i + 1));
}

static void a_timer_is_due_at_its_deadline_not_before(void **state)
{
    (void)state;
    struct entry e = {0};
    arm(&e, 100);
    gn_timers_expire(&timers, 99);
    assert_int_equal(calls, 0);
    assert_true(gn_timer_armed(&e.timer));
    gn_timers_expire(&timers, 100);
    assert_int_equal(calls, 1);
    gn_timers_expire(&timers, 200);
    assert_int_equal(calls, 1);
}

static void adding_an_armed_timer_moves_it(void **state)
{
    (void)state;
    struct entry e[3] = {0};
    arm(&e[0], 10);
    arm(&e[1], 20);
    arm(&e[2], 30);
    arm(&e[0], 40);
    arm(&e[2], 5);
    assert_int_equal(timers.count, 3);
    gn_timers_expire(&timers, 100);
    assert_int_equal(calls, 3);
    assert_ptr_equal(called[0], &e[2]);
    assert_ptr_equal(called[1], &e[1]);
    assert_ptr_equal(called[2], &e[0]);
}

static void removing_twice_does_nothing(void **state)
{
    (void)state;
    struct entry e[2] = {0};
    gn_timer_del(&timers, &e[0].timer);
    arm(&e[0], 10);
    arm(&e[1], 20);
    disarm(&e[0]);
    disarm(&e[0]);
    assert_int_equal(gn_timers_next(&timers), 20);
    gn_timers_expire(&timers, 100);
    assert_int_equal(calls, 1);
    assert_ptr_equal(called[0], &e[1]);
}

static void the_end_of_the_heap_disarms_its_timers(void **state)
{
    (void)state;
    struct entry e[2] = {0};
    arm(&e[0], 10);
    arm(&e[1], 20);
    gn_timers_term(&timers);
    assert_false(gn_timer_armed(&e[0].timer));
    assert_false(gn_timer_armed(&e[1].timer));
    assert_int_equal(calls, 0);
}

/* ---- callbacks ---- */

static struct entry other;

static void arm_again_later(struct entry *e)
{
    e->then = NULL;
    arm(e, e->deadline + 100);
}

static void a_callback_may_arm_its_timer_again(void **state)
{
    (void)state;
    struct entry e = {.then = arm_again_later};
    arm(&e, 10);
    gn_timers_expire(&timers, 50);
    assert_int_equal(calls, 1);
    assert_int_equal(gn_timers_next(&timers), 110);
    gn_timers_expire(&timers, 110);
    assert_int_equal(calls, 2);
}

static void disarm_the_other(struct entry *e)
{
    (void)e;
    disarm(&other);
}

static void a_callback_may_remove_a_timer_that_is_due(void **state)
{
    (void)state;
    struct entry e = {.then = disarm_the_other};
    other = (struct entry){0};
    arm(&e, 10);
    arm(&other, 20);
    gn_timers_expire(&timers, 50);
    assert_int_equal(calls, 1);
    assert_ptr_equal(called[0], &e);
}

static void arm_the_other_in_the_past(struct entry *e)
{
    (void)e;
    arm(&other, 5);
}

static void a_timer_added_by_a_callback_and_due_is_called_too(void **state)
{
    (void)state;
    struct entry e[2] = {{.then = arm_the_other_in_the_past}};
    other = (struct entry){0};
    arm(&e[0], 10);
    arm(&e[1], 20);
    gn_timers_expire(&timers, 50);
    assert_int_equal(calls, 3);
    assert_ptr_equal(called[1], &other);
    assert_ptr_equal(called[2], &e[1]);
}

/* ---- against a naive model ---- */

enum { ENTRIES = 1000, STEPS = 20000, SPAN = 5000 };
static struct entry entries[ENTRIES];

static uint32_t random_below(uint32_t n)
{
    static uint64_t x = 88172645463325252u;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t)(x >> 32) % n;
}

static int64_t earliest(void)
{
    int64_t found = GN_NEVER;
    for (int i = 0; i < ENTRIES; i++)
        if (entries[i].armed && entries[i].deadline < found)
            found = entries[i].deadline;
    return found;
}

static void expire_and_compare(int64_t now)
{
    size_t due = 0;
    for (int i = 0; i < ENTRIES; i++)
        due += entries[i].armed && entries[i].deadline <= now;
    calls = 0;
    gn_timers_expire(&timers, now);
    assert_int_equal(calls, due);
    for (size_t i = 0; i < calls; i++) {
        assert_true(called[i]->armed && called[i]->deadline <= now);
        assert_true(i == 0 || called[i - 1]->deadline <= called[i]->deadline);
        called[i]->armed = false;
    }
}

static void the_heap_agrees_with_a_naive_model(void **state)
{
    (void)state;
    int64_t now = 0;
    for (int i = 0; i < ENTRIES; i++)
        entries[i] = (struct entry){0};
    for (int step = 0; step < STEPS; step++) {
        struct entry *e = &entries[random_below(ENTRIES)];
        if (random_below(3) > 0)
            arm(e, now + random_below(SPAN));
        else
            disarm(e);
        assert_int_equal(gn_timers_next(&timers), earliest());
        assert_int_equal(gn_timer_armed(&e->timer), e->armed);
        if (random_below(50) == 0)
            expire_and_compare(now += random_below(SPAN / 4));
    }
    expire_and_compare(GN_NEVER);
    assert_int_equal(timers.count, 0);
}

/* ---- the clock ---- */

static void a_deadline_beyond_all_time_is_never(void **state)
{
    (void)state;
    struct timespec far = {.tv_sec = INT64_MAX, .tv_nsec = 999999999};
    struct timespec edge = {.tv_sec = GN_NEVER / GN_SECOND - 1, .tv_nsec = 999999999};
    assert_true(gn_from_timespec(&far) == GN_NEVER);
    assert_true(gn_from_timespec(&edge) > 0);
    assert_true(gn_after(GN_NEVER) == GN_NEVER);
    assert_true(gn_after_ms(-1) == GN_NEVER);
}

static void a_deadline_in_the_past_is_now(void **state)
{
    (void)state;
    int64_t before = gn_now();
    assert_true(gn_after(-GN_SECOND) >= before);
    assert_true(gn_after_ms(0) >= before);
    assert_true(gn_after_ms(1000) >= before + GN_SECOND);
}

#define with_heap(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_heap(no_timer_means_never),
        with_heap(timers_expire_earliest_first),
        with_heap(a_timer_is_due_at_its_deadline_not_before),
        with_heap(adding_an_armed_timer_moves_it),
        with_heap(removing_twice_does_nothing),
        with_heap(the_end_of_the_heap_disarms_its_timers),
        with_heap(a_callback_may_arm_its_timer_again),
        with_heap(a_callback_may_remove_a_timer_that_is_due),
        with_heap(a_timer_added_by_a_callback_and_due_is_called_too),
        with_heap(the_heap_agrees_with_a_naive_model),
        cmocka_unit_test(a_deadline_beyond_all_time_is_never),
        cmocka_unit_test(a_deadline_in_the_past_is_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
