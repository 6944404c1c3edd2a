/* host/libc/cond.c: condition variables between fibers, and between fibers and threads.
 */
#include "fiber_test.h"

#include <pthread.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static char trace[32];
static size_t traced;

static int begin(void **state)
{
    (void)state;
    memset(trace, traced = 0, sizeof trace);
    return 0;
}

static struct timespec after(clockid_t clock, int ms)
{
    struct timespec t;
    clock_gettime(clock, &t);
    int64_t ns = gn_from_timespec(&t) + ms * GN_MS;
    return (struct timespec){ns / GN_SECOND, ns % GN_SECOND};
}

/* ---- between fibers ---- */

static void wait_and_note(void *letter)
{
    pthread_mutex_lock(&mutex);
    pthread_cond_wait(&cond, &mutex);
    trace[traced++] = *(const char *)letter;
    pthread_mutex_unlock(&mutex);
}

static void let_three_wait(void)
{
    go(wait_and_note, "a");
    go(wait_and_note, "b");
    go(wait_and_note, "c");
    gn_yield();
}

static void a_signal_wakes_one_the_last_that_came(void **state)
{
    (void)state;
    let_three_wait();
    const char *const expected[] = {"c", "cb", "cba"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_cond_signal(&cond), 0);
        gn_yield();
        gn_yield();
        assert_string_equal(trace, expected[i]);
    }
}

static void a_broadcast_wakes_all(void **state)
{
    (void)state;
    let_three_wait();
    assert_int_equal(pthread_cond_broadcast(&cond), 0);
    assert_eventually(traced == 3);
}

static void the_mutex_is_free_during_the_wait_and_held_after(void **state)
{
    (void)state;
    go(wait_and_note, "a");
    gn_yield();
    assert_int_equal(pthread_mutex_lock(&mutex), 0); /* free */
    assert_int_equal(pthread_cond_signal(&cond), 0);
    gn_yield();
    gn_yield();
    assert_string_equal(trace, ""); /* woken, but it has to wait for the mutex */
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    assert_eventually(traced == 1);
}

static void a_cancelled_fiber_goes_on_waiting(void **state)
{
    (void)state;
    struct gn_fiber *f = go(wait_and_note, "a");
    gn_yield();
    gn_cancel(f, -ECANCELED);
    gn_yield();
    assert_string_equal(trace, "");
    pthread_cond_signal(&cond);
    assert_eventually(traced == 1);
}

/* ---- as libc ---- */

static void a_signal_for_nobody_is_lost(void **state)
{
    (void)state;
    struct timespec t = after(CLOCK_REALTIME, 3);
    pthread_cond_signal(&cond);
    pthread_cond_broadcast(&cond);
    pthread_mutex_lock(&mutex);
    assert_int_equal(pthread_cond_timedwait(&cond, &mutex, &t), ETIMEDOUT);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
}

static void each_clock_is_gone_by(void **state)
{
    (void)state;
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
    for (size_t i = 0; i < LENGTH(clocks); i++) {
        pthread_cond_t c;
        pthread_condattr_t attr;
        struct timespec t = after(clocks[i], 5), now, past = {.tv_sec = 1};
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, clocks[i]);
        pthread_cond_init(&c, &attr);
        pthread_mutex_lock(&mutex);
        assert_int_equal(pthread_cond_timedwait(&c, &mutex, &t), ETIMEDOUT);
        clock_gettime(clocks[i], &now);
        assert_true(gn_from_timespec(&now) >= gn_from_timespec(&t));
        assert_int_equal(pthread_cond_timedwait(&c, &mutex, &past), ETIMEDOUT);
        t = after(clocks[!i], 5);
        assert_int_equal(pthread_cond_clockwait(&c, &mutex, clocks[!i], &t), ETIMEDOUT);
        clock_gettime(clocks[!i], &now);
        assert_true(gn_from_timespec(&now) >= gn_from_timespec(&t));
        assert_int_equal(
            pthread_cond_clockwait(&c, &mutex, CLOCK_PROCESS_CPUTIME_ID, &t), EINVAL);
        assert_int_equal(pthread_mutex_unlock(&mutex), 0);
        pthread_condattr_destroy(&attr);
        assert_int_equal(pthread_cond_destroy(&c), 0);
    }
}

static void who_does_not_hold_the_mutex_may_not_wait(void **state)
{
    (void)state;
    pthread_mutex_t m = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
    assert_int_equal(pthread_cond_wait(&cond, &m), EPERM);
}

static void wake_later(void *flag)
{
    usleep(1000);
    pthread_mutex_lock(&mutex);
    *(bool *)flag = true;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
}

static void a_signal_ends_a_timed_wait(void **state)
{
    (void)state;
    bool flag = false;
    struct timespec t = after(CLOCK_REALTIME, 30000);
    pthread_mutex_lock(&mutex);
    meanwhile(wake_later, &flag);
    while (!flag)
        assert_int_equal(pthread_cond_timedwait(&cond, &mutex, &t), 0);
    pthread_mutex_unlock(&mutex);
}

/* ---- fibers and threads ---- */

static void a_plain_thread_wakes_a_fiber(void **state)
{
    (void)state;
    bool flag = false;
    pthread_mutex_lock(&mutex);
    start_thread(wake_later, &flag);
    while (!flag)
        pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
    join_started();
}

static bool go_on; /* protected by the mutex */
static atomic_int waiting, woken;

static void wait_plainly(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    waiting++;
    while (!go_on)
        pthread_cond_wait(&cond, &mutex);
    woken++;
    pthread_mutex_unlock(&mutex);
}

static void a_fiber_wakes_plain_threads(void **state)
{
    (void)state;
    waiting = woken = 0;
    go_on = false;
    start_thread(wait_plainly, NULL);
    start_thread(wait_plainly, NULL);
    go(wait_plainly, NULL);
    assert_eventually(waiting == 3);
    pthread_mutex_lock(&mutex);
    go_on = true;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    assert_eventually(woken == 3);
    join_started();
}

static atomic_int step;

static void hold_then_wait(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    step = 1;
    while (step == 1)
        usleep(100);
    usleep(3000); /* the fiber comes to wait for the mutex */
    while (!go_on)
        pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
}

/* A thread that waits for a condition gives its mutex back inside libc. */
static void a_fiber_gets_the_mutex_of_a_thread_that_waits(void **state)
{
    (void)state;
    step = 0;
    go_on = false;
    start_thread(hold_then_wait, NULL);
    assert_eventually(step == 1);
    step = 2;
    struct timespec t = after(CLOCK_REALTIME, 20000);
    assert_int_equal(pthread_mutex_timedlock(&mutex, &t), 0);
    go_on = true;
    pthread_cond_signal(&cond);
    pthread_mutex_unlock(&mutex);
    join_started();
}

enum { ROUNDS = 2000 };
static int turn; /* protected by the mutex */

static void take_turns(void *arg)
{
    int me = (int)(uintptr_t)arg;
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&mutex);
        while (turn != me)
            pthread_cond_wait(&cond, &mutex);
        turn = !me;
        pthread_cond_signal(&cond);
        pthread_mutex_unlock(&mutex);
    }
}

static void no_wake_up_is_lost_between_two(void **state)
{
    (void)state;
    turn = 0;
    meanwhile(take_turns, (void *)1);
    take_turns((void *)0);
    if (gn_fiber_self()) { /* once more, against a thread */
        gn_yield();
        turn = 0;
        start_thread(take_turns, (void *)1);
        take_turns((void *)0);
        join_started();
    }
}

static atomic_bool enough;

static void signal_on_and_on(void *unused)
{
    (void)unused;
    while (!enough)
        pthread_cond_signal(&cond);
}

static void a_signal_and_a_deadline_may_meet(void **state)
{
    (void)state;
    enough = false;
    start_thread(signal_on_and_on, NULL);
    start_thread(signal_on_and_on, NULL);
    pthread_mutex_lock(&mutex);
    for (int i = 0; i < ROUNDS; i++) {
        struct timespec t = after(CLOCK_REALTIME, 0);
        int r = pthread_cond_timedwait(&cond, &mutex, &t);
        assert_true(r == 0 || r == ETIMEDOUT);
    }
    pthread_mutex_unlock(&mutex);
    enough = true;
    join_started();
}

/* ---- many who produce and consume ---- */

enum { ITEMS = 2000 };
static struct {
    int queued, taken;
    bool closed;
} box; /* protected by the mutex */

static void consume(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    for (;;) {
        while (box.queued == 0 && !box.closed)
            pthread_cond_wait(&cond, &mutex);
        if (box.queued == 0)
            break;
        box.queued--;
        box.taken++;
    }
    pthread_mutex_unlock(&mutex);
}

static void produce(void *unused)
{
    (void)unused;
    for (int i = 0; i < ITEMS; i++) {
        pthread_mutex_lock(&mutex);
        box.queued++;
        pthread_cond_signal(&cond);
        pthread_mutex_unlock(&mutex);
        if (i % 100 == 0)
            usleep(100);
    }
}

static void consume_on_fibers(void *unused)
{
    (void)unused;
    struct gn_sched *s = gn_sched_new();
    for (int i = 0; i < 4; i++)
        gn_fiber_new(s, "consumer", consume, NULL);
    gn_sched_run(s);
    gn_sched_free(s);
}

static void what_is_produced_is_consumed(void **state)
{
    (void)state;
    memset(&box, 0, sizeof box);
    start_thread(consume_on_fibers, NULL);
    start_thread(consume, NULL);
    start_thread(consume, NULL);
    go(consume, NULL);
    start_thread(produce, NULL);
    produce(NULL);
    int64_t give_up = gn_after(30 * GN_SECOND);
    for (bool all = false; !all;) {
        pthread_mutex_lock(&mutex);
        all = box.taken == 2 * ITEMS;
        box.closed = all || gn_now() > give_up;
        if (box.closed)
            pthread_cond_broadcast(&cond);
        pthread_mutex_unlock(&mutex);
        if (!all)
            assert_true(gn_now() < give_up);
        usleep(500);
    }
    join_started();
}

#define cond_test(test)                                    \
    {                                                      \
#test, run_on_a_fiber, begin, NULL, (void *)(test) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cond_test(a_signal_wakes_one_the_last_that_came),
        cond_test(a_broadcast_wakes_all),
        cond_test(the_mutex_is_free_during_the_wait_and_held_after),
        cond_test(a_cancelled_fiber_goes_on_waiting),
        both_ways(a_signal_for_nobody_is_lost),
        both_ways(each_clock_is_gone_by),
        both_ways(who_does_not_hold_the_mutex_may_not_wait),
        both_ways(a_signal_ends_a_timed_wait),
        on_a_fiber(a_plain_thread_wakes_a_fiber),
        on_a_fiber(a_fiber_wakes_plain_threads),
        on_a_fiber(a_fiber_gets_the_mutex_of_a_thread_that_waits),
        both_ways(no_wake_up_is_lost_between_two),
        both_ways(a_signal_and_a_deadline_may_meet),
        on_a_fiber(what_is_produced_is_consumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
