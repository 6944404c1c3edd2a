/* What the unit tests share: tests that run on a fiber of a fresh scheduler, on a plain
 * thread, or both.
 *
 *     const struct CMUnitTest tests[] = {on_a_fiber(a_sleeper_wakes),
 * both_ways(poll_waits)};
 *
 * A test ends when the last of its fibers and threads has ended. An assertion that
 * fails on a fiber leaves the loop by longjmp(), after which nothing is certain: the
 * program ends before the next test. */
#ifndef GN_FIBER_TEST_H
#define GN_FIBER_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/offload.h"
#include "sched/sched.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

#define LENGTH(array) (sizeof(array) / sizeof *(array))

/* Waits for what must come true, however slow the machine is. */
#define assert_eventually(condition)                         \
    do {                                                     \
        int64_t give_up = gn_after(30 * GN_SECOND);          \
        while (!(condition)) {                               \
            if (gn_now() > give_up)                          \
                fail_msg("never came true: %s", #condition); \
            usleep(500);                                     \
        }                                                    \
    } while (0)

/* ---- fibers ---- */

__attribute__((noinline, no_sanitize("address"))) static void assert_sound(void)
{
    if (gn_fiber_self()) {
        print_error("the rest cannot be tested after a failure on a fiber\n");
        _exit(1);
    }
}

static inline struct gn_sched *sched_begin(void)
{
    assert_sound();
    struct gn_sched *s = gn_sched_new();
    assert_non_null(s);
    assert_non_null(s->pool = gn_pool_new(4));
    return s;
}

/* Runs until the last fiber has ended. */
static inline void sched_end(struct gn_sched *s)
{
    gn_sched_run(s);
    assert_int_equal(s->fibers, 0);
    gn_pool_free(s->pool);
    gn_sched_free(s);
}

/* Starts a fiber on this thread's scheduler. */
static inline struct gn_fiber *go(void (*fn)(void *), void *arg)
{
    struct gn_fiber *f = gn_fiber_new(gn_sched_self(), "test", fn, arg);
    assert_non_null(f);
    return f;
}

/* ---- threads ---- */

static struct {
    void (*fn)(void *);
    void *arg;
    pthread_t id;
} started[8];
static unsigned started_count;

static inline void *run_started(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    started[i].fn(started[i].arg);
    return NULL;
}

static inline void start_thread(void (*fn)(void *), void *arg)
{
    unsigned i = started_count++;
    assert_true(i < LENGTH(started));
    started[i].fn = fn;
    started[i].arg = arg;
    assert_int_equal(
        pthread_create(&started[i].id, NULL, run_started, (void *)(uintptr_t)i), 0);
}

static inline void join_started(void)
{
    while (started_count > 0)
        pthread_join(started[--started_count].id, NULL);
}

/* Has `fn` run beside the test, which is on a fiber: on another one; else on another
 * thread, where it must not assert. */
static inline void meanwhile(void (*fn)(void *), void *arg)
{
    if (gn_fiber_self())
        go(fn, arg);
    else
        start_thread(fn, arg);
}

/* ---- tests ---- */

static inline void call_test(void *test)
{
    ((CMUnitTestFunction)test)(NULL);
}

static inline void run_on_a_fiber(void **state)
{
    struct gn_sched *s = sched_begin();
    go(call_test, *state);
    sched_end(s);
    join_started();
}

static inline void run_plainly(void **state)
{
    assert_sound();
    call_test(*state);
    join_started();
}

#define on_a_fiber(test)                                  \
    {                                                     \
#test, run_on_a_fiber, NULL, NULL, (void *)(test) \
    }
#define both_ways(test)                                                  \
    {#test " (on a fiber)", run_on_a_fiber, NULL, NULL, (void *)(test)}, \
    {                                                                    \
#test " (on a thread)", run_plainly, NULL, NULL, (void *)(test)  \
    }

/* ---- descriptors ---- */

static inline void open_pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
}

/* Once no plain thread is at work on them. */
static inline void close_both(const int fd[2])
{
    if (!gn_fiber_self())
        join_started();
    close(fd[0]);
    close(fd[1]);
}

/* For meanwhile(): one byte into the descriptor at `fd`. */
static inline void write_byte(void *fd)
{
    if (write(*(int *)fd, "x", 1) != 1)
        abort();
}

/* Bytes that show where they belong. */
static inline void fill_pattern(char *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        data[i] = (char)(i * 31 + i / 251);
}

#endif
