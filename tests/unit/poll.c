/* host/libc/poll.c: poll ppoll select pselect epoll_wait, on a fiber as on a thread. */
#include "fiber_test.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>

enum { LONG = 30000, SHORT = 5 }; /* milliseconds */

static void assert_waited(int64_t since, int ms)
{
    assert_true(gn_now() - since >= ms * GN_MS);
}

/* ---- poll ---- */

static void poll_tells_what_is_ready_without_waiting(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    struct pollfd p = {.fd = fd[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(p.revents, 0);
    p.events = POLLIN | POLLOUT;
    assert_int_equal(poll(&p, 1, LONG), 1);
    assert_int_equal(p.revents, POLLOUT);
    write_byte(&fd[1]);
    assert_int_equal(poll(&p, 1, LONG), 1);
    assert_int_equal(p.revents, POLLIN | POLLOUT);
    close_both(fd);
}

static void poll_waits_until_bytes_come(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    struct pollfd p = {.fd = fd[0], .events = POLLIN};
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(poll(&p, 1, -1), 1);
    assert_int_equal(p.revents, POLLIN);
    close_both(fd);
}

enum { SEVERAL = 20 };

static void poll_of_many_tells_which_are_ready(void **state)
{
    (void)state;
    int fd[SEVERAL][2];
    struct pollfd p[SEVERAL];
    for (int i = 0; i < SEVERAL; i++) {
        open_pair(fd[i]);
        p[i] = (struct pollfd){.fd = fd[i][0], .events = POLLIN};
    }
    meanwhile(write_byte, &fd[17][1]);
    assert_int_equal(poll(p, SEVERAL, LONG), 1);
    for (int i = 0; i < SEVERAL; i++)
        assert_int_equal(p[i].revents, i == 17 ? POLLIN : 0);
    write_byte(&fd[3][1]);
    assert_int_equal(poll(p, SEVERAL, LONG), 2);
    for (int i = 0; i < SEVERAL; i++)
        close_both(fd[i]);
}

static void poll_gives_up_at_its_timeout(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    struct pollfd p = {.fd = fd[0], .events = POLLIN, .revents = POLLIN};
    int64_t start = gn_now();
    assert_int_equal(poll(&p, 1, SHORT), 0);
    assert_waited(start, SHORT);
    assert_int_equal(p.revents, 0);
    close_both(fd);
}

static void poll_of_nothing_sleeps(void **state)
{
    (void)state;
    int64_t start = gn_now();
    assert_int_equal(poll(NULL, 0, SHORT), 0);
    assert_waited(start, SHORT);
    assert_int_equal(poll(NULL, 0, 0), 0);
}

static void poll_leaves_out_negative_numbers_and_tells_closed_ones(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    close_both(fd);
    struct pollfd p[] = {{.fd = -1, .events = POLLIN}, {.fd = fd[0], .events = POLLIN}};
    assert_int_equal(poll(p, 2, LONG), 1);
    assert_int_equal(p[0].revents, 0);
    assert_int_equal(p[1].revents, POLLNVAL);
    assert_int_equal(poll(p, 1, SHORT), 0);
}

static void poll_tells_the_end_of_the_peer(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    close(fd[1]);
    struct pollfd p = {.fd = fd[0]};
    assert_int_equal(poll(&p, 1, LONG), 1);
    assert_int_equal(p.revents, POLLHUP);
    close(fd[0]);
}

static void poll_of_a_regular_file_is_ready(void **state)
{
    (void)state;
    FILE *f = tmpfile();
    struct pollfd p = {.fd = fileno(f), .events = POLLIN | POLLOUT};
    assert_int_equal(poll(&p, 1, LONG), 1);
    assert_int_equal(p.revents, POLLIN | POLLOUT);
    fclose(f);
}

static void ppoll_waits_as_poll_does(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    struct pollfd p = {.fd = fd[0], .events = POLLIN};
    struct timespec none = {0}, brief = {.tv_nsec = SHORT * GN_MS},
                    forever = {.tv_sec = INT64_MAX};
    int64_t start = gn_now();
    assert_int_equal(ppoll(&p, 1, &none, NULL), 0);
    assert_int_equal(ppoll(&p, 1, &brief, NULL), 0);
    assert_waited(start, SHORT);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(ppoll(&p, 1, NULL, NULL), 1);
    assert_int_equal(ppoll(&p, 1, &forever, NULL), 1);
    assert_int_equal(p.revents, POLLIN);
    close_both(fd);
}

/* ---- poll between fibers ---- */

static void close_it(void *fd)
{
    close(*(int *)fd);
}

static void closing_a_descriptor_wakes_the_fiber_that_polls_it(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    struct pollfd p = {.fd = fd[0], .events = POLLIN};
    go(close_it, &fd[0]);
    assert_int_equal(poll(&p, 1, LONG), 1);
    assert_int_equal(p.revents, POLLNVAL);
    close(fd[1]);
}

struct taker {
    int fd, result;
    char got;
};

/* Polls, and takes the byte that poll has promised. */
static void poll_and_take(void *arg)
{
    struct taker *t = arg;
    struct pollfd p = {.fd = t->fd, .events = POLLIN};
    t->result = poll(&p, 1, 50);
    if (t->result == 1 && recv(t->fd, &t->got, 1, MSG_DONTWAIT) != 1)
        t->got = '!';
}

static void poll_never_promises_one_byte_to_two_fibers(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    struct taker a = {.fd = fd[0], .result = -1}, b = a;
    go(poll_and_take, &a);
    go(poll_and_take, &b);
    gn_yield();
    write_byte(&fd[1]);
    assert_eventually(a.result >= 0 && b.result >= 0);
    assert_int_equal(a.result + b.result, 1);
    assert_int_equal(a.got + b.got, 'x');
    close_both(fd);
}

static void a_cancelled_fiber_polls_in_vain(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    struct pollfd p = {.fd = fd[0], .events = POLLIN};
    gn_cancel(gn_fiber_self(), -ECANCELED);
    assert_int_equal(poll(&p, 1, LONG), -1);
    assert_int_equal(errno, ECANCELED);
    write_byte(&fd[1]);
    assert_int_equal(poll(&p, 1, LONG), 1); /* no waiting was needed */
    close_both(fd);
}

static bool forbid(struct gn_fiber *f)
{
    (void)f;
    return false;
}

static void mark(void *flag)
{
    *(bool *)flag = true;
}

static void where_waiting_is_forbidden_poll_blocks_the_thread(void **state)
{
    (void)state;
    bool others_ran = false;
    int64_t start = gn_now();
    gn_fiber_self()->may_park = forbid;
    go(mark, &others_ran);
    assert_int_equal(poll(NULL, 0, SHORT), 0);
    assert_waited(start, SHORT);
    assert_false(others_ran);
    gn_yield();
    assert_true(others_ran);
}

/* ---- select ---- */

static void put_in(fd_set *set, int a, int b)
{
    FD_ZERO(set);
    FD_SET(a, set);
    if (b >= 0)
        FD_SET(b, set);
}

static int above(const int fd[2])
{
    return (fd[0] > fd[1] ? fd[0] : fd[1]) + 1;
}

static void select_leaves_what_is_ready_in_the_sets(void **state)
{
    (void)state;
    int fd[2];
    fd_set in, out, except;
    struct timeval t = {.tv_sec = 30};
    open_pair(fd);
    write_byte(&fd[0]);
    put_in(&in, fd[0], fd[1]);
    put_in(&out, fd[1], -1);
    put_in(&except, fd[0], fd[1]);
    assert_int_equal(select(above(fd), &in, &out, &except, &t), 2);
    assert_false(FD_ISSET(fd[0], &in));
    assert_true(FD_ISSET(fd[1], &in));
    assert_true(FD_ISSET(fd[1], &out));
    assert_false(FD_ISSET(fd[0], &except) || FD_ISSET(fd[1], &except));
    close_both(fd);
}

static void select_waits_until_bytes_come(void **state)
{
    (void)state;
    int fd[2];
    fd_set in;
    open_pair(fd);
    put_in(&in, fd[0], fd[1]);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(select(above(fd), &in, NULL, NULL, NULL), 1);
    assert_true(FD_ISSET(fd[0], &in));
    assert_false(FD_ISSET(fd[1], &in));
    close_both(fd);
}

static void select_empties_the_sets_at_its_timeout(void **state)
{
    (void)state;
    int fd[2];
    fd_set in;
    struct timeval t = {.tv_usec = SHORT * 1000};
    int64_t start = gn_now();
    open_pair(fd);
    put_in(&in, fd[0], fd[1]);
    assert_int_equal(select(above(fd), &in, NULL, NULL, &t), 0);
    assert_waited(start, SHORT);
    assert_false(FD_ISSET(fd[0], &in) || FD_ISSET(fd[1], &in));
    close_both(fd);
}

static void select_without_sets_sleeps(void **state)
{
    (void)state;
    struct timeval t = {.tv_usec = SHORT * 1000};
    int64_t start = gn_now();
    assert_int_equal(select(0, NULL, NULL, NULL, &t), 0);
    assert_waited(start, SHORT);
}

static void select_refuses_what_is_not_open(void **state)
{
    (void)state;
    int fd[2];
    fd_set in;
    struct timeval t = {0};
    open_pair(fd);
    close_both(fd);
    put_in(&in, fd[0], -1);
    assert_int_equal(select(fd[0] + 1, &in, NULL, NULL, &t), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(select(-1, NULL, NULL, NULL, &t), -1);
    assert_int_equal(errno, EINVAL);
}

static void select_with_an_endless_timeout_waits(void **state)
{
    (void)state;
    int fd[2];
    fd_set in;
    struct timeval t = {.tv_sec = INT64_C(1) << 40};
    open_pair(fd);
    put_in(&in, fd[0], -1);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(select(fd[0] + 1, &in, NULL, NULL, &t), 1);
    close_both(fd);
}

static void pselect_waits_as_select_does(void **state)
{
    (void)state;
    int fd[2];
    fd_set in;
    struct timespec t = {.tv_nsec = SHORT * GN_MS};
    int64_t start = gn_now();
    open_pair(fd);
    put_in(&in, fd[0], -1);
    assert_int_equal(pselect(fd[0] + 1, &in, NULL, NULL, &t, NULL), 0);
    assert_waited(start, SHORT);
    put_in(&in, fd[0], -1);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(pselect(fd[0] + 1, &in, NULL, NULL, NULL, NULL), 1);
    assert_true(FD_ISSET(fd[0], &in));
    close_both(fd);
}

/* ---- epoll ---- */

static int open_epoll(int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = 77};
    int epfd = epoll_create1(EPOLL_CLOEXEC);
    assert_true(epfd >= 0);
    assert_int_equal(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e), 0);
    return epfd;
}

static void epoll_wait_waits_until_bytes_come(void **state)
{
    (void)state;
    int fd[2];
    struct epoll_event e[4];
    open_pair(fd);
    int epfd = open_epoll(fd[0]);
    assert_int_equal(epoll_wait(epfd, e, 4, 0), 0);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(epoll_wait(epfd, e, 4, -1), 1);
    assert_int_equal(e[0].events, EPOLLIN);
    assert_int_equal(e[0].data.u32, 77);
    assert_int_equal(epoll_wait(epfd, e, 4, LONG), 1);
    close(epfd);
    close_both(fd);
}

static void epoll_pwait_is_epoll_wait_with_a_mask(void **state)
{
    (void)state;
    int fd[2];
    struct epoll_event e;
    sigset_t none;
    sigemptyset(&none);
    open_pair(fd);
    int epfd = open_epoll(fd[0]);
    assert_int_equal(epoll_pwait(epfd, &e, 1, 0, &none), 0);
    assert_int_equal(epoll_pwait(epfd, &e, 1, SHORT, NULL), 0);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(epoll_pwait(epfd, &e, 1, -1, &none), 1);
    assert_int_equal(e.data.u32, 77);
    close(epfd);
    close_both(fd);
}

static void epoll_wait_gives_up_at_its_timeout(void **state)
{
    (void)state;
    int fd[2];
    struct epoll_event e;
    open_pair(fd);
    int epfd = open_epoll(fd[0]);
    int64_t start = gn_now();
    assert_int_equal(epoll_wait(epfd, &e, 1, SHORT), 0);
    assert_waited(start, SHORT);
    close(epfd);
    close_both(fd);
}

static void epoll_wait_refuses_what_is_not_an_epoll(void **state)
{
    (void)state;
    int fd[2];
    struct epoll_event e;
    open_pair(fd);
    assert_int_equal(epoll_wait(fd[0], &e, 1, LONG), -1);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(epoll_wait(-1, &e, 1, LONG), -1);
    assert_int_equal(errno, EBADF);
    close_both(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(poll_tells_what_is_ready_without_waiting),
        both_ways(poll_waits_until_bytes_come),
        both_ways(poll_of_many_tells_which_are_ready),
        both_ways(poll_gives_up_at_its_timeout),
        both_ways(poll_of_nothing_sleeps),
        both_ways(poll_leaves_out_negative_numbers_and_tells_closed_ones),
        both_ways(poll_tells_the_end_of_the_peer),
        both_ways(poll_of_a_regular_file_is_ready),
        both_ways(ppoll_waits_as_poll_does),
        on_a_fiber(closing_a_descriptor_wakes_the_fiber_that_polls_it),
        on_a_fiber(poll_never_promises_one_byte_to_two_fibers),
        on_a_fiber(a_cancelled_fiber_polls_in_vain),
        on_a_fiber(where_waiting_is_forbidden_poll_blocks_the_thread),
        both_ways(select_leaves_what_is_ready_in_the_sets),
        both_ways(select_waits_until_bytes_come),
        both_ways(select_empties_the_sets_at_its_timeout),
        both_ways(select_without_sets_sleeps),
        both_ways(select_refuses_what_is_not_open),
        both_ways(select_with_an_endless_timeout_waits),
        both_ways(pselect_waits_as_select_does),
        both_ways(epoll_wait_waits_until_bytes_come),
        both_ways(epoll_pwait_is_epoll_wait_with_a_mask),
        both_ways(epoll_wait_gives_up_at_its_timeout),
        both_ways(epoll_wait_refuses_what_is_not_an_epoll),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
