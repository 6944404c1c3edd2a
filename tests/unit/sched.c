/* host/sched/sched.c: the loop, and messages from other threads. */
#include "fiber_test.h"

static void *elsewhere;

/* ---- life ---- */

static void count_up(void *n)
{
    ++*(int *)n;
}

static void the_loop_ends_with_its_last_fiber_and_can_run_again(void **state)
{
    (void)state;
    int n = 0;
    struct gn_sched *s = sched_begin();
    gn_sched_run(s);
    go(count_up, &n);
    gn_sched_run(s);
    go(count_up, &n);
    gn_sched_run(s);
    assert_int_equal(n, 2);
    sched_end(s);
}

static void *look_for_a_scheduler(void *unused)
{
    (void)unused;
    elsewhere = gn_sched_self();
    return NULL;
}

static void a_scheduler_is_its_threads_own(void **state)
{
    (void)state;
    pthread_t id;
    assert_null(gn_sched_self());
    struct gn_sched *s = sched_begin();
    assert_ptr_equal(gn_sched_self(), s);
    elsewhere = s;
    pthread_create(&id, NULL, look_for_a_scheduler, NULL);
    pthread_join(id, NULL);
    assert_null(elsewhere);
    sched_end(s);
    assert_null(gn_sched_self());
}

static void the_loop_knows_the_time(void **state)
{
    (void)state;
    struct gn_sched *s = gn_sched_self();
    int64_t before = gn_now();
    gn_sleep_until(gn_after_ms(2));
    assert_true(s->now >= before + 2 * GN_MS);
    assert_true(s->now <= gn_now());
}

/* ---- skipped time ---- */

static int64_t kernel_time(void)
{
    return gn_now() - gn_clock_ahead;
}

static void time_is_skipped_where_all_fibers_sleep(void **state)
{
    (void)state;
    int64_t before = gn_now(), real = kernel_time();
    gn_sched_self()->skips = true;
    gn_sleep_until(gn_after(1000 * GN_SECOND));
    assert_true(gn_now() >= before + 1000 * GN_SECOND);
    assert_true(kernel_time() < real + 500 * GN_SECOND);
}

static int ends[2]; /* of a pipe */

static void write_late(void *arg)
{
    gn_sleep_until(gn_after_ms(20));
    assert_int_equal(gn_clock_ahead, 0);
    assert_int_equal(write(ends[1], arg, 1), 1);
}

static void time_passes_while_a_fiber_waits_for_a_descriptor(void **state)
{
    (void)state;
    assert_int_equal(pipe(ends), 0);
    gn_sched_self()->skips = true;
    go(write_late, "x");
    assert_int_equal(gn_wait_fd(ends[0], EPOLLIN, gn_after(1000 * GN_SECOND)), 0);
    assert_int_equal(gn_sched_self()->outside, 0);
    close(ends[0]);
    close(ends[1]);
}

/* ---- messages ---- */

enum { THREADS = 4, EACH = SANITIZED ? 2000 : 10000 };

struct note {
    struct gn_message message;
    int thread, number;
};

static struct {
    struct gn_sched *sched;
    struct gn_fiber *waiter;
    struct note *notes[THREADS];
    int next[THREADS], total;
    bool disorder, off_the_loop;
} post;

static void on_note(struct gn_message *m)
{
    struct note *n = gn_container_of(m, struct note, message);
    post.off_the_loop |= gn_fiber_self() != NULL || gn_sched_self() != post.sched;
    post.disorder |= n->number != post.next[n->thread]++;
    if (++post.total == THREADS * EACH)
        gn_wake(post.waiter);
}

static void send_notes(void *arg)
{
    int thread = (int)(uintptr_t)arg;
    for (int i = 0; i < EACH; i++) {
        post.notes[thread][i] =
            (struct note){.message.fn = on_note, .thread = thread, .number = i};
        gn_sched_post(post.sched, &post.notes[thread][i].message);
    }
}

static void messages_of_four_threads_all_arrive_in_order(void **state)
{
    (void)state;
    memset(&post, 0, sizeof post);
    post.sched = gn_sched_self();
    post.waiter = gn_fiber_self();
    for (int i = 0; i < THREADS; i++)
        post.notes[i] = calloc(EACH, sizeof *post.notes[i]);
    for (int i = 0; i < THREADS; i++)
        start_thread(send_notes, (void *)(uintptr_t)i);
    assert_int_equal(gn_park(gn_after(60 * GN_SECOND)), 0);
    assert_int_equal(post.total, THREADS * EACH);
    assert_false(post.disorder);
    assert_false(post.off_the_loop);
    join_started();
    for (int i = 0; i < THREADS; i++)
        free(post.notes[i]);
}

static struct gn_fiber *sleeper;

static void wake_the_sleeper(struct gn_message *m)
{
    (void)m;
    gn_wake(sleeper);
}

static void post_once_all_sleep(void *m)
{
    usleep(2000);
    gn_sched_post(sleeper->sched, m);
}

static void a_message_wakes_a_loop_that_sleeps_for_ever(void **state)
{
    (void)state;
    struct gn_message m = {.fn = wake_the_sleeper};
    sleeper = gn_fiber_self();
    for (int i = 0; i < 3; i++) {
        start_thread(post_once_all_sleep, &m);
        assert_int_equal(gn_park(GN_NEVER), 0);
        join_started();
    }
}

static int found;

static void find_note(struct gn_message *m)
{
    (void)m;
    found++;
}

static void leave_a_note(void *m)
{
    usleep(2000);
    gn_sched_leave_note(sleeper->sched, m);
}

static void a_note_is_found_when_something_else_wakes_the_loop(void **state)
{
    (void)state;
    struct gn_message note = {.fn = find_note}, m = {.fn = wake_the_sleeper};
    sleeper = gn_fiber_self();
    found = 0;
    start_thread(leave_a_note, &note);
    join_started();
    start_thread(post_once_all_sleep, &m);
    assert_int_equal(gn_park(gn_after(30 * GN_SECOND)), 0);
    assert_int_equal(found, 1);
    join_started();
}

static void leave_a_note_and_rouse(void *m)
{
    leave_a_note(m);
    gn_sched_rouse(sleeper->sched);
}

static void a_loop_that_is_roused_finds_its_notes(void **state)
{
    (void)state;
    struct gn_message note = {.fn = wake_the_sleeper};
    sleeper = gn_fiber_self();
    for (int i = 0; i < 3; i++) {
        start_thread(leave_a_note_and_rouse, &note);
        assert_int_equal(gn_park(gn_after(30 * GN_SECOND)), 0);
        join_started();
    }
}

static void a_fiber_may_send_a_message_to_its_own_loop(void **state)
{
    (void)state;
    struct gn_message m = {.fn = wake_the_sleeper};
    sleeper = gn_fiber_self();
    gn_sched_post(gn_sched_self(), &m);
    assert_int_equal(gn_park(gn_after(30 * GN_SECOND)), 0);
}

static int ran;

static void start_a_fiber(struct gn_message *m)
{
    (void)m;
    go(count_up, &ran);
    gn_wake(sleeper);
}

static void a_message_may_start_a_fiber(void **state)
{
    (void)state;
    struct gn_message m = {.fn = start_a_fiber};
    ran = 0;
    sleeper = gn_fiber_self();
    gn_sched_post(gn_sched_self(), &m);
    gn_park(GN_NEVER);
    gn_yield();
    assert_int_equal(ran, 1);
}

static void count_message(struct gn_message *m)
{
    (void)m;
    ran++;
}

static void a_message_that_came_too_late_is_still_delivered(void **state)
{
    (void)state;
    struct gn_message m = {.fn = count_message};
    ran = 0;
    struct gn_sched *s = sched_begin();
    gn_sched_post(s, &m);
    sched_end(s);
    assert_int_equal(ran, 1);
}

/* ---- two schedulers ---- */

enum { ROUNDS = 500 };

static struct side {
    struct gn_message message; /* to this side */
    struct gn_sched *sched;
    struct gn_fiber *fiber;
    int balls;
    struct side *other;
} sides[2];

static atomic_int ready_sides;

static void take_ball(struct gn_message *m)
{
    struct side *me = gn_container_of(m, struct side, message);
    me->balls++;
    gn_wake(me->fiber);
}

static void play(void *arg)
{
    struct side *me = arg;
    me->fiber = gn_fiber_self();
    me->message.fn = take_ball;
    atomic_fetch_add(&ready_sides, 1);
    while (atomic_load(&ready_sides) < 2)
        gn_sleep_until(gn_after_ms(1));
    for (int i = 1; i <= ROUNDS; i++) {
        if (me == &sides[0])
            gn_sched_post(me->other->sched, &me->other->message);
        while (me->balls < i)
            gn_park(GN_NEVER);
        if (me == &sides[1])
            gn_sched_post(me->other->sched, &me->other->message);
    }
}

static void run_side(void *arg)
{
    struct side *me = arg;
    me->sched = gn_sched_new();
    gn_fiber_new(me->sched, "player", play, me);
    gn_sched_run(me->sched);
    gn_sched_free(me->sched);
}

static void fibers_of_two_threads_pass_a_ball(void **state)
{
    (void)state;
    memset(sides, 0, sizeof sides);
    sides[0].other = &sides[1];
    sides[1].other = &sides[0];
    ready_sides = 0;
    start_thread(run_side, &sides[1]);
    run_side(&sides[0]);
    join_started();
    assert_int_equal(sides[0].balls, ROUNDS);
    assert_int_equal(sides[1].balls, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loop_ends_with_its_last_fiber_and_can_run_again),
        cmocka_unit_test(a_scheduler_is_its_threads_own),
        on_a_fiber(the_loop_knows_the_time),
        on_a_fiber(time_is_skipped_where_all_fibers_sleep),
        on_a_fiber(time_passes_while_a_fiber_waits_for_a_descriptor),
        on_a_fiber(messages_of_four_threads_all_arrive_in_order),
        on_a_fiber(a_message_wakes_a_loop_that_sleeps_for_ever),
        on_a_fiber(a_note_is_found_when_something_else_wakes_the_loop),
        on_a_fiber(a_loop_that_is_roused_finds_its_notes),
        on_a_fiber(a_fiber_may_send_a_message_to_its_own_loop),
        on_a_fiber(a_message_may_start_a_fiber),
        cmocka_unit_test(a_message_that_came_too_late_is_still_delivered),
        cmocka_unit_test(fibers_of_two_threads_pass_a_ball),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
