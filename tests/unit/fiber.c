/* host/sched/fiber.c and context.c: fibers run, wait, are woken and cancelled. */
#include "fiber_test.h"

#include <fenv.h>

static char trace[64];
static size_t traced;

static void note(char c)
{
    assert_true(traced < sizeof trace - 1);
    trace[traced++] = c;
    trace[traced] = '\0';
}

static void assert_trace(const char *expected)
{
    assert_string_equal(trace, expected);
    traced = 0;
    trace[0] = '\0';
}

static void note_letter(void *letter)
{
    note(*(const char *)letter);
}

/* ---- turns ---- */

static void fibers_run_in_the_order_they_were_made(void **state)
{
    (void)state;
    struct gn_sched *s = sched_begin();
    go(note_letter, "a");
    go(note_letter, "b");
    go(note_letter, "c");
    assert_trace("");
    sched_end(s);
    assert_trace("abc");
}

static void a_new_fiber_first_runs_when_its_maker_waits(void **state)
{
    (void)state;
    go(note_letter, "a");
    note('1');
    gn_yield();
    note('2');
    assert_trace("1a2");
}

static void note_three_times(void *letter)
{
    for (int i = 0; i < 3; i++) {
        note_letter(letter);
        gn_yield();
    }
}

static void yielding_fibers_take_turns(void **state)
{
    (void)state;
    struct gn_sched *s = sched_begin();
    go(note_three_times, "a");
    go(note_three_times, "b");
    go(note_three_times, "c");
    sched_end(s);
    assert_trace("abcabcabc");
}

static void sleep_ms(void *ms)
{
    gn_sleep_until(*(int64_t *)ms);
    note('s');
}

static void a_yielding_fiber_does_not_starve_a_sleeper(void **state)
{
    (void)state;
    int64_t deadline = gn_after_ms(5), give_up = gn_after(30 * GN_SECOND);
    go(sleep_ms, &deadline);
    while (traced == 0 && gn_now() < give_up)
        gn_yield();
    assert_trace("s");
}

/* What lies on a fiber's stack, and in its registers, is its own. */
static void count_in_locals(void *start)
{
    uint64_t n[4] = {*(uint64_t *)start, *(uint64_t *)start + 1, 7, 9};
    double x = (double)n[0];
    for (int i = 0; i < 1000; i++) {
        n[0]++;
        n[1]++;
        x += 0.5;
        gn_yield();
    }
    assert_int_equal(n[0], *(uint64_t *)start + 1000);
    assert_int_equal(n[1], *(uint64_t *)start + 1001);
    assert_true(x == (double)*(uint64_t *)start + 500);
}

static void locals_survive_a_thousand_switches(void **state)
{
    (void)state;
    static uint64_t start[20];
    struct gn_sched *s = sched_begin();
    for (int i = 0; i < 20; i++) {
        start[i] = (uint64_t)i * 1000000;
        go(count_in_locals, &start[i]);
    }
    sched_end(s);
}

static void round_upward(void *unused)
{
    (void)unused;
    fesetround(FE_UPWARD);
    gn_yield();
    assert_int_equal(fegetround(), FE_UPWARD);
}

static void the_rounding_of_numbers_is_a_fibers_own(void **state)
{
    (void)state;
    go(round_upward, NULL);
    gn_yield();
    assert_int_equal(fegetround(), FE_TONEAREST);
    gn_yield();
    assert_int_equal(fegetround(), FE_TONEAREST);
}

/* ---- who runs ---- */

static void see_no_fiber(struct gn_timer *t)
{
    (void)t;
    assert_null(gn_fiber_self());
    assert_false(gn_may_park());
    note('t');
}

static void nobody_is_the_running_fiber_off_fibers(void **state)
{
    (void)state;
    struct gn_timer t = {.fn = see_no_fiber};
    struct gn_sched *s = gn_sched_self();
    assert_non_null(gn_fiber_self());
    assert_ptr_equal(gn_fiber_self()->sched, s);
    gn_timer_add(&s->timers, &t, gn_now());
    gn_sleep_until(gn_after_ms(1));
    assert_trace("t");
}

static bool allowed;

static bool ask_the_test(struct gn_fiber *f)
{
    assert_ptr_equal(f, gn_fiber_self());
    return allowed;
}

static void a_fiber_may_forbid_itself_to_wait(void **state)
{
    (void)state;
    assert_true(gn_may_park());
    gn_fiber_self()->may_park = ask_the_test;
    allowed = false;
    assert_false(gn_may_park());
    allowed = true;
    assert_true(gn_may_park());
}

static void note_wait(struct gn_fiber *f)
{
    assert_ptr_equal(f, gn_fiber_self());
    note('w');
}

static void a_fiber_may_be_told_before_each_wait(void **state)
{
    (void)state;
    gn_fiber_self()->before_park = note_wait;
    gn_yield();
    assert_trace("w");
    gn_park(gn_after_ms(1));
    gn_park_shielded(gn_after_ms(1));
    assert_trace("ww");
    gn_fiber_self()->before_park = NULL;
    gn_yield();
    assert_trace("");
}

static void see_empty_slots(void *unused)
{
    (void)unused;
    for (int i = 0; i < GN_SLOTS; i++)
        assert_null(gn_fiber_self()->slot[i]);
    gn_fiber_self()->slot[GN_SLOT_LUA] = "the other's";
}

static void slots_belong_to_their_fiber(void **state)
{
    (void)state;
    gn_fiber_self()->slot[GN_SLOT_LUA] = "mine";
    go(see_empty_slots, NULL);
    gn_yield();
    assert_string_equal(gn_fiber_self()->slot[GN_SLOT_LUA], "mine");
}

static void a_long_name_is_cut(void **state)
{
    (void)state;
    struct gn_fiber *f = gn_fiber_self();
    assert_string_equal(f->name, "test");
    gn_fiber_rename(f, "0123456789012345678901234567890123456789");
    assert_string_equal(f->name, "0123456789012345678901234567890");
    gn_fiber_rename(f, "");
    assert_string_equal(f->name, "");
}

/* ---- waiting ---- */

static void spoil_errno(void *unused)
{
    (void)unused;
    errno = ENOTTY;
}

static void errno_survives_every_wait(void **state)
{
    (void)state;
    go(spoil_errno, NULL);
    errno = EDOM;
    gn_yield();
    assert_int_equal(errno, EDOM);
    go(spoil_errno, NULL);
    gn_park(gn_after_ms(1));
    assert_int_equal(errno, EDOM);
    go(spoil_errno, NULL);
    gn_park_shielded(gn_after_ms(1));
    assert_int_equal(errno, EDOM);
}

static void a_parked_fiber_wakes_at_its_deadline(void **state)
{
    (void)state;
    int64_t deadline = gn_after_ms(20);
    assert_int_equal(gn_park(deadline), -ETIMEDOUT);
    assert_true(gn_now() >= deadline);
}

static void a_deadline_in_the_past_still_lets_others_run(void **state)
{
    (void)state;
    go(note_letter, "a");
    assert_int_equal(gn_park(1), -ETIMEDOUT);
    assert_trace("a");
}

static void sleepers_wake_in_the_order_of_their_deadlines(void **state)
{
    (void)state;
    static int64_t deadlines[3];
    int64_t now = gn_now();
    const int ms[] = {30, 10, 20};
    struct gn_sched *s = gn_sched_self();
    for (int i = 0; i < 3; i++) {
        deadlines[i] = now + ms[i] * GN_MS;
        go(sleep_ms, &deadlines[i]);
    }
    gn_yield();
    assert_int_equal(gn_timers_next(&s->timers), deadlines[1]);
    gn_sleep_until(deadlines[0] + GN_MS);
    assert_trace("sss");
}

static void wake(void *fiber)
{
    gn_wake(fiber);
}

static void waking_a_fiber_ends_its_wait_with_0(void **state)
{
    (void)state;
    struct gn_fiber *self = gn_fiber_self();
    go(wake, self);
    assert_int_equal(gn_park(gn_after(30 * GN_SECOND)), 0);
    assert_false(gn_timer_armed(&self->timer));
}

static void waking_a_fiber_that_does_not_wait_does_nothing(void **state)
{
    (void)state;
    gn_wake(gn_fiber_self());
    assert_int_equal(gn_park(gn_after_ms(1)), -ETIMEDOUT);
    go(wake, gn_fiber_self());
    gn_yield();
    assert_int_equal(gn_park(gn_after_ms(1)), -ETIMEDOUT);
}

static void wake_twice(void *fiber)
{
    gn_wake(fiber);
    gn_wake(fiber);
}

static void two_wakes_in_one_round_count_once(void **state)
{
    (void)state;
    go(wake_twice, gn_fiber_self());
    assert_int_equal(gn_park(GN_NEVER), 0);
    assert_int_equal(gn_park(gn_after_ms(1)), -ETIMEDOUT);
}

/* ---- cancelling ---- */

static void cancel(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
}

static void cancelling_ends_the_wait_and_every_later_one(void **state)
{
    (void)state;
    go(cancel, gn_fiber_self());
    assert_int_equal(gn_park(GN_NEVER), -ECANCELED);
    assert_int_equal(gn_park(GN_NEVER), -ECANCELED);
    assert_int_equal(gn_sleep_until(GN_NEVER), -ECANCELED);
    assert_int_equal(gn_sleep_until(gn_now()), -ECANCELED);
}

static void a_fiber_may_be_cancelled_before_it_waits(void **state)
{
    (void)state;
    gn_cancel(gn_fiber_self(), -ECANCELED);
    go(note_letter, "a");
    assert_int_equal(gn_park(GN_NEVER), -ECANCELED);
    gn_yield();
    assert_trace("a");
}

static void the_first_cause_of_a_cancellation_stays(void **state)
{
    (void)state;
    gn_cancel(gn_fiber_self(), -EPIPE);
    gn_cancel(gn_fiber_self(), -ECANCELED);
    assert_int_equal(gn_park(GN_NEVER), -EPIPE);
}

static void wake_then_cancel(void *fiber)
{
    gn_wake(fiber);
    gn_cancel(fiber, -ECANCELED);
}

static void a_wake_before_a_cancellation_counts_first(void **state)
{
    (void)state;
    go(wake_then_cancel, gn_fiber_self());
    assert_int_equal(gn_park(GN_NEVER), 0);
    assert_int_equal(gn_park(GN_NEVER), -ECANCELED);
}

static void cancel_then_wake(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
    gn_wake(fiber);
}

static void a_cancellation_before_a_wake_counts_first(void **state)
{
    (void)state;
    go(cancel_then_wake, gn_fiber_self());
    assert_int_equal(gn_park(GN_NEVER), -ECANCELED);
}

static void cancel_and_wake_later(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
    for (int i = 0; i < 3; i++)
        gn_yield();
    note('w');
    gn_wake(fiber);
}

static void a_shielded_wait_outlives_a_cancellation(void **state)
{
    (void)state;
    go(cancel_and_wake_later, gn_fiber_self());
    assert_int_equal(gn_park_shielded(GN_NEVER), 0);
    assert_trace("w");
    assert_int_equal(gn_park_shielded(gn_after_ms(1)), -ETIMEDOUT);
    assert_int_equal(gn_park(GN_NEVER), -ECANCELED);
}

/* ---- crowds ---- */

enum { CROWD = SANITIZED ? 500 : 10000 };
static struct gn_fiber *crowd[CROWD];
static unsigned woken;

static void wait_in_the_crowd(void *unused)
{
    (void)unused;
    woken += gn_park(GN_NEVER) == 0;
}

static void ten_thousand_fibers_live_at_once(void **state)
{
    (void)state;
    struct gn_sched *s = gn_sched_self();
    woken = 0;
    for (int i = 0; i < CROWD; i++)
        crowd[i] = go(wait_in_the_crowd, NULL);
    gn_yield();
    assert_int_equal(s->fibers, CROWD + 1);
    for (int i = 0; i < CROWD; i++)
        gn_wake(crowd[i]);
    gn_yield();
    assert_int_equal(woken, CROWD);
    assert_int_equal(s->fibers, 1);
}

/* Leaves its marks on a good part of the stack, in pieces as ordinary calls do. */
static char *mark_the_stack(int depth)
{
    char room[4096];
    memset(room, 0x5a, sizeof room);
    __asm__ volatile("" : : "r"(room) : "memory");
    char *lowest = depth > 0 ? mark_the_stack(depth - 1) : gn_fiber_self()->stack.base;
    __asm__ volatile("" : : "r"(room) : "memory");
    return lowest;
}

static size_t marks(const struct gn_fiber *f)
{
    size_t n = 0;
    const volatile char *base = f->stack.base;
    for (size_t i = 0; i < f->stack.size - 64 * 1024; i += 512)
        n += base[i] == 0x5a;
    return n;
}

static void park_after_digging(void *unused)
{
    (void)unused;
    uint64_t mine[64];
    for (int i = 0; i < 64; i++)
        mine[i] = (uint64_t)i * 7;
    mark_the_stack(80);
    gn_park(GN_NEVER);
    for (int i = 0; i < 64; i++)
        assert_int_equal(mine[i], i * 7);
    note('k');
}

static void a_trimmed_fiber_gives_back_pages_and_lives_on(void **state)
{
    (void)state;
    if (SANITIZED)
        return; /* there the marks may lie elsewhere */
    struct gn_fiber *f = go(park_after_digging, NULL);
    gn_yield();
    assert_true(marks(f) > 300);
    gn_fiber_trim(f);
    assert_int_equal(marks(f), 0);
    gn_wake(f);
    gn_yield();
    assert_trace("k");
}

static void start_the_next(void *left)
{
    if (--*(int *)left > 0)
        go(start_the_next, left);
}

static void fibers_that_follow_one_another_need_two_stacks(void **state)
{
    (void)state;
    static int left;
    left = 1000;
    struct gn_sched *s = sched_begin();
    go(start_the_next, &left);
    gn_sched_run(s);
    assert_int_equal(left, 0);
    assert_in_range(s->stacks.warm_count, 1, 2);
    sched_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fibers_run_in_the_order_they_were_made),
        on_a_fiber(a_new_fiber_first_runs_when_its_maker_waits),
        cmocka_unit_test(yielding_fibers_take_turns),
        on_a_fiber(a_yielding_fiber_does_not_starve_a_sleeper),
        cmocka_unit_test(locals_survive_a_thousand_switches),
        on_a_fiber(the_rounding_of_numbers_is_a_fibers_own),
        on_a_fiber(nobody_is_the_running_fiber_off_fibers),
        on_a_fiber(a_fiber_may_forbid_itself_to_wait),
        on_a_fiber(a_fiber_may_be_told_before_each_wait),
        on_a_fiber(slots_belong_to_their_fiber),
        on_a_fiber(a_long_name_is_cut),
        on_a_fiber(errno_survives_every_wait),
        on_a_fiber(a_parked_fiber_wakes_at_its_deadline),
        on_a_fiber(a_deadline_in_the_past_still_lets_others_run),
        on_a_fiber(sleepers_wake_in_the_order_of_their_deadlines),
        on_a_fiber(waking_a_fiber_ends_its_wait_with_0),
        on_a_fiber(waking_a_fiber_that_does_not_wait_does_nothing),
        on_a_fiber(two_wakes_in_one_round_count_once),
        on_a_fiber(cancelling_ends_the_wait_and_every_later_one),
        on_a_fiber(a_fiber_may_be_cancelled_before_it_waits),
        on_a_fiber(the_first_cause_of_a_cancellation_stays),
        on_a_fiber(a_wake_before_a_cancellation_counts_first),
        on_a_fiber(a_cancellation_before_a_wake_counts_first),
        on_a_fiber(a_shielded_wait_outlives_a_cancellation),
        on_a_fiber(ten_thousand_fibers_live_at_once),
        on_a_fiber(a_trimmed_fiber_gives_back_pages_and_lives_on),
        cmocka_unit_test(fibers_that_follow_one_another_need_two_stacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
