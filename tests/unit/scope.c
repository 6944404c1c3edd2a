/* host/sched/fiber.c: scopes, which interrupt a stretch of a fiber's work. */
#include "fiber_test.h"

static const int64_t LONG = 30 * GN_SECOND;

static struct gn_scope outer, inner;

/* A scope of the running fiber, begun. */
static struct gn_scope *enter(struct gn_scope *s)
{
    *s = (struct gn_scope){0};
    gn_scope_enter(s, gn_fiber_self());
    return s;
}

static struct gn_scope *enter_for_ms(struct gn_scope *s, int ms)
{
    assert_int_equal(gn_scope_expire(enter(s), gn_after_ms(ms)), 0);
    return s;
}

static struct gn_scope *enter_shield(struct gn_scope *s)
{
    *s = (struct gn_scope){.shield = true};
    gn_scope_enter(s, gn_fiber_self());
    return s;
}

static void cancel_scope(void *scope)
{
    gn_scope_cancel(scope, -ECANCELED);
}

static void cancel_fiber(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
}

/* A wait that nothing ends but an interruption. */
static int wait_long(void)
{
    return gn_park(gn_after(LONG));
}

/* A wait that ends at its deadline unless it is interrupted. */
static int wait_briefly(void)
{
    return gn_park(gn_after_ms(1));
}

/* ---- one scope ---- */

static void a_cancelled_scope_ends_the_wait_and_every_later_one(void **state)
{
    (void)state;
    enter(&outer);
    go(cancel_scope, &outer);
    assert_int_equal(wait_long(), -ECANCELED);
    assert_int_equal(wait_long(), -ECANCELED);
    assert_int_equal(gn_sleep_until(gn_now()), -ECANCELED);
    assert_int_equal(gn_fiber_cause(gn_fiber_self()), -ECANCELED);
}

static void waits_after_a_scope_know_nothing_of_its_cause(void **state)
{
    (void)state;
    enter(&outer);
    cancel_scope(&outer);
    assert_int_equal(wait_long(), -ECANCELED);
    gn_scope_leave(&outer);
    assert_int_equal(gn_fiber_cause(gn_fiber_self()), 0);
    assert_int_equal(wait_briefly(), -ETIMEDOUT);
    assert_null(gn_fiber_self()->scope);
}

static void the_first_cause_of_a_scope_stays(void **state)
{
    (void)state;
    enter(&outer);
    gn_scope_cancel(&outer, -EPIPE);
    gn_scope_cancel(&outer, -ECANCELED);
    assert_int_equal(wait_long(), -EPIPE);
}

static void a_deadline_interrupts_with_etime(void **state)
{
    (void)state;
    int64_t deadline = gn_after_ms(5);
    enter(&outer);
    assert_int_equal(gn_scope_expire(&outer, deadline), 0);
    assert_int_equal(wait_long(), -ETIME);
    assert_true(gn_now() >= deadline);
    assert_int_equal(wait_long(), -ETIME);
}

static void a_deadline_in_the_past_counts_at_the_first_wait(void **state)
{
    (void)state;
    enter(&outer);
    assert_int_equal(gn_scope_expire(&outer, 1), 0);
    assert_int_equal(wait_long(), -ETIME);
}

static void note_a_turn(void *turns)
{
    ++*(int *)turns;
}

static void a_wait_that_fails_at_once_still_lets_others_run(void **state)
{
    (void)state;
    int turns = 0;
    enter(&outer);
    cancel_scope(&outer);
    go(note_a_turn, &turns);
    assert_int_equal(wait_long(), -ECANCELED);
    assert_int_equal(turns, 1);
    gn_cancel(gn_fiber_self(), -EPIPE);
    gn_scope_leave(&outer);
    go(note_a_turn, &turns);
    assert_int_equal(wait_long(), -EPIPE);
    assert_int_equal(turns, 2);
}

static void a_later_deadline_replaces_the_first(void **state)
{
    (void)state;
    enter(&outer);
    assert_int_equal(gn_scope_expire(&outer, gn_after(LONG)), 0);
    assert_int_equal(gn_scope_expire(&outer, gn_after_ms(1)), 0);
    assert_int_equal(wait_long(), -ETIME);
}

static void a_wait_of_its_own_deadline_ends_as_ever(void **state)
{
    (void)state;
    enter(&outer);
    assert_int_equal(gn_scope_expire(&outer, gn_after(LONG)), 0);
    assert_int_equal(wait_briefly(), -ETIMEDOUT);
    gn_scope_leave(&outer);
}

static void leaving_disarms_the_deadline(void **state)
{
    (void)state;
    struct gn_timers *ts = &gn_sched_self()->timers;
    enter_for_ms(&outer, 5);
    gn_scope_leave(&outer);
    assert_false(gn_timer_armed(&outer.timer));
    assert_int_equal(gn_timers_next(ts), GN_NEVER);
    gn_sleep_until(gn_after_ms(10));
    assert_int_equal(outer.cause, 0);
}

static void a_scope_is_left_once(void **state)
{
    (void)state;
    enter(&outer);
    gn_scope_leave(&outer);
    enter(&inner);
    gn_scope_leave(&outer);
    assert_ptr_equal(gn_fiber_self()->scope, &inner);
    gn_scope_leave(&inner);
    gn_scope_leave(&inner);
    assert_null(gn_fiber_self()->scope);
}

static void a_scope_that_never_began_is_not_left(void **state)
{
    (void)state;
    outer = (struct gn_scope){0};
    gn_scope_leave(&outer);
    assert_null(gn_fiber_self()->scope);
}

/* ---- nested ---- */

static void the_cause_of_the_outer_reaches_the_inner(void **state)
{
    (void)state;
    enter(&outer);
    enter(&inner);
    go(cancel_scope, &outer);
    assert_int_equal(wait_long(), -ECANCELED);
    assert_int_equal(inner.cause, 0);
    gn_scope_leave(&inner);
    assert_int_equal(wait_long(), -ECANCELED);
}

static void the_cause_of_the_inner_comes_before_that_of_the_outer(void **state)
{
    (void)state;
    enter(&outer);
    enter(&inner);
    gn_scope_cancel(&outer, -ECANCELED);
    gn_scope_cancel(&inner, -ETIME);
    assert_int_equal(wait_long(), -ETIME);
    gn_scope_leave(&inner);
    assert_int_equal(wait_long(), -ECANCELED);
}

static void the_cause_of_the_inner_ends_with_it(void **state)
{
    (void)state;
    enter(&outer);
    enter_for_ms(&inner, 1);
    assert_int_equal(wait_long(), -ETIME);
    gn_scope_leave(&inner);
    assert_int_equal(wait_briefly(), -ETIMEDOUT);
}

static void the_earlier_deadline_counts_wherever_it_is(void **state)
{
    (void)state;
    enter_for_ms(&outer, 1);
    assert_int_equal(gn_scope_expire(enter(&inner), gn_after(LONG)), 0);
    assert_int_equal(wait_long(), -ETIME);
    assert_int_equal(inner.cause, 0);
    assert_int_equal(outer.cause, -ETIME);
    gn_scope_leave(&outer);
    assert_false(gn_timer_armed(&inner.timer));
}

static void leaving_from_the_middle_ends_the_inner_ones(void **state)
{
    (void)state;
    struct gn_scope middle;
    enter(&outer);
    enter(&middle);
    enter_for_ms(&inner, 1);
    gn_scope_leave(&middle);
    assert_ptr_equal(gn_fiber_self()->scope, &outer);
    assert_null(inner.fiber);
    assert_null(middle.fiber);
    assert_false(gn_timer_armed(&inner.timer));
    assert_int_equal(gn_park(gn_after_ms(5)), -ETIMEDOUT);
    gn_scope_leave(&inner);
    assert_ptr_equal(gn_fiber_self()->scope, &outer);
}

static void removing_from_the_middle_leaves_the_inner_ones(void **state)
{
    (void)state;
    struct gn_scope middle;
    enter(&outer);
    enter_for_ms(&middle, 1);
    enter_for_ms(&inner, 3);
    gn_scope_remove(&middle);
    gn_scope_remove(&middle);
    assert_ptr_equal(gn_fiber_self()->scope, &inner);
    assert_ptr_equal(inner.outer, &outer);
    assert_null(middle.fiber);
    assert_false(gn_timer_armed(&middle.timer));
    assert_int_equal(wait_long(), -ETIME);
    assert_int_equal(inner.cause, -ETIME);
    gn_scope_leave(&outer);
    assert_null(gn_fiber_self()->scope);
}

static bool inside;

static bool is_inside(const struct gn_scope *s)
{
    assert_ptr_equal(s, &inner);
    return inside;
}

static void a_scope_that_does_not_apply_interrupts_nothing(void **state)
{
    (void)state;
    enter(&outer);
    enter_shield(&inner)->applies = is_inside;
    inside = false;
    go(cancel_scope, &inner);
    assert_int_equal(gn_park(gn_after_ms(2)), -ETIMEDOUT);
    cancel_scope(&outer);
    assert_int_equal(wait_long(), -ECANCELED); /* nor does it shield */
    inner.cause = 0;
    inside = true;
    assert_int_equal(wait_briefly(), -ETIMEDOUT);
    gn_scope_leave(&outer);
}

static void the_cause_of_the_fiber_is_around_all_scopes(void **state)
{
    (void)state;
    enter(&outer);
    gn_cancel(gn_fiber_self(), -ECANCELED);
    assert_int_equal(wait_long(), -ECANCELED);
    gn_scope_cancel(&outer, -ETIME);
    assert_int_equal(wait_long(), -ETIME);
    gn_scope_leave(&outer);
    assert_int_equal(wait_long(), -ECANCELED);
}

/* ---- shields ---- */

static void a_shield_hides_the_cause_of_the_outer(void **state)
{
    (void)state;
    enter(&outer);
    cancel_scope(&outer);
    enter_shield(&inner);
    assert_int_equal(gn_fiber_cause(gn_fiber_self()), 0);
    assert_int_equal(wait_briefly(), -ETIMEDOUT);
    gn_scope_leave(&inner);
    assert_int_equal(wait_long(), -ECANCELED);
}

static void a_shield_hides_what_happens_meanwhile(void **state)
{
    (void)state;
    struct gn_fiber *self = gn_fiber_self();
    enter(&outer);
    enter_shield(&inner);
    go(cancel_scope, &outer);
    go(cancel_fiber, self);
    assert_int_equal(gn_park(gn_after_ms(5)), -ETIMEDOUT);
    assert_int_equal(outer.cause, -ECANCELED);
    gn_scope_leave(&inner);
    assert_int_equal(wait_long(), -ECANCELED);
    gn_scope_leave(&outer);
    assert_int_equal(wait_long(), -ECANCELED);
}

static void a_deadline_inside_a_shield_counts(void **state)
{
    (void)state;
    enter(&outer);
    cancel_scope(&outer);
    struct gn_scope shield;
    enter_shield(&shield);
    enter_for_ms(&inner, 1);
    assert_int_equal(wait_long(), -ETIME);
    gn_scope_leave(&inner);
    assert_int_equal(wait_briefly(), -ETIMEDOUT);
    gn_scope_leave(&outer);
}

static void a_shield_may_have_a_cause_of_its_own(void **state)
{
    (void)state;
    enter_shield(&outer);
    go(cancel_scope, &outer);
    assert_int_equal(wait_long(), -ECANCELED);
    gn_scope_leave(&outer);
}

static void cancel_then_wake(void *fiber)
{
    gn_scope_cancel(&outer, -ECANCELED);
    gn_wake(fiber);
}

static void a_shielded_wait_outlives_its_scope_being_cancelled(void **state)
{
    (void)state;
    enter(&outer);
    go(cancel_then_wake, gn_fiber_self());
    assert_int_equal(gn_park_shielded(gn_after(LONG)), 0);
    assert_int_equal(gn_park_shielded(gn_after_ms(1)), -ETIMEDOUT);
    assert_int_equal(wait_long(), -ECANCELED);
}

/* ---- in one round ---- */

static void wake_then_cancel(void *fiber)
{
    gn_wake(fiber);
    gn_scope_cancel(&outer, -ECANCELED);
}

static void a_fiber_that_is_ready_is_interrupted_at_its_next_wait(void **state)
{
    (void)state;
    enter(&outer);
    go(wake_then_cancel, gn_fiber_self());
    assert_int_equal(wait_long(), 0);
    assert_int_equal(wait_long(), -ECANCELED);
}

static void a_cancellation_before_a_wake_counts_first(void **state)
{
    (void)state;
    enter(&outer);
    go(cancel_then_wake, gn_fiber_self());
    assert_int_equal(wait_long(), -ECANCELED);
}

static void a_yield_is_no_wait_to_interrupt(void **state)
{
    (void)state;
    enter(&outer);
    go(cancel_scope, &outer);
    gn_yield();
    assert_int_equal(wait_long(), -ECANCELED);
}

static int result;

static void note_the_result(void *unused)
{
    (void)unused;
    result = wait_long();
    gn_scope_leave(&inner);
}

static void a_fiber_may_be_interrupted_before_it_has_run(void **state)
{
    (void)state;
    result = 0;
    struct gn_fiber *f = go(note_the_result, NULL);
    inner = (struct gn_scope){0};
    gn_scope_enter(&inner, f);
    cancel_scope(&inner);
    gn_yield();
    gn_yield();
    assert_int_equal(result, -ECANCELED);
    assert_null(inner.fiber);
}

static void enter_and_wait(void *unused)
{
    (void)unused;
    gn_scope_enter(&inner, gn_fiber_self());
    result = wait_long();
    gn_scope_leave(&inner);
}

static void a_scope_may_be_cancelled_before_it_begins(void **state)
{
    (void)state;
    inner = (struct gn_scope){0};
    cancel_scope(&inner);
    result = 0;
    go(enter_and_wait, NULL);
    gn_yield();
    gn_yield();
    assert_int_equal(result, -ECANCELED);
}

static void a_scope_that_has_ended_interrupts_nobody(void **state)
{
    (void)state;
    enter(&outer);
    gn_scope_leave(&outer);
    go(cancel_scope, &outer);
    assert_int_equal(gn_park(gn_after_ms(2)), -ETIMEDOUT);
}

static void another_fibers_scope_can_be_left(void **state)
{
    (void)state;
    inner = (struct gn_scope){0};
    result = 0;
    struct gn_fiber *f = go(enter_and_wait, NULL);
    gn_yield();
    assert_int_equal(gn_scope_expire(&inner, gn_after_ms(1)), 0);
    gn_scope_leave(&inner);
    gn_sleep_until(gn_after_ms(5));
    assert_int_equal(result, 0);
    gn_wake(f);
}

/* ---- what is done before a wait ---- */

static int sleeps;

/* As a worker that sends what it has held back to a peer that is slow. */
static void wait_first(struct gn_fiber *f)
{
    sleeps++;
    f->before_park = NULL;
    gn_park(gn_after_ms(2));
}

static void wait_first_until_woken(struct gn_fiber *f)
{
    f->before_park = NULL;
    gn_park(GN_NEVER);
}

static void a_cancellation_before_the_wait_proper_counts(void **state)
{
    (void)state;
    enter(&outer);
    gn_fiber_self()->before_park = wait_first_until_woken;
    go(cancel_scope, &outer);
    assert_int_equal(gn_park(gn_after(LONG)), -ECANCELED);
}

static void wake(void *fiber)
{
    gn_wake(fiber);
}

static void a_wake_before_the_wait_proper_is_not_lost(void **state)
{
    (void)state;
    struct gn_fiber *self = gn_fiber_self();
    self->before_park = wait_first_until_woken;
    go(wake, self);
    assert_int_equal(gn_park(GN_NEVER), 0);
    self->before_park = wait_first_until_woken;
    go(wake, self);
    assert_int_equal(gn_park_shielded(GN_NEVER), 0);
}

static void a_sleep_lasts_whatever_is_done_before_it(void **state)
{
    (void)state;
    struct gn_fiber *self = gn_fiber_self();
    int64_t deadline = gn_after_ms(10);
    self->before_park = wait_first_until_woken;
    go(wake, self);
    assert_int_equal(gn_sleep_until(deadline), 0);
    assert_true(gn_now() >= deadline);
}

static void a_descriptor_is_waited_for_whatever_is_done_before(void **state)
{
    (void)state;
    int fd[2];
    struct gn_fiber *self = gn_fiber_self();
    open_pair(fd);
    self->before_park = wait_first_until_woken;
    go(wake, self);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, gn_after_ms(5)), -ETIMEDOUT);
    struct gn_wait w = {.fd = fd[0], .events = EPOLLIN};
    self->before_park = wait_first_until_woken;
    go(wake, self);
    go(write_byte, &fd[1]);
    assert_int_equal(gn_wait_any(&w, 1, gn_after(LONG)), 1);
    close_both(fd);
}

static void preparing_does_it_at_once(void **state)
{
    (void)state;
    sleeps = 0;
    gn_prepare();
    gn_fiber_self()->before_park = wait_first;
    gn_prepare();
    assert_int_equal(sleeps, 1);
    assert_int_equal(wait_briefly(), -ETIMEDOUT);
    assert_int_equal(sleeps, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(a_cancelled_scope_ends_the_wait_and_every_later_one),
        on_a_fiber(waits_after_a_scope_know_nothing_of_its_cause),
        on_a_fiber(the_first_cause_of_a_scope_stays),
        on_a_fiber(a_deadline_interrupts_with_etime),
        on_a_fiber(a_deadline_in_the_past_counts_at_the_first_wait),
        on_a_fiber(a_wait_that_fails_at_once_still_lets_others_run),
        on_a_fiber(a_later_deadline_replaces_the_first),
        on_a_fiber(a_wait_of_its_own_deadline_ends_as_ever),
        on_a_fiber(leaving_disarms_the_deadline),
        on_a_fiber(a_scope_is_left_once),
        on_a_fiber(a_scope_that_never_began_is_not_left),
        on_a_fiber(the_cause_of_the_outer_reaches_the_inner),
        on_a_fiber(the_cause_of_the_inner_comes_before_that_of_the_outer),
        on_a_fiber(the_cause_of_the_inner_ends_with_it),
        on_a_fiber(the_earlier_deadline_counts_wherever_it_is),
        on_a_fiber(leaving_from_the_middle_ends_the_inner_ones),
        on_a_fiber(removing_from_the_middle_leaves_the_inner_ones),
        on_a_fiber(a_scope_that_does_not_apply_interrupts_nothing),
        on_a_fiber(the_cause_of_the_fiber_is_around_all_scopes),
        on_a_fiber(a_shield_hides_the_cause_of_the_outer),
        on_a_fiber(a_shield_hides_what_happens_meanwhile),
        on_a_fiber(a_deadline_inside_a_shield_counts),
        on_a_fiber(a_shield_may_have_a_cause_of_its_own),
        on_a_fiber(a_shielded_wait_outlives_its_scope_being_cancelled),
        on_a_fiber(a_fiber_that_is_ready_is_interrupted_at_its_next_wait),
        on_a_fiber(a_cancellation_before_a_wake_counts_first),
        on_a_fiber(a_yield_is_no_wait_to_interrupt),
        on_a_fiber(a_fiber_may_be_interrupted_before_it_has_run),
        on_a_fiber(a_scope_may_be_cancelled_before_it_begins),
        on_a_fiber(a_scope_that_has_ended_interrupts_nobody),
        on_a_fiber(another_fibers_scope_can_be_left),
        on_a_fiber(a_cancellation_before_the_wait_proper_counts),
        on_a_fiber(a_wake_before_the_wait_proper_is_not_lost),
        on_a_fiber(a_sleep_lasts_whatever_is_done_before_it),
        on_a_fiber(a_descriptor_is_waited_for_whatever_is_done_before),
        on_a_fiber(preparing_does_it_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
