/* host/libc/socket.c: receiving and sending, on a fiber as on a thread. */
#include "fiber_test.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/un.h>

enum { BIG = 4 << 20 };

static void set_timeout(int fd, int option, int ms)
{
    struct timeval t = {.tv_usec = ms * 1000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, option, &t, sizeof t), 0);
}

static void set_nonblocking(int fd)
{
    assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

/* Reads BIG bytes in small pieces, now and then doing something else, and compares. */
struct reader {
    int fd;
    size_t pause_every;
    bool right;
    atomic_bool done;
};

static void read_slowly(void *arg)
{
    struct reader *r = arg;
    char *expected = malloc(BIG), *got = malloc(BIG);
    size_t n = 0;
    ssize_t piece;
    fill_pattern(expected, BIG);
    for (int i = 1; n < BIG && (piece = recv(r->fd, got + n,
                                             BIG - n < 10000 ? BIG - n : 10000, 0)) > 0;
         i++) {
        n += (size_t)piece;
        if (i % 100 == 0)
            usleep(200);
    }
    r->right = n == BIG && memcmp(expected, got, BIG) == 0;
    free(expected);
    free(got);
    r->done = true;
}

static char *big_pattern(void)
{
    char *data = malloc(BIG);
    assert_non_null(data);
    fill_pattern(data, BIG);
    return data;
}

/* ---- receiving ---- */

static void recv_waits_until_bytes_come(void **state)
{
    (void)state;
    int fd[2];
    char c = 0;
    open_pair(fd);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(recv(fd[0], &c, 1, 0), 1);
    assert_int_equal(c, 'x');
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(recvfrom(fd[0], &c, 1, 0, NULL, NULL), 1);
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(recvmsg(fd[0], &m, 0), 1);
    close_both(fd);
}

static void recv_takes_what_is_there(void **state)
{
    (void)state;
    int fd[2];
    char got[16];
    open_pair(fd);
    assert_int_equal(send(fd[1], "hello", 5, 0), 5);
    assert_int_equal(recv(fd[0], got, 2, 0), 2);
    assert_int_equal(recv(fd[0], got, sizeof got, MSG_PEEK), 3);
    assert_int_equal(recv(fd[0], got, sizeof got, 0), 3);
    assert_memory_equal(got, "llo", 3);
    close_both(fd);
}

static void recv_returns_0_at_the_end(void **state)
{
    (void)state;
    int fd[2];
    char c;
    open_pair(fd);
    close(fd[1]);
    assert_int_equal(recv(fd[0], &c, 1, 0), 0);
    assert_int_equal(recv(fd[0], &c, 1, MSG_WAITALL), 0);
    close(fd[0]);
}

static void who_does_not_want_to_wait_gets_EAGAIN(void **state)
{
    (void)state;
    int fd[2];
    char c;
    open_pair(fd);
    assert_int_equal(recv(fd[0], &c, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    set_nonblocking(fd[0]);
    assert_int_equal(recv(fd[0], &c, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(recvfrom(fd[0], &c, 1, 0, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    assert_true(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
    close_both(fd);
}

static void a_blocking_descriptor_stays_one(void **state)
{
    (void)state;
    int fd[2];
    char c;
    open_pair(fd);
    meanwhile(write_byte, &fd[1]);
    recv(fd[0], &c, 1, 0);
    send(fd[0], &c, 1, 0);
    assert_false(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
    close_both(fd);
}

static void send_three_pieces(void *arg)
{
    int fd = *(int *)arg;
    for (int i = 0; i < 3; i++) {
        if (send(fd, "abcd", 4, 0) != 4)
            abort();
        usleep(1000);
    }
}

static void recv_with_WAITALL_waits_for_all(void **state)
{
    (void)state;
    int fd[2];
    char got[13] = "";
    open_pair(fd);
    meanwhile(send_three_pieces, &fd[1]);
    assert_int_equal(recv(fd[0], got, 12, MSG_WAITALL), 12);
    assert_string_equal(got, "abcdabcdabcd");
    meanwhile(send_three_pieces, &fd[1]);
    assert_int_equal(recvfrom(fd[0], got, 12, MSG_WAITALL, NULL, NULL), 12);
    close_both(fd);
}

static void recv_with_WAITALL_is_content_with_less_at_the_end(void **state)
{
    (void)state;
    int fd[2];
    char got[16];
    open_pair(fd);
    assert_int_equal(send(fd[1], "hello", 5, 0), 5);
    close(fd[1]);
    assert_int_equal(recv(fd[0], got, sizeof got, MSG_WAITALL), 5);
    close(fd[0]);
}

static void recv_gives_up_at_SO_RCVTIMEO(void **state)
{
    (void)state;
    int fd[2];
    char c;
    open_pair(fd);
    set_timeout(fd[0], SO_RCVTIMEO, 5);
    int64_t start = gn_now();
    assert_int_equal(recv(fd[0], &c, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
    assert_true(gn_now() - start >= 4 * GN_MS); /* the kernel counts in ticks */
    close_both(fd);
}

static void recvmsg_scatters(void **state)
{
    (void)state;
    int fd[2];
    char a[3], b[10];
    struct iovec iov[] = {{a, 3}, {NULL, 0}, {b, 10}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 3};
    open_pair(fd);
    assert_int_equal(send(fd[1], "abcdefg", 7, 0), 7);
    assert_int_equal(recvmsg(fd[0], &m, 0), 7);
    assert_memory_equal(a, "abc", 3);
    assert_memory_equal(b, "defg", 4);
    close_both(fd);
}

/* ---- sending ---- */

static void megabytes_reach_a_slow_reader(void **state)
{
    (void)state;
    int fd[2];
    char *data = big_pattern();
    open_pair(fd);
    struct reader r = {.fd = fd[0]};
    meanwhile(read_slowly, &r);
    assert_int_equal(send(fd[1], data, BIG, 0), BIG);
    assert_eventually(r.done);
    assert_true(r.right);
    close_both(fd);
    free(data);
}

static void sendmsg_sends_all_of_many_buffers(void **state)
{
    (void)state;
    enum { PARTS = 20 };
    int fd[2];
    char *data = big_pattern();
    struct iovec iov[PARTS];
    size_t at = 0;
    for (size_t i = 0; i < PARTS; i++) { /* of uneven lengths, some of them empty */
        size_t n = i == PARTS - 1 ? BIG - at : i % 5 == 0 ? 0 : i * 12345;
        iov[i] = (struct iovec){data + at, n};
        at += n;
    }
    open_pair(fd);
    struct reader r = {.fd = fd[0]};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = PARTS};
    meanwhile(read_slowly, &r);
    assert_int_equal(sendmsg(fd[1], &m, 0), BIG);
    assert_ptr_equal(iov[1].iov_base, data); /* the caller's buffers are left alone */
    assert_int_equal(iov[1].iov_len, 12345);
    assert_eventually(r.done);
    assert_true(r.right);
    close_both(fd);
    free(data);
}

static void a_sender_that_does_not_want_to_wait_sends_a_part(void **state)
{
    (void)state;
    int fd[2];
    char *data = big_pattern();
    struct iovec iov[] = {{data, BIG / 2}, {data + BIG / 2, BIG / 2}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    open_pair(fd);
    ssize_t n = send(fd[0], data, BIG, MSG_DONTWAIT);
    assert_in_range(n, 1, BIG - 1);
    assert_int_equal(send(fd[0], data, BIG, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    set_nonblocking(fd[1]);
    n = sendmsg(fd[1], &m, 0);
    assert_in_range(n, 1, BIG - 1);
    assert_int_equal(send(fd[1], data, BIG, 0), -1);
    assert_int_equal(errno, EAGAIN);
    close_both(fd);
    free(data);
}

static void send_gives_up_at_SO_SNDTIMEO(void **state)
{
    (void)state;
    int fd[2];
    char *data = big_pattern();
    open_pair(fd);
    set_timeout(fd[0], SO_SNDTIMEO, 5);
    ssize_t n = send(fd[0], data, BIG, 0);
    assert_in_range(n, 1, BIG - 1);
    assert_int_equal(send(fd[0], data, BIG, 0), -1);
    assert_int_equal(errno, EAGAIN);
    close_both(fd);
    free(data);
}

static void sending_to_nobody_fails(void **state)
{
    (void)state;
    int fd[2];
    open_pair(fd);
    close(fd[1]);
    assert_int_equal(send(fd[0], "x", 1, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPIPE);
    close(fd[0]);
}

static void nothing_can_be_sent(void **state)
{
    (void)state;
    int fd[2];
    char got[4];
    struct msghdr m = {0};
    open_pair(fd);
    assert_int_equal(send(fd[0], "", 0, 0), 0);
    assert_int_equal(sendmsg(fd[0], &m, 0), 0);
    assert_int_equal(send(fd[0], "abc", 3, 0), 3);
    assert_int_equal(recv(fd[1], got, 0, 0), 0);
    assert_int_equal(recv(fd[1], got, 4, 0), 3);
    close_both(fd);
}

static void what_is_not_a_socket_is_refused(void **state)
{
    (void)state;
    int fd[2];
    char c = 0;
    struct iovec iov = {&c, 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(recv(fd[0], &c, 1, 0), -1);
    assert_int_equal(errno, ENOTSOCK);
    assert_int_equal(sendmsg(fd[1], &m, 0), -1);
    assert_int_equal(errno, ENOTSOCK);
    close_both(fd);
    assert_int_equal(recvmsg(fd[0], &m, 0), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(send(fd[0], &c, 1, 0), -1);
    assert_int_equal(errno, EBADF);
}

/* ---- datagrams and descriptors ---- */

static int open_udp(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static void datagrams_carry_their_sender(void **state)
{
    (void)state;
    struct sockaddr_in a_at, b_at, from = {0};
    socklen_t len = sizeof from;
    char got[16];
    int a = open_udp(&a_at), b = open_udp(&b_at);
    assert_int_equal(sendto(a, "hello", 5, 0, (struct sockaddr *)&b_at, sizeof b_at),
                     5);
    assert_int_equal(recvfrom(b, got, sizeof got, 0, (struct sockaddr *)&from, &len),
                     5);
    assert_int_equal(from.sin_port, a_at.sin_port);
    assert_int_equal(len, sizeof from);
    assert_int_equal(sendto(a, "", 0, 0, (struct sockaddr *)&b_at, sizeof b_at), 0);
    assert_int_equal(recvfrom(b, got, sizeof got, 0, NULL, NULL), 0); /* an empty one */
    close(a);
    close(b);
}

static void a_descriptor_passed_along_arrives_once(void **state)
{
    (void)state;
    int fd[2], passed[2], received = -1;
    char control[CMSG_SPACE(sizeof(int))] = {0}, first;
    char *data = big_pattern(), *rest = malloc(BIG);
    open_pair(fd);
    assert_int_equal(pipe(passed), 0);
    struct iovec iov = {data, BIG}, one = {&first, 1};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
                          .cmsg_type = SCM_RIGHTS,
                          .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(c), &passed[1], sizeof(int));
    set_nonblocking(fd[1]);
    assert_in_range(sendmsg(fd[1], &m, 0), 1, BIG - 1);
    m.msg_iov = &one;
    m.msg_controllen = sizeof control;
    assert_int_equal(recvmsg(fd[0], &m, 0), 1);
    memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
    assert_int_equal(write(received, "x", 1), 1);
    assert_int_equal(read(passed[0], &first, 1), 1);
    close(received);
    close_both(passed);
    close_both(fd);
    free(data);
    free(rest);
}

/* ---- between fibers ---- */

static void close_it(void *fd)
{
    close(*(int *)fd);
}

static void closing_a_socket_wakes_the_fiber_that_receives(void **state)
{
    (void)state;
    int fd[2];
    char c;
    open_pair(fd);
    go(close_it, &fd[0]);
    assert_int_equal(recv(fd[0], &c, 1, 0), -1);
    assert_int_equal(errno, EBADF);
    close(fd[1]);
}

static void cancel(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
}

static void cancelling_ends_a_blocked_call(void **state)
{
    (void)state;
    int fd[2];
    char c, *data = big_pattern();
    open_pair(fd);
    go(cancel, gn_fiber_self());
    assert_int_equal(recv(fd[0], &c, 1, 0), -1);
    assert_int_equal(errno, ECANCELED);
    assert_in_range(send(fd[0], data, BIG, 0), 1,
                    BIG - 1); /* what has been sent is told */
    assert_int_equal(send(fd[0], data, BIG, 0), -1);
    assert_int_equal(errno, ECANCELED);
    close_both(fd);
    free(data);
}

struct echo {
    int fd;
    int rounds;
};

static void echo_bytes(void *arg)
{
    struct echo *e = arg;
    char c;
    while (recv(e->fd, &c, 1, 0) == 1)
        if (send(e->fd, &c, 1, 0) != 1)
            return;
}

static void ask(void *arg)
{
    struct echo *e = arg;
    for (char c = 'a', got; e->rounds < 50; c++, e->rounds++)
        if (send(e->fd, &c, 1, 0) != 1 || recv(e->fd, &got, 1, 0) != 1 || got != c)
            break;
    shutdown(e->fd, SHUT_WR);
}

static void a_hundred_pairs_of_fibers_talk_at_once(void **state)
{
    (void)state;
    enum { PAIRS = 100 };
    static struct echo server[PAIRS], client[PAIRS];
    int fd[PAIRS][2];
    for (int i = 0; i < PAIRS; i++) {
        open_pair(fd[i]);
        server[i] = (struct echo){.fd = fd[i][0]};
        client[i] = (struct echo){.fd = fd[i][1]};
        go(echo_bytes, &server[i]);
        go(ask, &client[i]);
    }
    for (int i = 0; i < PAIRS; i++)
        assert_eventually(client[i].rounds == 50);
    for (int i = 0; i < PAIRS; i++)
        close_both(fd[i]);
}

/* ---- several messages at once ---- */

enum { MESSAGES = 3 };

/* Messages of one byte each. */
struct bytes {
    char byte[MESSAGES];
    struct iovec iov[MESSAGES];
    struct mmsghdr msg[MESSAGES];
};

static struct mmsghdr *make_messages(struct bytes *b, const char *bytes)
{
    memset(b, 0, sizeof *b);
    for (int i = 0; i < MESSAGES; i++) {
        b->byte[i] = bytes[i];
        b->iov[i] = (struct iovec){&b->byte[i], 1};
        b->msg[i].msg_hdr.msg_iov = &b->iov[i];
        b->msg[i].msg_hdr.msg_iovlen = 1;
    }
    return b->msg;
}

static void send_three(void *fd)
{
    struct bytes b;
    if (sendmmsg(*(int *)fd, make_messages(&b, "abc"), MESSAGES, 0) != MESSAGES ||
        b.msg[2].msg_len != 1)
        abort();
}

static void recvmmsg_waits_for_every_message(void **state)
{
    (void)state;
    int fd[2];
    struct bytes b;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
    struct mmsghdr *m = make_messages(&b, "   ");
    meanwhile(send_three, &fd[1]);
    assert_int_equal(recvmmsg(fd[0], m, MESSAGES, 0, NULL), MESSAGES);
    assert_memory_equal(b.byte, "abc", MESSAGES);
    assert_int_equal(b.msg[2].msg_len, 1);
    close_both(fd);
}

static void recvmmsg_is_content_with_less(void **state)
{
    (void)state;
    int fd[2];
    struct bytes b;
    struct timespec none = {0};
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd), 0);
    struct mmsghdr *m = make_messages(&b, "   ");
    assert_int_equal(recvmmsg(fd[0], m, MESSAGES, MSG_DONTWAIT, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(recvmmsg(fd[0], m, MESSAGES, MSG_WAITFORONE, NULL), 1);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(recvmmsg(fd[0], m, MESSAGES, 0, &none), 1); /* its time is over */
    close_both(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(recv_waits_until_bytes_come),
        both_ways(recv_takes_what_is_there),
        both_ways(recv_returns_0_at_the_end),
        both_ways(who_does_not_want_to_wait_gets_EAGAIN),
        both_ways(a_blocking_descriptor_stays_one),
        both_ways(recv_with_WAITALL_waits_for_all),
        both_ways(recv_with_WAITALL_is_content_with_less_at_the_end),
        both_ways(recv_gives_up_at_SO_RCVTIMEO),
        both_ways(recvmsg_scatters),
        both_ways(megabytes_reach_a_slow_reader),
        both_ways(sendmsg_sends_all_of_many_buffers),
        both_ways(a_sender_that_does_not_want_to_wait_sends_a_part),
        both_ways(send_gives_up_at_SO_SNDTIMEO),
        both_ways(sending_to_nobody_fails),
        both_ways(nothing_can_be_sent),
        both_ways(what_is_not_a_socket_is_refused),
        both_ways(datagrams_carry_their_sender),
        both_ways(a_descriptor_passed_along_arrives_once),
        both_ways(recvmmsg_waits_for_every_message),
        both_ways(recvmmsg_is_content_with_less),
        on_a_fiber(closing_a_socket_wakes_the_fiber_that_receives),
        on_a_fiber(cancelling_ends_a_blocked_call),
        on_a_fiber(a_hundred_pairs_of_fibers_talk_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
