/* host/sched/offload.c: blocking calls on pool threads, and jobs that their fibers
 * leave behind. */
#include "fiber_test.h"

#include "libc/real.h"
#include "sched/offload.h"

#include <signal.h>

/* A job that waits for a byte in a pipe when it has one, and counts what becomes of it.
 */
struct work {
    struct gn_job job;
    int gate; /* read end of a pipe; -1: no waiting */
    int input, output;
    pthread_t thread;
    sigset_t signals;
    struct gn_fiber *on_fiber;
};

static atomic_int ran, dropped, running, most_running;

static void work(struct gn_job *job)
{
    struct work *w = gn_container_of(job, struct work, job);
    int now = atomic_fetch_add(&running, 1) + 1, most = atomic_load(&most_running);
    while (now > most && !atomic_compare_exchange_weak(&most_running, &most, now))
        ;
    w->thread = pthread_self();
    w->on_fiber = gn_fiber_self();
    pthread_sigmask(SIG_SETMASK, NULL, &w->signals);
    char c;
    if (w->gate >= 0 && read(w->gate, &c, 1) != 1)
        abort();
    w->output = 2 * w->input;
    atomic_fetch_sub(&running, 1);
    atomic_fetch_add(&ran, 1);
}

static void drop(struct gn_job *job)
{
    atomic_fetch_add(&dropped, 1);
    free(gn_container_of(job, struct work, job));
}

static struct work *new_work(int gate, int input)
{
    struct work *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->job.run = work;
    w->job.drop = drop;
    w->gate = gate;
    w->input = input;
    return w;
}

static int begin(void **state)
{
    (void)state;
    ran = dropped = running = most_running = 0;
    return 0;
}

/* Gives the running scheduler another pool. */
static void use_pool(unsigned threads)
{
    struct gn_sched *s = gn_sched_self();
    gn_pool_free(s->pool);
    s->pool = gn_pool_new(threads);
}

/* ---- results ---- */

static void a_job_runs_on_another_thread_and_comes_back(void **state)
{
    (void)state;
    struct work *w = new_work(-1, 21);
    assert_int_equal(gn_offload(&w->job), 0);
    assert_int_equal(w->output, 42);
    assert_false(pthread_equal(w->thread, pthread_self()));
    assert_null(w->on_fiber);
    free(w);
    assert_int_equal(dropped, 0);
}

static void a_pool_thread_receives_no_signals(void **state)
{
    (void)state;
    struct work *w = new_work(-1, 0);
    sigset_t mine;
    assert_int_equal(gn_offload(&w->job), 0);
    assert_true(sigismember(&w->signals, SIGTERM) && sigismember(&w->signals, SIGINT));
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_false(sigismember(&mine, SIGTERM));
    free(w);
}

static void other_fibers_run_while_a_job_blocks(void **state)
{
    (void)state;
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    struct work *w = new_work(gate[0], 1);
    go(write_byte, &gate[1]); /* or the job would block for ever */
    assert_int_equal(gn_offload(&w->job), 0);
    assert_int_equal(w->output, 2);
    free(w);
    close_both(gate);
}

/* ---- the threads ---- */

enum { JOBS = 200 };
static int right_results;

static void offload_one(void *number)
{
    int i = (int)(uintptr_t)number;
    struct work *w = new_work(-1, i);
    right_results += gn_offload(&w->job) == 0 && w->output == 2 * i;
    free(w);
}

static void many_jobs_share_a_few_threads(void **state)
{
    (void)state;
    right_results = 0;
    use_pool(3);
    for (int i = 0; i < JOBS; i++)
        go(offload_one, (void *)(uintptr_t)i);
    assert_eventually(right_results == JOBS);
    assert_int_equal(ran, JOBS);
    assert_in_range(most_running, 1, 3);
}

static struct {
    int gate[2];
    int result[8];
    unsigned ended;
} blocked;

static void offload_blocked(void *number)
{
    unsigned i = (unsigned)(uintptr_t)number;
    struct work *w = new_work(blocked.gate[0], 1);
    blocked.result[i] = gn_offload(&w->job);
    blocked.ended++;
    if (blocked.result[i] == 0)
        free(w);
}

static struct gn_fiber *go_blocked(unsigned i)
{
    return go(offload_blocked, (void *)(uintptr_t)i);
}

static void open_gate(void)
{
    blocked.ended = 0;
    assert_int_equal(pipe(blocked.gate), 0);
}

static void threads_start_as_work_waits_up_to_the_bound(void **state)
{
    (void)state;
    open_gate();
    use_pool(3);
    for (unsigned i = 0; i < 5; i++)
        go_blocked(i);
    assert_eventually(running == 3);
    usleep(2000);
    assert_int_equal(running, 3);
    for (int i = 0; i < 5; i++)
        write_byte(&blocked.gate[1]);
    assert_eventually(blocked.ended == 5);
    assert_int_equal(most_running, 3);
    close_both(blocked.gate);
}

static void one_thread_serves_job_after_job(void **state)
{
    (void)state;
    pthread_t first = 0;
    use_pool(1);
    for (int i = 0; i < 20; i++) {
        struct work *w = new_work(-1, i);
        assert_int_equal(gn_offload(&w->job), 0);
        if (i == 0)
            first = w->thread;
        assert_true(pthread_equal(w->thread, first));
        free(w);
    }
}

static int refuse_to_create(pthread_t *id, const pthread_attr_t *attr,
                            void *(*fn)(void *), void *arg)
{
    (void)id, (void)attr, (void)fn, (void)arg;
    return EAGAIN;
}

static void without_a_thread_the_job_stays_the_callers(void **state)
{
    (void)state;
    use_pool(2);
    struct work *w = new_work(-1, 1);
    gn_real_table.pthread_create = refuse_to_create;
    int r = gn_offload(&w->job);
    gn_real_load();
    assert_int_equal(r, -ENOMEM);
    assert_int_equal(dropped, 0);
    assert_int_equal(gn_offload(&w->job), 0); /* and may be given again */
    free(w);
}

/* ---- cancelling ---- */

static void cancelling_drops_a_queued_job_unrun(void **state)
{
    (void)state;
    open_gate();
    use_pool(1);
    go_blocked(0);
    assert_eventually(running == 1);
    struct gn_fiber *queued = go_blocked(1);
    gn_yield();
    gn_cancel(queued, -ECANCELED);
    gn_yield();
    assert_int_equal(blocked.ended, 1);
    assert_int_equal(blocked.result[1], -ECANCELED);
    assert_int_equal(dropped, 1);
    write_byte(&blocked.gate[1]);
    assert_eventually(blocked.ended == 2);
    assert_int_equal(blocked.result[0], 0);
    assert_int_equal(ran, 1);
    assert_int_equal(dropped, 1);
    close_both(blocked.gate);
}

static void cancelling_leaves_a_running_job_behind_and_drops_it_later(void **state)
{
    (void)state;
    open_gate();
    use_pool(2);
    struct gn_fiber *f = go_blocked(0);
    assert_eventually(running == 1);
    gn_cancel(f, -ETIMEDOUT);
    assert_eventually(blocked.ended == 1);
    assert_int_equal(blocked.result[0], -ETIMEDOUT);
    assert_int_equal(dropped, 0);
    write_byte(&blocked.gate[1]);
    assert_eventually(dropped == 1);
    assert_int_equal(ran, 1);
    close_both(blocked.gate);
}

static void a_cancelled_fiber_drops_its_job_at_once(void **state)
{
    (void)state;
    gn_cancel(gn_fiber_self(), -ECANCELED);
    struct work *w = new_work(-1, 1);
    assert_int_equal(gn_offload(&w->job), -ECANCELED);
    assert_int_equal(dropped, 1);
    assert_int_equal(ran, 0);
}

static void offload_briefly(void *unused)
{
    (void)unused;
    struct work *w = new_work(-1, 1);
    if (gn_offload(&w->job) == 0) {
        free(w);
        atomic_fetch_add(&dropped, 1);
    }
    blocked.ended++;
}

/* The pool's lock is contended: where a fiber waits for it, its job may end meanwhile.
 */
static void every_job_is_freed_once_however_close_the_cancellation(void **state)
{
    (void)state;
    enum { ROUNDS = 300, AT_ONCE = 20 };
    blocked.ended = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct gn_fiber *f[AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++)
            f[k] = go(offload_briefly, NULL);
        gn_yield();
        for (int k = 0; k < AT_ONCE; k++)
            if (f[k]->parked)
                gn_cancel(f[k], -ECANCELED);
        assert_eventually(blocked.ended == (unsigned)(i + 1) * AT_ONCE);
    }
    assert_eventually(dropped == ROUNDS * AT_ONCE);
}

/* ---- jobs that are attended ---- */

static struct {
    int gate[2], result;
    unsigned ended, interrupts, heard_at;
} attended;

static void open_attended_gate(void)
{
    attended.result = 1;
    attended.ended = attended.interrupts = attended.heard_at = 0;
    assert_int_equal(pipe(attended.gate), 0);
}

/* Listens to interruption number `heard_at`. */
static void interrupt_work(struct gn_job *job)
{
    (void)job;
    assert_non_null(gn_fiber_self());
    if (++attended.interrupts == attended.heard_at)
        write_byte(&attended.gate[1]);
}

static void attend_on_the_stack(void *interrupt)
{
    struct work w = {.job.run = work, .gate = attended.gate[0], .input = 4};
    attended.result = gn_offload_attended(&w.job, interrupt ? interrupt_work : NULL);
    if (attended.result == 0)
        assert_int_equal(w.output, 8);
    attended.ended++;
}

static int anything;

static void an_attended_job_may_lie_on_its_callers_stack(void **state)
{
    (void)state;
    struct work w = {.job.run = work, .gate = -1, .input = 21};
    assert_int_equal(gn_offload_attended(&w.job, interrupt_work), 0);
    assert_int_equal(w.output, 42);
    assert_int_equal(gn_offload_attended(&w.job, NULL), 0);
    assert_int_equal(ran, 2);
}

static void cancelling_interrupts_an_attended_job_until_it_has_come_back(void **state)
{
    (void)state;
    open_attended_gate();
    attended.heard_at = 3;
    struct gn_fiber *f = go(attend_on_the_stack, &anything);
    assert_eventually(running == 1);
    gn_cancel(f, -ECANCELED);
    assert_eventually(attended.ended == 1);
    assert_int_equal(attended.result, 0);
    assert_int_equal(ran, 1);
    assert_true(attended.interrupts >= 3);
    close_both(attended.gate);
}

static void without_an_interruption_an_attended_job_is_just_waited_for(void **state)
{
    (void)state;
    open_attended_gate();
    struct gn_fiber *f = go(attend_on_the_stack, NULL);
    assert_eventually(running == 1);
    gn_cancel(f, -ECANCELED);
    usleep(2000);
    assert_int_equal(attended.ended, 0);
    write_byte(&attended.gate[1]);
    assert_eventually(attended.ended == 1);
    assert_int_equal(attended.result, 0);
    close_both(attended.gate);
}

static void cancelling_takes_an_attended_job_back_before_it_begins(void **state)
{
    (void)state;
    open_gate();
    open_attended_gate();
    use_pool(1);
    go_blocked(0);
    assert_eventually(running == 1);
    struct gn_fiber *f = go(attend_on_the_stack, &anything);
    gn_yield();
    gn_cancel(f, -ETIME);
    assert_eventually(attended.ended == 1);
    assert_int_equal(attended.result, -ETIME);
    assert_int_equal(attended.interrupts, 0);
    write_byte(&blocked.gate[1]);
    assert_eventually(blocked.ended == 1);
    assert_int_equal(ran, 1);
    close_both(attended.gate);
    close_both(blocked.gate);
}

static void
a_cancelled_fiber_begins_no_attended_job_that_can_be_interrupted(void **state)
{
    (void)state;
    gn_cancel(gn_fiber_self(), -ECANCELED);
    struct work w = {.job.run = work, .gate = -1, .input = 1};
    assert_int_equal(gn_offload_attended(&w.job, interrupt_work), -ECANCELED);
    assert_int_equal(ran, 0);
    assert_int_equal(gn_offload_attended(&w.job, NULL), 0);
    assert_int_equal(ran, 1);
}

static void without_a_thread_an_attended_job_does_not_run(void **state)
{
    (void)state;
    use_pool(2);
    struct work w = {.job.run = work, .gate = -1, .input = 1};
    gn_real_table.pthread_create = refuse_to_create;
    int r = gn_offload_attended(&w.job, interrupt_work);
    gn_real_load();
    assert_int_equal(r, -ENOMEM);
    assert_int_equal(ran, 0);
}

/* ---- heavy jobs ---- */

enum { POOL = 16, HEAVY = 14 }; /* jobs, of which at least two wait */

static int heavy_at_once(void)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return processors < 4 ? 4 : processors > 12 ? 12 : (int)processors;
}

static struct {
    struct gn_fiber *fiber[HEAVY];
    int result[HEAVY];
    unsigned ended;
} heavy;

static void offload_heavy(void *number)
{
    unsigned i = (unsigned)(uintptr_t)number;
    struct work *w = new_work(blocked.gate[0], 1);
    w->job.heavy = true;
    heavy.result[i] = gn_offload(&w->job);
    heavy.ended++;
    if (heavy.result[i] == 0)
        free(w);
}

static void begin_heavy(void)
{
    open_gate();
    use_pool(POOL);
    heavy.ended = 0;
    for (unsigned i = 0; i < HEAVY; i++)
        heavy.fiber[i] = go(offload_heavy, (void *)(uintptr_t)i);
    assert_eventually(running == heavy_at_once());
    usleep(2000);
    assert_int_equal(running, heavy_at_once());
}

static void end_heavy(unsigned jobs)
{
    for (unsigned i = 0; i < jobs; i++)
        write_byte(&blocked.gate[1]);
    assert_eventually(heavy.ended == HEAVY);
    assert_eventually(ran == (int)jobs);
    close_both(blocked.gate);
}

static void heavy_jobs_leave_threads_to_the_others(void **state)
{
    (void)state;
    begin_heavy();
    struct work *w = new_work(-1, 1);
    assert_int_equal(gn_offload(&w->job), 0);
    assert_int_equal(ran, 1);
    free(w);
    ran = 0;
    end_heavy(HEAVY);
}

static void cancelling_drops_a_heavy_job_that_waits_for_others(void **state)
{
    (void)state;
    begin_heavy();
    int began = heavy_at_once();
    for (unsigned i = 1; i < HEAVY; i++) /* the first runs, the last may wait */
        gn_cancel(heavy.fiber[i], -ECANCELED);
    assert_eventually(heavy.ended == HEAVY - 1);
    assert_int_equal(dropped, HEAVY - began);
    end_heavy((unsigned)began);
    assert_eventually(dropped == HEAVY - 1);
}

static void every_heavy_job_has_its_turn_whoever_is_cancelled(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        begin(NULL);
        begin_heavy();
        gn_cancel(heavy.fiber[round % HEAVY], -ECANCELED);
        gn_yield();
        unsigned left = HEAVY - (unsigned)dropped;
        end_heavy(left);
        assert_eventually(dropped == 1);
    }
}

/* ---- the end of a pool ---- */

static void open_the_gate_later(void *unused)
{
    (void)unused;
    usleep(5000);
    write_byte(&blocked.gate[1]);
}

static void begin_and_cancel(void *unused)
{
    (void)unused;
    struct gn_fiber *f = go_blocked(0);
    assert_eventually(running == 1);
    gn_cancel(f, -ECANCELED);
}

static void the_end_of_a_pool_waits_for_running_jobs(void **state)
{
    (void)state;
    struct gn_sched *s = sched_begin();
    open_gate();
    go(begin_and_cancel, NULL);
    gn_sched_run(s);
    assert_int_equal(ran, 0);
    start_thread(open_the_gate_later, NULL);
    gn_pool_free(s->pool);
    s->pool = NULL;
    assert_int_equal(ran, 1);
    sched_end(s);
    assert_int_equal(dropped, 1);
    join_started();
    close_both(blocked.gate);
}

static void a_pool_that_never_worked_may_be_freed_and_so_may_none(void **state)
{
    (void)state;
    gn_pool_free(NULL);
    gn_pool_free(gn_pool_new(4));
}

#define job_test(test)                                     \
    {                                                      \
#test, run_on_a_fiber, begin, NULL, (void *)(test) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        job_test(a_job_runs_on_another_thread_and_comes_back),
        job_test(a_pool_thread_receives_no_signals),
        job_test(other_fibers_run_while_a_job_blocks),
        job_test(many_jobs_share_a_few_threads),
        job_test(threads_start_as_work_waits_up_to_the_bound),
        job_test(one_thread_serves_job_after_job),
        job_test(without_a_thread_the_job_stays_the_callers),
        job_test(cancelling_drops_a_queued_job_unrun),
        job_test(cancelling_leaves_a_running_job_behind_and_drops_it_later),
        job_test(a_cancelled_fiber_drops_its_job_at_once),
        job_test(every_job_is_freed_once_however_close_the_cancellation),
        job_test(an_attended_job_may_lie_on_its_callers_stack),
        job_test(cancelling_interrupts_an_attended_job_until_it_has_come_back),
        job_test(without_an_interruption_an_attended_job_is_just_waited_for),
        job_test(cancelling_takes_an_attended_job_back_before_it_begins),
        job_test(a_cancelled_fiber_begins_no_attended_job_that_can_be_interrupted),
        job_test(without_a_thread_an_attended_job_does_not_run),
        job_test(heavy_jobs_leave_threads_to_the_others),
        job_test(cancelling_drops_a_heavy_job_that_waits_for_others),
        job_test(every_heavy_job_has_its_turn_whoever_is_cancelled),
        cmocka_unit_test_setup(the_end_of_a_pool_waits_for_running_jobs, begin),
        cmocka_unit_test(a_pool_that_never_worked_may_be_freed_and_so_may_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
