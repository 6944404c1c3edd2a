/* host/libc/sleep.c: sleep usleep nanosleep clock_nanosleep. */
#include "fiber_test.h"

#include <time.h>

static const struct timespec BRIEF = {.tv_nsec = 3 * GN_MS}, LONG = {.tv_sec = 1000};

static void assert_slept(int64_t since)
{
    assert_true(gn_now() - since >= 3 * GN_MS);
}

/* ---- as libc ---- */

static void each_of_them_sleeps(void **state)
{
    (void)state;
    int64_t start = gn_now();
    assert_int_equal(usleep(3000), 0);
    assert_slept(start);
    start = gn_now();
    assert_int_equal(nanosleep(&BRIEF, NULL), 0);
    assert_slept(start);
    start = gn_now();
    assert_int_equal(clock_nanosleep(CLOCK_REALTIME, 0, &BRIEF, NULL), 0);
    assert_slept(start);
    start = gn_now();
    assert_int_equal(clock_nanosleep(CLOCK_MONOTONIC, 0, &BRIEF, NULL), 0);
    assert_slept(start);
    assert_int_equal(sleep(0), 0);
}

static void an_absolute_time_is_waited_for(void **state)
{
    (void)state;
    const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
    for (size_t i = 0; i < LENGTH(clocks); i++) {
        struct timespec t, now;
        clock_gettime(clocks[i], &t);
        t.tv_nsec += 3 * GN_MS;
        if (t.tv_nsec >= GN_SECOND) {
            t.tv_sec++;
            t.tv_nsec -= GN_SECOND;
        }
        assert_int_equal(clock_nanosleep(clocks[i], TIMER_ABSTIME, &t, NULL), 0);
        clock_gettime(clocks[i], &now);
        assert_true(gn_from_timespec(&now) >= gn_from_timespec(&t));
        t.tv_sec -= 1000;
        assert_int_equal(clock_nanosleep(clocks[i], TIMER_ABSTIME, &t, NULL), 0);
    }
}

static void what_is_no_time_is_refused(void **state)
{
    (void)state;
    const struct timespec wrong[] = {{0, -1}, {0, GN_SECOND}, {-1, 0}};
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        assert_int_equal(nanosleep(&wrong[i], NULL), -1);
        assert_int_equal(errno, EINVAL);
        assert_int_equal(clock_nanosleep(CLOCK_MONOTONIC, 0, &wrong[i], NULL), EINVAL);
    }
    assert_int_equal(clock_nanosleep(12345, 0, &BRIEF, NULL), EINVAL);
}

/* ---- between fibers ---- */

static char trace[16];
static size_t traced;

struct nap {
    int ms;
    char letter;
};

static void take_nap(void *arg)
{
    const struct nap *n = arg;
    usleep((useconds_t)n->ms * 1000);
    trace[traced++] = n->letter;
}

static void note_turn(void *unused)
{
    (void)unused;
    trace[traced++] = 'r';
}

static void others_run_while_a_fiber_sleeps(void **state)
{
    (void)state;
    memset(trace, traced = 0, sizeof trace);
    go(note_turn, NULL);
    sleep(0);
    usleep(0);
    assert_string_equal(trace, "r");
    go(note_turn, NULL);
    nanosleep(&BRIEF, NULL);
    assert_string_equal(trace, "rr");
    go(note_turn, NULL);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &BRIEF, NULL);
    assert_string_equal(trace, "rrr");
}

/* The loop may find several naps over at once when the machine is slow: it still goes
 * by deadline. */
static void sleepers_wake_in_the_order_of_their_times(void **state)
{
    (void)state;
    struct nap naps[] = {{40, 'd'}, {10, 'a'}, {30, 'c'}, {20, 'b'}};
    memset(trace, traced = 0, sizeof trace);
    for (size_t i = 0; i < LENGTH(naps); i++)
        go(take_nap, &naps[i]);
    usleep(41000);
    assert_eventually(traced == 4);
    assert_string_equal(trace, "abcd");
}

static void cancel(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
}

static void a_cancelled_sleep_tells_what_is_left(void **state)
{
    (void)state;
    struct timespec left = {0};
    go(cancel, gn_fiber_self());
    assert_int_equal(nanosleep(&LONG, &left), -1);
    assert_int_equal(errno, ECANCELED);
    assert_in_range(left.tv_sec, 900, 1000);
    left.tv_sec = 0;
    assert_int_equal(clock_nanosleep(CLOCK_REALTIME, 0, &LONG, &left), ECANCELED);
    assert_in_range(left.tv_sec, 900, 1000);
    assert_in_range(sleep(1000), 900, 1000);
    assert_int_equal(usleep(1000000), -1);
    assert_int_equal(errno, ECANCELED);
    left.tv_sec = 7;
    assert_int_equal(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &LONG, &left),
                     ECANCELED);
    assert_int_equal(left.tv_sec, 7); /* left alone for an absolute time */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(each_of_them_sleeps),
        both_ways(an_absolute_time_is_waited_for),
        both_ways(what_is_no_time_is_refused),
        on_a_fiber(others_run_while_a_fiber_sleeps),
        on_a_fiber(sleepers_wake_in_the_order_of_their_times),
        on_a_fiber(a_cancelled_sleep_tells_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
