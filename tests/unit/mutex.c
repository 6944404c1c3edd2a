/* host/libc/mutex.c and lot.c: fibers and plain threads exclude each other. */
#include "fiber_test.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

static pthread_mutex_t mutex;
static char trace[32];
static size_t traced;

static void note(char c)
{
    trace[traced++] = c;
}

static void make_mutex(int kind)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, kind);
    assert_int_equal(pthread_mutex_init(&mutex, &attr), 0);
    pthread_mutexattr_destroy(&attr);
    memset(trace, traced = 0, sizeof trace);
}

static struct timespec realtime_after(int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t ns = gn_from_timespec(&t) + ms * GN_MS;
    return (struct timespec){ns / GN_SECOND, ns % GN_SECOND};
}

/* ---- one fiber ---- */

static void each_kind_does_what_libc_says(void **state)
{
    (void)state;
    make_mutex(PTHREAD_MUTEX_NORMAL);
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    assert_int_equal(pthread_mutex_trylock(&mutex), EBUSY);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    assert_int_equal(pthread_mutex_trylock(&mutex), 0);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    make_mutex(PTHREAD_MUTEX_RECURSIVE);
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    assert_int_equal(pthread_mutex_trylock(&mutex), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    assert_int_equal(pthread_mutex_unlock(&mutex), EPERM);
    make_mutex(PTHREAD_MUTEX_ERRORCHECK);
    assert_int_equal(pthread_mutex_unlock(&mutex), EPERM);
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    assert_int_equal(pthread_mutex_lock(&mutex), EDEADLK);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    assert_int_equal(pthread_mutex_destroy(&mutex), 0);
}

static void a_free_mutex_is_had_even_after_the_deadline(void **state)
{
    (void)state;
    struct timespec past = {.tv_sec = 1};
    make_mutex(PTHREAD_MUTEX_NORMAL);
    assert_int_equal(pthread_mutex_timedlock(&mutex, &past), 0);
    assert_int_equal(pthread_mutex_timedlock(&mutex, &past), ETIMEDOUT);
    assert_int_equal(pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &past),
                     ETIMEDOUT);
    assert_int_equal(pthread_mutex_clocklock(&mutex, CLOCK_PROCESS_CPUTIME_ID, &past),
                     EINVAL);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
}

/* ---- two fibers of one thread ---- */

static void hold_over_a_wait(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    note('(');
    gn_sleep_until(gn_after_ms(3));
    note(')');
    pthread_mutex_unlock(&mutex);
}

static void holders_take_turns(int kind)
{
    make_mutex(kind);
    struct gn_sched *s = sched_begin();
    for (int i = 0; i < 4; i++)
        go(hold_over_a_wait, NULL);
    sched_end(s);
    assert_string_equal(trace, "()()()()");
}

static void a_fiber_parks_where_another_holds_the_mutex(void **state)
{
    (void)state;
    holders_take_turns(PTHREAD_MUTEX_NORMAL);
}

static void a_recursive_mutex_keeps_the_other_fibers_out(void **state)
{
    (void)state;
    holders_take_turns(PTHREAD_MUTEX_RECURSIVE);
}

static void an_error_checking_mutex_keeps_the_other_fibers_out(void **state)
{
    (void)state;
    holders_take_turns(PTHREAD_MUTEX_ERRORCHECK);
}

static void try_it(void *result)
{
    *(int *)result = pthread_mutex_trylock(&mutex);
    if (*(int *)result == 0)
        pthread_mutex_unlock(&mutex);
}

static int tried_by_another(void)
{
    int result = -1;
    go(try_it, &result);
    gn_yield();
    return result;
}

static void a_recursive_mutex_lets_its_owner_in_and_nobody_else(void **state)
{
    (void)state;
    make_mutex(PTHREAD_MUTEX_RECURSIVE);
    assert_int_equal(tried_by_another(), 0);
    pthread_mutex_lock(&mutex);
    pthread_mutex_lock(&mutex);
    assert_int_equal(tried_by_another(), EBUSY);
    pthread_mutex_unlock(&mutex);
    assert_int_equal(tried_by_another(), EBUSY);
    pthread_mutex_unlock(&mutex);
    assert_int_equal(tried_by_another(), 0);
}

static void lock_with_deadline(void *result)
{
    struct timespec t = realtime_after(3);
    *(int *)result = pthread_mutex_timedlock(&mutex, &t);
}

static void a_fiber_gives_up_at_the_deadline(void **state)
{
    (void)state;
    const int kinds[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE};
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        int result = -1;
        make_mutex(kinds[i]);
        pthread_mutex_lock(&mutex);
        go(lock_with_deadline, &result);
        assert_eventually(result != -1);
        assert_int_equal(result, ETIMEDOUT);
        pthread_mutex_unlock(&mutex);
    }
}

static void lock_and_note(void *letter)
{
    pthread_mutex_lock(&mutex);
    note(*(const char *)letter);
    pthread_mutex_unlock(&mutex);
}

static void fibers_get_the_mutex_in_the_order_they_came(void **state)
{
    (void)state;
    make_mutex(PTHREAD_MUTEX_NORMAL);
    pthread_mutex_lock(&mutex);
    go(lock_and_note, "a");
    go(lock_and_note, "b");
    go(lock_and_note, "c");
    gn_yield();
    assert_string_equal(trace, "");
    pthread_mutex_unlock(&mutex);
    assert_eventually(traced == 3);
    assert_string_equal(trace, "abc");
}

static void a_cancelled_fiber_still_gets_its_mutex(void **state)
{
    (void)state;
    make_mutex(PTHREAD_MUTEX_NORMAL);
    pthread_mutex_lock(&mutex);
    struct gn_fiber *f = go(lock_and_note, "a");
    gn_yield();
    gn_cancel(f, -ECANCELED);
    gn_yield();
    assert_string_equal(trace, "");
    pthread_mutex_unlock(&mutex);
    gn_yield();
    assert_string_equal(trace, "a");
}

/* ---- a fiber and a plain thread ---- */

static atomic_int step;

static void hold_plainly(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    atomic_store(&step, 1);
    while (atomic_load(&step) == 1)
        usleep(100);
    usleep(2000); /* now the fiber waits, most likely */
    pthread_mutex_unlock(&mutex);
}

static void a_fiber_waits_for_a_plain_thread(void **state)
{
    (void)state;
    make_mutex(PTHREAD_MUTEX_NORMAL);
    step = 0;
    start_thread(hold_plainly, NULL);
    assert_eventually(step == 1);
    assert_int_equal(pthread_mutex_trylock(&mutex), EBUSY);
    step = 2;
    assert_int_equal(pthread_mutex_lock(&mutex), 0);
    assert_int_equal(pthread_mutex_unlock(&mutex), 0);
    join_started();
}

enum { MEETINGS = 20000 };
static atomic_bool over;

/* Unlocks just about when the fiber finds the mutex taken. */
static void unlock_at_the_last_moment(void *unused)
{
    (void)unused;
    for (int i = 1; !over; i += 2) {
        pthread_mutex_lock(&mutex);
        step = i;
        for (volatile int k = i % 150; k > 0; k--)
            ;
        pthread_mutex_unlock(&mutex);
        while (step == i && !over)
            sched_yield();
    }
}

static void an_unlock_in_the_last_moment_is_not_missed(void **state)
{
    (void)state;
    int64_t enough = gn_after_ms(500);
    struct timespec t = realtime_after(30000);
    make_mutex(PTHREAD_MUTEX_NORMAL);
    step = over = 0;
    start_thread(unlock_at_the_last_moment, NULL);
    for (int i = 1; i < 2 * MEETINGS && gn_now() < enough; i += 2) {
        while (step != i)
            sched_yield();
        assert_int_equal(pthread_mutex_timedlock(&mutex, &t), 0);
        pthread_mutex_unlock(&mutex);
        step = i + 1;
    }
    over = true;
    join_started();
}

static void lock_plainly(void *unused)
{
    (void)unused;
    step = 1;
    pthread_mutex_lock(&mutex);
    step = 2;
    pthread_mutex_unlock(&mutex);
}

static void a_plain_thread_waits_for_a_fiber(void **state)
{
    (void)state;
    make_mutex(PTHREAD_MUTEX_RECURSIVE);
    step = 0;
    pthread_mutex_lock(&mutex);
    start_thread(lock_plainly, NULL);
    assert_eventually(step == 1);
    gn_sleep_until(gn_after_ms(3));
    assert_int_equal(step, 1);
    pthread_mutex_unlock(&mutex);
    assert_eventually(step == 2);
    join_started();
}

/* ---- everybody at once ---- */

enum { FIBERS = 5, LOOPS = 400 };
static int counter; /* protected by the mutex */
static atomic_int inside;
static atomic_bool intruded;

static void count(void *unused)
{
    (void)unused;
    for (int i = 0; i < LOOPS; i++) {
        pthread_mutex_lock(&mutex);
        if (atomic_fetch_add(&inside, 1) != 0)
            intruded = true;
        int seen = counter;
        if (i % 40 == 0)
            usleep(50); /* others try meanwhile */
        counter = seen + 1;
        atomic_fetch_sub(&inside, 1);
        pthread_mutex_unlock(&mutex);
        if (i % 7 == 0 && gn_fiber_self())
            gn_yield();
    }
}

static void count_on_fibers(void *unused)
{
    (void)unused;
    struct gn_sched *s = gn_sched_new();
    for (int i = 0; i < FIBERS; i++)
        gn_fiber_new(s, "counter", count, NULL);
    gn_sched_run(s);
    gn_sched_free(s);
}

static void crowd(int kind)
{
    make_mutex(kind);
    counter = inside = 0;
    intruded = false;
    start_thread(count_on_fibers, NULL);
    start_thread(count_on_fibers, NULL);
    start_thread(count, NULL);
    start_thread(count, NULL);
    join_started();
    assert_false(intruded);
    assert_int_equal(counter, (2 * FIBERS + 2) * LOOPS);
}

static void fibers_of_two_threads_and_two_threads_count_together(void **state)
{
    (void)state;
    crowd(PTHREAD_MUTEX_NORMAL);
    crowd(PTHREAD_MUTEX_RECURSIVE);
}

static int passed;

static void pass(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&mutex);
    gn_yield();
    passed++;
    pthread_mutex_unlock(&mutex);
}

static void a_thousand_fibers_pass_one_mutex(void **state)
{
    (void)state;
    enum { THOUSAND = SANITIZED ? 300 : 1000 };
    struct gn_sched *s = sched_begin();
    make_mutex(PTHREAD_MUTEX_RECURSIVE);
    passed = 0;
    for (int i = 0; i < THOUSAND; i++)
        go(pass, NULL);
    sched_end(s);
    assert_int_equal(passed, THOUSAND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(each_kind_does_what_libc_says),
        both_ways(a_free_mutex_is_had_even_after_the_deadline),
        cmocka_unit_test(a_fiber_parks_where_another_holds_the_mutex),
        cmocka_unit_test(a_recursive_mutex_keeps_the_other_fibers_out),
        cmocka_unit_test(an_error_checking_mutex_keeps_the_other_fibers_out),
        on_a_fiber(a_recursive_mutex_lets_its_owner_in_and_nobody_else),
        on_a_fiber(a_fiber_gives_up_at_the_deadline),
        on_a_fiber(fibers_get_the_mutex_in_the_order_they_came),
        on_a_fiber(a_cancelled_fiber_still_gets_its_mutex),
        on_a_fiber(a_fiber_waits_for_a_plain_thread),
        on_a_fiber(an_unlock_in_the_last_moment_is_not_missed),
        on_a_fiber(a_plain_thread_waits_for_a_fiber),
        cmocka_unit_test(fibers_of_two_threads_and_two_threads_count_together),
        cmocka_unit_test(a_thousand_fibers_pass_one_mutex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
