/* host/sched/poller.c: waits for numbers that anyone may close, and watches of
 * descriptors we own. */
#include "fiber_test.h"

#include "libc/real.h"

static int64_t soon(void)
{
    return gn_after_ms(5);
}

static int64_t late(void)
{
    return gn_after(30 * GN_SECOND);
}

/* As a library may that closes a descriptor where we cannot see it: fclose() does. */
static void close_unseen(int fd)
{
    assert_int_equal(gn_real()->close(fd), 0);
}

/* ---- one descriptor ---- */

static void a_wait_ends_when_bytes_come(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, soon()), -ETIMEDOUT);
    go(write_byte, &fd[1]);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, late()), 0);
    close_both(fd);
}

static void what_is_ready_is_ready_at_once(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLOUT, late()), 0);
    write_byte(&fd[1]);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, late()), 0);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, late()),
                     0); /* as long as nobody reads */
    close_both(fd);
}

static void the_end_of_the_peer_ends_a_wait(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    close(fd[1]);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, late()), 0);
    assert_int_equal(gn_wait_fd(fd[0], 0, late()), 0); /* hanging up always counts */
    close(fd[0]);
}

static void a_descriptor_that_is_not_open_is_refused(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    close_both(fd);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, late()), -EBADF);
    assert_int_equal(gn_wait_fd(-1, EPOLLIN, soon()), -EBADF);
}

static void a_regular_file_never_blocks(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    assert_int_equal(gn_wait_fd(fileno(f), EPOLLIN, late()), -EPERM);
    struct gn_wait w = {.fd = fileno(f), .events = EPOLLIN | EPOLLOUT};
    assert_int_equal(gn_wait_any(&w, 1, late()), 1);
    assert_int_equal(w.ready, EPOLLIN | EPOLLOUT);
    fclose(f);
}

static void a_cancelled_fiber_does_not_wait(void **state)
{
    (void)state;
    int fd[2];
    struct gn_wait w = {.events = EPOLLIN};
    open_pair(fd);
    w.fd = fd[0];
    gn_cancel(gn_fiber_self(), -ECANCELED);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, late()), -ECANCELED);
    assert_int_equal(gn_wait_any(&w, 1, late()), -ECANCELED);
    close_both(fd);
}

/* ---- several fibers on one descriptor ---- */

struct waiter {
    int fd;
    uint32_t events;
    int64_t deadline;
    int result; /* 1 while it waits */
};

static void wait_for_it(void *arg)
{
    struct waiter *w = arg;
    w->result = 1;
    w->result = gn_wait_fd(w->fd, w->events, w->deadline);
}

static void stuff(int fd)
{
    char junk[4096] = {0};
    while (send(fd, junk, sizeof junk, MSG_DONTWAIT) > 0)
        ;
}

static void drain(int fd)
{
    char junk[4096];
    while (recv(fd, junk, sizeof junk, MSG_DONTWAIT) > 0)
        ;
}

static void each_fiber_is_woken_by_its_own_event(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    stuff(fd[0]);
    struct waiter in = {.fd = fd[0], .events = EPOLLIN, .deadline = late()};
    struct waiter out = {.fd = fd[0], .events = EPOLLOUT, .deadline = late()};
    go(wait_for_it, &in);
    go(wait_for_it, &out);
    gn_sleep_until(soon());
    assert_int_equal(in.result, 1);
    assert_int_equal(out.result, 1);
    write_byte(&fd[1]);
    assert_eventually(in.result != 1);
    assert_int_equal(in.result, 0);
    assert_int_equal(out.result, 1);
    drain(fd[1]);
    assert_eventually(out.result != 1);
    assert_int_equal(out.result, 0);
    close_both(fd);
}

static void two_fibers_that_wait_for_the_same_are_both_woken(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    struct waiter w[2];
    for (int i = 0; i < 2; i++) {
        w[i] = (struct waiter){.fd = fd[0], .events = EPOLLIN, .deadline = late()};
        go(wait_for_it, &w[i]);
    }
    gn_yield();
    write_byte(&fd[1]);
    assert_eventually(w[0].result == 0 && w[1].result == 0);
    close_both(fd);
}

static void one_that_gave_up_leaves_the_others_waiting(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    struct waiter brief = {.fd = fd[0], .events = EPOLLIN, .deadline = soon()};
    struct waiter patient = {.fd = fd[0], .events = EPOLLIN, .deadline = late()};
    go(wait_for_it, &patient);
    go(wait_for_it, &brief);
    gn_yield();
    assert_eventually(brief.result != 1);
    assert_int_equal(brief.result, -ETIMEDOUT);
    assert_int_equal(patient.result, 1);
    write_byte(&fd[1]);
    assert_eventually(patient.result == 0);
    close_both(fd);
}

static void an_event_that_nobody_waits_for_any_more_is_forgotten(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, soon()), -ETIMEDOUT);
    write_byte(&fd[1]);
    gn_sleep_until(soon());
    drain(fd[0]);
    assert_int_equal(gn_wait_fd(fd[0], EPOLLIN, soon()), -ETIMEDOUT);
    close_both(fd);
}

/* ---- closing, and numbers that come again ---- */

static void closing_a_descriptor_wakes_all_who_wait_for_it(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    stuff(fd[0]);
    struct waiter in = {.fd = fd[0], .events = EPOLLIN, .deadline = late()};
    struct waiter out = {.fd = fd[0], .events = EPOLLOUT, .deadline = late()};
    go(wait_for_it, &in);
    go(wait_for_it, &out);
    gn_yield();
    gn_fd_closed(&gn_sched_self()->poller, fd[0]);
    close_unseen(fd[0]);
    gn_yield();
    assert_int_equal(in.result, -EBADF);
    assert_int_equal(out.result, -EBADF);
    close(fd[1]);
}

static void a_number_closed_unseen_and_used_again_is_a_new_descriptor(void **state)
{
    (void)state;
    int old[2], new[2];
    open_pair(old);
    assert_int_equal(gn_wait_fd(old[0], EPOLLIN, soon()), -ETIMEDOUT);
    close_unseen(old[0]);
    close_unseen(old[1]);
    open_pair(new);
    assert_int_equal(new[0], old[0]);
    assert_int_equal(gn_wait_fd(new[0], EPOLLIN, soon()), -ETIMEDOUT);
    go(write_byte, &new[1]);
    assert_int_equal(gn_wait_fd(new[0], EPOLLIN, late()), 0);
    close_both(new);
}

/* A descriptor inherited by a child, or duplicated, keeps the kernel's registration
 * alive. */
static void events_of_a_duplicate_are_not_the_successors(void **state)
{
    (void)state;
    int old[2], new[2];
    open_pair(old);
    assert_int_equal(gn_wait_fd(old[0], EPOLLIN, soon()), -ETIMEDOUT);
    int duplicate = dup(old[0]);
    gn_fd_closed(&gn_sched_self()->poller, old[0]);
    close_unseen(old[0]);
    open_pair(new);
    assert_int_equal(new[0], old[0]);
    struct waiter w = {.fd = new[0], .events = EPOLLIN, .deadline = late()};
    go(wait_for_it, &w);
    gn_yield();
    write_byte(&old[1]); /* readable: but only the duplicate is */
    gn_sleep_until(soon());
    assert_int_equal(w.result, 1);
    write_byte(&new[1]);
    assert_eventually(w.result == 0);
    close_both(new);
    close(old[1]);
    close(duplicate);
}

static void large_numbers_and_gaps_between_them_are_fine(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    int high = fcntl(fd[0], F_DUPFD_CLOEXEC, 5000);
    assert_true(high >= 5000);
    go(write_byte, &fd[1]);
    assert_int_equal(gn_wait_fd(high, EPOLLIN, late()), 0);
    gn_fd_closed(&gn_sched_self()->poller, 4000000);
    gn_fd_closed(&gn_sched_self()->poller, -1);
    close(high);
    close_both(fd);
}

/* ---- several descriptors ---- */

enum { SEVERAL = 20 };

static void any_of_several_ends_a_wait(void **state)
{
    (void)state;
    int fd[SEVERAL][2];
    struct gn_wait w[SEVERAL];
    for (int i = 0; i < SEVERAL; i++) {
        open_pair(fd[i]);
        w[i] = (struct gn_wait){.fd = fd[i][0], .events = EPOLLIN};
    }
    assert_int_equal(gn_wait_any(w, SEVERAL, soon()), 0);
    go(write_byte, &fd[13][1]);
    assert_int_equal(gn_wait_any(w, SEVERAL, late()), 1);
    for (int i = 0; i < SEVERAL; i++)
        assert_int_equal(w[i].ready, i == 13 ? EPOLLIN : 0);
    for (int i = 0; i < SEVERAL; i++)
        close_both(fd[i]);
}

static void all_that_are_ready_are_told(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    write_byte(&fd[0]);
    write_byte(&fd[1]);
    struct gn_wait w[] = {{.fd = fd[0], .events = EPOLLIN},
                          {.fd = fd[1], .events = EPOLLIN},
                          {.fd = fd[1], .events = EPOLLPRI}};
    assert_int_equal(gn_wait_any(w, 3, late()), 2);
    assert_int_equal(w[0].ready, EPOLLIN);
    assert_int_equal(w[1].ready, EPOLLIN);
    assert_int_equal(w[2].ready, 0);
    close_both(fd);
}

static void negative_numbers_are_left_out_and_closed_ones_told(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    close_both(fd);
    struct gn_wait w[] = {{.fd = -1, .events = EPOLLIN},
                          {.fd = fd[0], .events = EPOLLIN}};
    assert_int_equal(gn_wait_any(w, 2, late()), 1);
    assert_int_equal(w[0].ready, 0);
    assert_int_equal(w[1].ready, EPOLLNVAL);
    assert_int_equal(gn_wait_any(w, 1, soon()), 0);
    assert_int_equal(gn_wait_any(NULL, 0, soon()), 0);
}

/* ---- watches ---- */

struct watched {
    struct gn_watch watch;
    uint32_t events;
    int calls;
    int close_too; /* -1 or a descriptor to be closed by the first call */
};

static void on_change(struct gn_watch *w, uint32_t events)
{
    struct watched *it = gn_container_of(w, struct watched, watch);
    assert_null(gn_fiber_self());
    it->events |= events;
    it->calls++;
    if (it->close_too >= 0)
        gn_fd_closed(&gn_sched_self()->poller, it->close_too);
    it->close_too = -1;
}

static void watch(struct watched *it, int fd, uint32_t events)
{
    *it = (struct watched){.watch = {.fd = fd, .fn = on_change}, .close_too = -1};
    assert_int_equal(gn_watch_add(&gn_sched_self()->poller, &it->watch, events), 0);
}

/* The loop looks for events before it comes back from a sleep. */
static void let_events_come(void)
{
    gn_sleep_until(gn_after(GN_MS));
}

static void a_watch_is_called_once_for_each_change(void **state)
{
    (void)state;
    int fd[2];
    struct watched it;
    open_pair(fd);
    watch(&it, fd[0], EPOLLIN | EPOLLRDHUP);
    let_events_come();
    assert_int_equal(it.calls, 0);
    write_byte(&fd[1]);
    let_events_come();
    assert_int_equal(it.calls, 1);
    assert_int_equal(it.events, EPOLLIN);
    write_byte(&fd[1]);
    let_events_come();
    assert_int_equal(it.calls, 2);
    shutdown(fd[1], SHUT_WR);
    let_events_come();
    assert_true(it.events & EPOLLRDHUP);
    close_both(fd);
}

static void a_watch_ends_when_its_descriptor_is_closed(void **state)
{
    (void)state;
    int fd[2];
    struct watched it;
    open_pair(fd);
    int duplicate = dup(fd[0]);
    watch(&it, fd[0], EPOLLIN);
    close(fd[0]);
    write_byte(&fd[1]);
    let_events_come();
    assert_int_equal(it.calls, 0);
    close(duplicate);
    close(fd[1]);
}

static void an_event_of_a_watch_closed_in_the_same_round_is_dropped(void **state)
{
    (void)state;
    int fd[2];
    struct watched a, b;
    open_pair(fd);
    watch(&a, fd[0], EPOLLIN);
    watch(&b, fd[1], EPOLLIN);
    a.close_too = fd[1];
    b.close_too = fd[0];
    write_byte(&fd[0]);
    write_byte(&fd[1]);
    let_events_come();
    assert_int_equal(a.calls + b.calls, 1);
    close_both(fd);
}

static void a_watch_of_what_is_not_open_is_refused(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    close_both(fd);
    struct gn_watch w = {.fd = fd[0], .fn = on_change};
    assert_int_equal(gn_watch_add(&gn_sched_self()->poller, &w, EPOLLIN), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(a_wait_ends_when_bytes_come),
        on_a_fiber(what_is_ready_is_ready_at_once),
        on_a_fiber(the_end_of_the_peer_ends_a_wait),
        on_a_fiber(a_descriptor_that_is_not_open_is_refused),
        on_a_fiber(a_regular_file_never_blocks),
        on_a_fiber(a_cancelled_fiber_does_not_wait),
        on_a_fiber(each_fiber_is_woken_by_its_own_event),
        on_a_fiber(two_fibers_that_wait_for_the_same_are_both_woken),
        on_a_fiber(one_that_gave_up_leaves_the_others_waiting),
        on_a_fiber(an_event_that_nobody_waits_for_any_more_is_forgotten),
        on_a_fiber(closing_a_descriptor_wakes_all_who_wait_for_it),
        on_a_fiber(a_number_closed_unseen_and_used_again_is_a_new_descriptor),
        on_a_fiber(events_of_a_duplicate_are_not_the_successors),
        on_a_fiber(large_numbers_and_gaps_between_them_are_fine),
        on_a_fiber(any_of_several_ends_a_wait),
        on_a_fiber(all_that_are_ready_are_told),
        on_a_fiber(negative_numbers_are_left_out_and_closed_ones_told),
        on_a_fiber(a_watch_is_called_once_for_each_change),
        on_a_fiber(a_watch_ends_when_its_descriptor_is_closed),
        on_a_fiber(an_event_of_a_watch_closed_in_the_same_round_is_dropped),
        on_a_fiber(a_watch_of_what_is_not_open_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
