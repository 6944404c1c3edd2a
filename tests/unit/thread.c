/* host/libc/thread.c: threads that are fibers, as a library with a pool of them sees
 * it. */
#include "fiber_test.h"

#include "libc/thread.h"
#include "sched/runner.h"

enum { THREADS = 5 };

static pthread_key_t own_key, other_key, thread_key;
static char trace[64];
static atomic_size_t traced;

/* A pool as a library has it: workers wait for work; the last thread made gives it out.
 */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t id[THREADS];
    bool begun[THREADS];
    int queued, done, busy;
    bool hold, stop;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

static void *serve(void *arg)
{
    int me = (int)(uintptr_t)arg;
    pool.begun[me] = true;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.queued == 0 && !pool.stop)
            pthread_cond_wait(&pool.work, &pool.lock);
        if (pool.queued == 0)
            break;
        pool.queued--;
        pool.busy++;
        pthread_mutex_unlock(&pool.lock);
        while (pool.hold)
            gn_sleep_until(gn_after_ms(1));
        pthread_mutex_lock(&pool.lock);
        pool.busy--;
        pool.done++;
    }
    pthread_mutex_unlock(&pool.lock);
    return (void *)(uintptr_t)(me + 100);
}

static void start_pool(void)
{
    memset(pool.begun, 0, sizeof pool.begun);
    pool.queued = pool.done = pool.busy = 0;
    pool.hold = pool.stop = false;
    gn_threads_as_fibers();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&pool.id[i], NULL, serve, (void *)(uintptr_t)i),
                         0);
    assert_int_equal(gn_threads_plain(), 0);
    gn_yield();
}

static void give_work(int items)
{
    for (int i = 0; i < items; i++) {
        pthread_mutex_lock(&pool.lock);
        pool.queued++;
        pthread_cond_signal(&pool.work);
        pthread_mutex_unlock(&pool.lock);
    }
}

/* Ends the pool and joins every thread; those that never ran have no result. */
static void stop_pool(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.stop = true;
    pool.hold = false;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < THREADS; i++) {
        void *result = &pool;
        assert_int_equal(pthread_join(pool.id[i], &result), 0);
        assert_int_equal((uintptr_t)result, pool.begun[i] ? i + 100 : 0);
    }
}

static int begun(void)
{
    int n = 0;
    for (int i = 0; i < THREADS; i++)
        n += pool.begun[i];
    return n;
}

/* ---- the pool ---- */

static void the_first_and_the_last_thread_start_at_once(void **state)
{
    (void)state;
    start_pool();
    assert_true(pool.begun[0]);
    assert_true(pool.begun[THREADS - 1]);
    assert_int_equal(begun(), 2);
    stop_pool();
    assert_int_equal(begun(), 2);
}

static void others_start_when_nobody_waits_for_the_work(void **state)
{
    (void)state;
    start_pool();
    pool.hold = true;
    give_work(2); /* for the two that wait */
    assert_eventually(pool.busy == 2);
    assert_int_equal(begun(), 2);
    give_work(1);
    assert_eventually(pool.busy == 3);
    assert_int_equal(begun(), 3);
    give_work(2);
    assert_eventually(pool.busy == THREADS);
    give_work(3); /* all are busy, and there are no more */
    pool.hold = false;
    assert_eventually(pool.done == 8);
    stop_pool();
}

static void who_waits_gets_the_work_before_another_starts(void **state)
{
    (void)state;
    start_pool();
    for (int i = 1; i <= 10; i++) {
        give_work(1);
        assert_eventually(pool.done == i);
        gn_yield(); /* the worker goes to wait again */
    }
    assert_int_equal(begun(), 2);
    stop_pool();
}

static void work_of_another_kind_starts_nobody(void **state)
{
    (void)state;
    static pthread_cond_t other = PTHREAD_COND_INITIALIZER;
    start_pool();
    pool.hold = true;
    give_work(2);
    assert_eventually(pool.busy == 2);
    pthread_cond_signal(&other);
    gn_yield();
    assert_int_equal(begun(), 2);
    stop_pool();
}

/* ---- joining ---- */

static void *sleep_and_tell(void *arg)
{
    usleep(2000);
    return arg;
}

static void a_thread_may_be_joined_while_it_runs_and_after(void **state)
{
    (void)state;
    pthread_t id[2];
    void *result = NULL;
    gn_threads_as_fibers();
    assert_int_equal(pthread_create(&id[0], NULL, sleep_and_tell, "first"), 0);
    assert_int_equal(pthread_create(&id[1], NULL, sleep_and_tell, "last"), 0);
    assert_int_equal(gn_threads_plain(), 0);
    assert_int_equal(pthread_join(id[1], &result), 0);
    assert_string_equal(result, "last");
    gn_sleep_until(gn_after_ms(10));
    assert_int_equal(pthread_join(id[0], &result), 0);
    assert_string_equal(result, "first");
}

static void a_single_thread_is_enough(void **state)
{
    (void)state;
    pthread_t id;
    gn_threads_as_fibers();
    assert_int_equal(pthread_create(&id, NULL, sleep_and_tell, NULL), 0);
    assert_int_equal(gn_threads_plain(), 0);
    assert_int_equal(pthread_join(id, NULL), 0);
}

static bool detached_ran;

static void *run_detached(void *unused)
{
    (void)unused;
    detached_ran = true;
    return NULL;
}

static void a_detached_thread_is_forgotten_at_its_end(void **state)
{
    (void)state;
    pthread_t id;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    detached_ran = false;
    gn_threads_as_fibers();
    assert_int_equal(pthread_create(&id, &attr, run_detached, NULL), 0);
    assert_int_equal(gn_threads_plain(), 0);
    pthread_attr_destroy(&attr);
    gn_yield();
    assert_true(detached_ran);
}

static void *tell_thread(void *id)
{
    *(pthread_t *)id = pthread_self();
    return gn_fiber_self();
}

static void other_threads_stay_threads(void **state)
{
    (void)state;
    pthread_t id, seen = pthread_self();
    void *fiber = &id;
    assert_int_equal(pthread_create(&id, NULL, tell_thread, &seen), 0);
    assert_int_equal(pthread_join(id, &fiber), 0);
    assert_false(pthread_equal(seen, pthread_self()));
    assert_null(fiber);
}

/* ---- values of one's own ---- */

static void note_end(void *letter)
{
    trace[traced++] = *(const char *)letter;
}

static void *use_keys(void *letter)
{
    if (pthread_getspecific(own_key) || pthread_getspecific(other_key))
        return "not empty";
    pthread_setspecific(own_key, letter);
    pthread_setspecific(other_key, letter);
    usleep(1000); /* the others set theirs */
    if (pthread_getspecific(own_key) != letter ||
        pthread_getspecific(other_key) != letter)
        return "not mine";
    pthread_setspecific(other_key, NULL);
    return pthread_getspecific(thread_key);
}

static void keys_of_the_library_are_each_fibers_own(void **state)
{
    (void)state;
    pthread_t id[2];
    void *result = NULL;
    memset(trace, traced = 0, sizeof trace);
    pthread_setspecific(thread_key, "the thread's");
    pthread_setspecific(own_key, "off the pool");
    gn_threads_as_fibers();
    pthread_create(&id[0], NULL, use_keys, "a");
    pthread_create(&id[1], NULL, use_keys, "b");
    gn_threads_plain();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(id[i], &result), 0);
        assert_string_equal(result, "the thread's"); /* this key is not the library's */
    }
    assert_string_equal(trace, "ab"); /* the destructor, for values that are not NULL */
    assert_string_equal(pthread_getspecific(own_key), "off the pool");
    pthread_setspecific(own_key, NULL);
    pthread_setspecific(thread_key, NULL);
}

static void *name_myself(void *unused)
{
    (void)unused;
    pthread_setname_np(pthread_self(), "worker-7");
    return strdup(gn_fiber_self()->name);
}

static void a_thread_names_its_fiber(void **state)
{
    (void)state;
    pthread_t id;
    void *name = NULL;
    char mine[16] = "";
    gn_threads_as_fibers();
    pthread_create(&id, NULL, name_myself, NULL);
    gn_threads_plain();
    pthread_join(id, &name);
    assert_string_equal(name, "worker-7");
    free(name);
    pthread_getname_np(pthread_self(), mine, sizeof mine);
    assert_string_not_equal(mine, "worker-7"); /* not the OS thread */
}

static int make_keys(void **state)
{
    (void)state;
    gn_threads_as_fibers();
    int r = pthread_key_create(&own_key, note_end) |
            pthread_key_create(&other_key, note_end);
    gn_threads_plain();
    return r | pthread_key_create(&thread_key, NULL);
}

/* ---- on other threads ---- */

static struct gn_runner runners[2];

static void *tell_place(void *arg)
{
    struct gn_sched **seen = arg;
    gn_sleep_until(gn_after_ms(5));
    pthread_setspecific(own_key, "its own");
    *seen = gn_fiber_self()->sched;
    return arg;
}

static void the_first_threads_may_be_placed_elsewhere(void **state)
{
    struct gn_sched *seen[3] = {NULL}, *places[2];
    pthread_t id[3];
    void *result;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gn_runner_start(&runners[i], NULL, NULL), 0);
        places[i] = runners[i].sched;
    }
    gn_threads_on(places, 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&id[i], NULL, tell_place, &seen[i]), 0);
    assert_int_equal(gn_threads_plain(), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(id[i], &result), 0);
        assert_ptr_equal(result, &seen[i]);
    }
    assert_ptr_equal(seen[0], places[0]);
    assert_ptr_equal(seen[1], places[1]);
    assert_ptr_equal(seen[2], gn_sched_self());
    for (int i = 0; i < 2; i++)
        gn_runner_stop(&runners[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(the_first_and_the_last_thread_start_at_once),
        on_a_fiber(others_start_when_nobody_waits_for_the_work),
        on_a_fiber(who_waits_gets_the_work_before_another_starts),
        on_a_fiber(work_of_another_kind_starts_nobody),
        on_a_fiber(a_thread_may_be_joined_while_it_runs_and_after),
        on_a_fiber(a_single_thread_is_enough),
        on_a_fiber(a_detached_thread_is_forgotten_at_its_end),
        both_ways(other_threads_stay_threads),
        on_a_fiber(keys_of_the_library_are_each_fibers_own),
        on_a_fiber(a_thread_names_its_fiber),
        on_a_fiber(the_first_threads_may_be_placed_elsewhere),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
