/* host/sched/runner.c and errand.c: threads with schedulers, and work sent to them. */
#include "fiber_test.h"

#include "sched/runner.h"

enum { RUNNERS = 4, ERRANDS = 1000 };

static struct gn_runner runner;

static void open_runner(struct gn_runner *r)
{
    assert_int_equal(gn_runner_start(r, gn_sched_self()->pool, NULL), 0);
}

/* ---- errands ---- */

struct visit {
    struct gn_sched *seen;
    pthread_t thread;
    int64_t nap; /* ns */
    int count;
};

static void visit(void *arg)
{
    struct visit *v = arg;
    if (v->nap > 0)
        gn_sleep_until(gn_after(v->nap));
    v->seen = gn_fiber_self()->sched;
    v->thread = pthread_self();
    v->count++;
}

static void an_errand_is_done_on_the_others_thread(void **state)
{
    struct visit v = {0};
    (void)state;
    open_runner(&runner);
    assert_int_equal(gn_elsewhere(runner.sched, "visit", visit, &v), 0);
    assert_ptr_equal(v.seen, runner.sched);
    assert_true(pthread_equal(v.thread, runner.id));
    gn_runner_stop(&runner);
}

static void an_errand_to_oneself_is_done_too(void **state)
{
    struct visit v = {.nap = GN_MS};
    (void)state;
    assert_int_equal(gn_elsewhere(gn_sched_self(), "visit", visit, &v), 0);
    assert_ptr_equal(v.seen, gn_sched_self());
}

static bool ticked;

static void tick_once(void *arg)
{
    (void)arg;
    ticked = true;
}

static void others_run_while_an_errand_is_under_way(void **state)
{
    struct visit v = {.nap = 20 * GN_MS};
    (void)state;
    ticked = false;
    open_runner(&runner);
    go(tick_once, NULL);
    assert_int_equal(gn_elsewhere(runner.sched, "visit", visit, &v), 0);
    assert_true(ticked);
    gn_runner_stop(&runner);
}

static void many_errands_to_many_threads_all_come_back(void **state)
{
    static struct gn_runner crew[RUNNERS];
    static struct gn_errand errands[ERRANDS];
    static struct visit visits[ERRANDS];
    (void)state;
    memset(visits, 0, sizeof visits);
    for (int i = 0; i < RUNNERS; i++)
        open_runner(&crew[i]);
    for (int i = 0; i < ERRANDS; i++)
        gn_errand_send(&errands[i], crew[i % RUNNERS].sched, "visit", visit,
                       &visits[i]);
    for (int i = 0; i < ERRANDS; i++)
        assert_int_equal(gn_errand_await(&errands[i]), 0);
    for (int i = 0; i < ERRANDS; i++) {
        assert_int_equal(visits[i].count, 1);
        assert_ptr_equal(visits[i].seen, crew[i % RUNNERS].sched);
    }
    for (int i = 0; i < RUNNERS; i++)
        gn_runner_stop(&crew[i]);
}

/* ---- runners ---- */

static void *owner_seen;

static void look_at_owner(void *arg)
{
    (void)arg;
    owner_seen = gn_sched_self()->owner;
}

static void a_runner_knows_its_owner(void **state)
{
    (void)state;
    assert_int_equal(gn_runner_start(&runner, NULL, &owner_seen), 0);
    gn_elsewhere(runner.sched, "look", look_at_owner, NULL);
    assert_ptr_equal(owner_seen, &owner_seen);
    gn_runner_stop(&runner);
}

static void start_visit(void *arg)
{
    gn_fiber_new(gn_sched_self(), "visit", visit, arg);
}

static void a_runner_ends_with_the_last_of_its_fibers(void **state)
{
    struct visit v = {.nap = 50 * GN_MS};
    (void)state;
    open_runner(&runner);
    gn_elsewhere(runner.sched, "start", start_visit, &v);
    assert_int_equal(v.count, 0);
    gn_runner_stop(&runner);
    assert_int_equal(v.count, 1);
}

static void stopping_twice_is_fine(void **state)
{
    (void)state;
    open_runner(&runner);
    gn_runner_stop(&runner);
    gn_runner_stop(&runner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(an_errand_is_done_on_the_others_thread),
        on_a_fiber(an_errand_to_oneself_is_done_too),
        on_a_fiber(others_run_while_an_errand_is_under_way),
        on_a_fiber(many_errands_to_many_threads_all_come_back),
        on_a_fiber(a_runner_knows_its_owner),
        on_a_fiber(a_runner_ends_with_the_last_of_its_fibers),
        on_a_fiber(stopping_twice_is_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
