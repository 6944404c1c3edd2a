/* host/libc/stream.c: descriptors whose calls go to an owner, and the listener that
 * bind adopts. */
#include "fiber_test.h"

#include "libc/stream.h"

#include <netinet/in.h>
#include <poll.h>

static const char *called;
static struct gn_stream *called_with;

static void note(const char *what, struct gn_stream *s)
{
    called = what;
    called_with = s;
}

static short on_poll(struct gn_stream *s, short events, int timeout_ms)
{
    note("poll", s);
    return timeout_ms == 0 ? 0 : events & POLLIN;
}

static ssize_t on_recv(struct gn_stream *s, void *buf, size_t n, int flags)
{
    (void)flags;
    note("recv", s);
    memset(buf, 'r', n);
    return (ssize_t)n;
}

static ssize_t on_send(struct gn_stream *s, const void *buf, size_t n, int flags)
{
    (void)buf, (void)flags;
    note("send", s);
    return (ssize_t)n;
}

static int on_accept(struct gn_stream *s, struct sockaddr *at, socklen_t *len)
{
    (void)at, (void)len;
    note("accept", s);
    return 77;
}

static int on_name(struct gn_stream *s, struct sockaddr *at, socklen_t *len)
{
    (void)at, (void)len;
    note("name", s);
    return 0;
}

static int on_shutdown(struct gn_stream *s, int how)
{
    (void)how;
    note("shutdown", s);
    return 0;
}

static int on_close(struct gn_stream *s)
{
    note("close", s);
    gn_stream_disown(s);
    return close(s->fd);
}

static const struct gn_stream_ops all_ops = {.poll = on_poll,
                                             .recv = on_recv,
                                             .send = on_send,
                                             .accept = on_accept,
                                             .name = on_name,
                                             .shutdown = on_shutdown,
                                             .close = on_close};
static const struct gn_stream_ops few_ops = {.poll = on_poll, .close = on_close};

static void own(struct gn_stream *s, const struct gn_stream_ops *ops, int fd[2])
{
    open_pair(fd);
    *s = (struct gn_stream){.ops = ops, .fd = fd[0]};
    assert_int_equal(gn_stream_own(s), 0);
}

static void assert_called(const char *what, struct gn_stream *s)
{
    assert_non_null(called);
    assert_string_equal(called, what);
    assert_ptr_equal(called_with, s);
    called = NULL;
}

/* ---- the owner is asked ---- */

static void calls_that_name_the_descriptor_go_to_its_owner(void **state)
{
    (void)state;
    int fd[2];
    char c = 0;
    struct gn_stream s;
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    own(&s, &all_ops, fd);
    struct pollfd p = {.fd = fd[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, 1000), 1);
    assert_int_equal(p.revents, POLLIN);
    assert_called("poll", &s);
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_int_equal(recv(fd[0], &c, 1, 0), 1);
    assert_called("recv", &s);
    assert_int_equal(recvfrom(fd[0], &c, 1, 0, NULL, NULL), 1);
    assert_called("recv", &s);
    assert_int_equal(send(fd[0], "x", 1, 0), 1);
    assert_called("send", &s);
    assert_int_equal(sendto(fd[0], "x", 1, 0, NULL, 0), 1);
    assert_called("send", &s);
    assert_int_equal(accept(fd[0], NULL, NULL), 77);
    assert_called("accept", &s);
    assert_int_equal(getsockname(fd[0], (struct sockaddr *)&at, &len), 0);
    assert_called("name", &s);
    assert_int_equal(shutdown(fd[0], SHUT_WR), 0);
    assert_called("shutdown", &s);
    assert_int_equal(close(fd[0]), 0);
    assert_called("close", &s);
    assert_null(gn_stream_of(fd[0]));
    close(fd[1]);
}

static void reading_and_writing_it_are_receiving_and_sending(void **state)
{
    (void)state;
    int fd[2];
    char c = 0;
    struct gn_stream s;
    own(&s, &all_ops, fd);
    assert_int_equal(read(fd[0], &c, 1), 1);
    assert_called("recv", &s);
    assert_int_equal(c, 'r');
    assert_int_equal(write(fd[0], "x", 1), 1);
    assert_called("send", &s);
    close(fd[0]);
    close(fd[1]);
}

static void what_the_owner_cannot_do_is_not_supported(void **state)
{
    (void)state;
    int fd[2];
    char c = 0;
    struct gn_stream s;
    own(&s, &few_ops, fd);
    assert_int_equal(accept(fd[0], NULL, NULL), -1);
    assert_int_equal(errno, EOPNOTSUPP);
    assert_int_equal(recv(fd[0], &c, 1, 0), -1);
    assert_int_equal(errno, EOPNOTSUPP);
    assert_int_equal(send(fd[0], &c, 1, 0), -1);
    assert_int_equal(errno, EOPNOTSUPP);
    close(fd[0]);
    close(fd[1]);
}

static void a_disowned_descriptor_is_libcs_again(void **state)
{
    (void)state;
    int fd[2];
    char c = 0;
    struct gn_stream s;
    own(&s, &all_ops, fd);
    assert_ptr_equal(gn_stream_of(fd[0]), &s);
    gn_stream_disown(&s);
    assert_null(gn_stream_of(fd[0]));
    write_byte(&fd[1]);
    assert_int_equal(recv(fd[0], &c, 1, 0), 1);
    assert_int_equal(c, 'x');
    close_both(fd);
}

static void numbers_beyond_the_table_are_refused(void **state)
{
    (void)state;
    struct gn_stream s = {.ops = &all_ops, .fd = 1 << 20};
    assert_int_equal(gn_stream_own(&s), -EBADF);
    assert_null(gn_stream_of(1 << 20));
    s.fd = -1;
    assert_int_equal(gn_stream_own(&s), -EBADF);
    assert_null(gn_stream_of(-1));
    s.fd = (1 << 20) - 1;
    assert_int_equal(gn_stream_own(&s), 0);
    assert_ptr_equal(gn_stream_of(s.fd), &s);
    gn_stream_disown(&s);
    assert_null(gn_stream_of(s.fd));
}

static struct gn_stream streams[4][100];
static atomic_int failures;

static void own_and_disown(void *arg)
{
    struct gn_stream *mine = arg;
    int first = 100000 + 100 * (int)((mine - streams[0]) / 100);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 100; i++) {
            mine[i] =
                (struct gn_stream){.ops = &all_ops, .fd = first + 3000 * (i % 10) + i};
            failures += gn_stream_own(&mine[i]) != 0;
        }
        for (int i = 0; i < 100; i++) {
            failures += gn_stream_of(mine[i].fd) != &mine[i];
            gn_stream_disown(&mine[i]);
        }
    }
}

static void threads_share_the_table(void **state)
{
    (void)state;
    failures = 0;
    for (int i = 0; i < 4; i++)
        start_thread(own_and_disown, streams[i]);
    join_started();
    assert_int_equal(failures, 0);
}

/* ---- bind ---- */

static int listen_somewhere(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static struct sockaddr *any(struct sockaddr_in *at)
{
    *at = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    return (struct sockaddr *)at;
}

static void bind_elsewhere(void *stream)
{
    struct sockaddr_in at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, any(&at), sizeof at), 0);
    assert_null(gn_stream_of(fd));
    assert_int_not_equal(((struct gn_stream *)stream)->fd, fd);
    close(fd);
}

static void the_next_bind_of_the_fiber_adopts_a_listener(void **state)
{
    (void)state;
    struct sockaddr_in at, listening, seen;
    socklen_t len = sizeof seen;
    struct gn_stream s = {.ops = &few_ops, .fd = listen_somewhere(&listening)};
    int old = s.fd, fd = socket(AF_INET, SOCK_STREAM, 0);
    gn_bind_adopts(&s);
    go(bind_elsewhere, &s);
    gn_yield(); /* another fiber's bind is plain */
    assert_int_equal(bind(fd, any(&at), sizeof at), 0);
    assert_int_equal(s.fd, fd);
    assert_ptr_equal(gn_stream_of(fd), &s);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&seen, &len), 0);
    assert_int_equal(seen.sin_port, listening.sin_port);
    assert_int_equal(fcntl(old, F_GETFD), -1); /* the old number is closed */
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    bind_elsewhere(&s); /* and so is the one after it */
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(calls_that_name_the_descriptor_go_to_its_owner),
        on_a_fiber(reading_and_writing_it_are_receiving_and_sending),
        both_ways(what_the_owner_cannot_do_is_not_supported),
        both_ways(a_disowned_descriptor_is_libcs_again),
        cmocka_unit_test(numbers_beyond_the_table_are_refused),
        cmocka_unit_test(threads_share_the_table),
        on_a_fiber(the_next_bind_of_the_fiber_adopts_a_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
