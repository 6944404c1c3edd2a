/* host/libc/socket.c: accept and connect, on a fiber as on a thread. */
#include "fiber_test.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/time.h>
#include <sys/un.h>

static int listen_on_loopback(struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_addr = {htonl(INADDR_LOOPBACK)}};
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    assert_int_equal(listen(fd, 1000), 0);
    return fd;
}

static int new_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

struct client {
    struct sockaddr_in to;
    int result;
    char got;
    atomic_bool done;
};

static void call(void *arg)
{
    struct client *c = arg;
    int fd = new_socket();
    c->result = connect(fd, (struct sockaddr *)&c->to, sizeof c->to);
    if (c->result == 0 && recv(fd, &c->got, 1, 0) != 1)
        c->got = '?';
    close(fd);
    c->done = true;
}

/* ---- both sides ---- */

static void a_client_is_accepted_and_served(void **state)
{
    (void)state;
    struct client c = {0};
    struct sockaddr_in from;
    socklen_t len = sizeof from;
    int listener = listen_on_loopback(&c.to);
    meanwhile(call, &c);
    int fd = accept(listener, (struct sockaddr *)&from, &len);
    assert_true(fd >= 0);
    assert_int_equal(from.sin_family, AF_INET);
    assert_int_equal(len, sizeof from);
    write_byte(&fd);
    assert_eventually(c.done);
    assert_int_equal(c.result, 0);
    assert_int_equal(c.got, 'x');
    close(fd);
    close(listener);
}

static void many_clients_are_accepted_by_one_fiber(void **state)
{
    (void)state;
    enum { CLIENTS = 100 };
    static struct client c[CLIENTS];
    struct sockaddr_in at;
    int listener = listen_on_loopback(&at);
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = (struct client){.to = at};
        go(call, &c[i]);
    }
    for (int i = 0; i < CLIENTS; i++) {
        int fd = accept(listener, NULL, NULL);
        assert_true(fd >= 0);
        write_byte(&fd);
        close(fd);
    }
    for (int i = 0; i < CLIENTS; i++) {
        assert_eventually(c[i].done);
        assert_int_equal(c[i].got, 'x');
    }
    close(listener);
}

/* ---- accept ---- */

static void accept4_sets_the_flags_of_the_connection_only(void **state)
{
    (void)state;
    struct client c = {0};
    int listener = listen_on_loopback(&c.to);
    meanwhile(call, &c);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_false(fcntl(listener, F_GETFL) & O_NONBLOCK);
    write_byte(&fd);
    assert_eventually(c.done);
    close(fd);
    c.done = false;
    meanwhile(call, &c);
    fd = accept(listener, NULL, NULL);
    assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    write_byte(&fd);
    assert_eventually(c.done);
    close(fd);
    close(listener);
}

static void a_nonblocking_accept_does_not_wait(void **state)
{
    (void)state;
    struct sockaddr_in at;
    int listener = listen_on_loopback(&at);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    assert_true(fcntl(listener, F_GETFL) & O_NONBLOCK);
    close(listener);
}

static void accept_gives_up_at_SO_RCVTIMEO(void **state)
{
    (void)state;
    struct sockaddr_in at;
    struct timeval t = {.tv_usec = 5000};
    int listener = listen_on_loopback(&at);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    close(listener);
}

static void accept_refuses_what_does_not_listen(void **state)
{
    (void)state;
    int fd = new_socket();
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_int_equal(errno, EINVAL);
    close(fd);
    assert_int_equal(accept(fd, NULL, NULL), -1);
    assert_int_equal(errno, EBADF);
}

static void close_it(void *fd)
{
    close(*(int *)fd);
}

static void closing_a_listener_wakes_the_fiber_that_accepts(void **state)
{
    (void)state;
    struct sockaddr_in at;
    int listener = listen_on_loopback(&at);
    go(close_it, &listener);
    assert_int_equal(accept(listener, NULL, NULL), -1);
    assert_int_equal(errno, EBADF);
}

/* ---- connect ---- */

static void a_refused_connection_fails(void **state)
{
    (void)state;
    struct sockaddr_in at;
    close(listen_on_loopback(&at));
    int fd = new_socket();
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), -1);
    assert_int_equal(errno, ECONNREFUSED);
    assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    close(fd);
}

static void a_nonblocking_connect_does_not_wait(void **state)
{
    (void)state;
    struct sockaddr_in at;
    int error = -1, listener = listen_on_loopback(&at), fd = new_socket();
    socklen_t len = sizeof error;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), -1);
    assert_int_equal(errno, EINPROGRESS);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    assert_int_equal(poll(&p, 1, 30000), 1);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    assert_int_equal(error, 0);
    close(fd);
    close(listener);
}

static void connecting_twice_fails(void **state)
{
    (void)state;
    struct sockaddr_in at;
    int listener = listen_on_loopback(&at), fd = new_socket();
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), -1);
    assert_int_equal(errno, EISCONN);
    close(fd);
    close(listener);
}

/* ---- Unix sockets ---- */

static int listen_on_unix(struct sockaddr_un *at, socklen_t *len, int backlog)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *at = (struct sockaddr_un){.sun_family = AF_UNIX};
    *len = sizeof *at;
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof(sa_family_t)),
                     0); /* any free name */
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, len), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

static void accept_one(void *listener)
{
    int fd = accept(*(int *)listener, NULL, NULL);
    close(fd);
}

static void a_unix_socket_whose_queue_is_full_is_waited_for(void **state)
{
    (void)state;
    struct sockaddr_un at;
    socklen_t len;
    int listener = listen_on_unix(&at, &len, 0), fd[2];
    fd[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fd[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd[0], (struct sockaddr *)&at, len), 0);
    meanwhile(accept_one, &listener);
    assert_int_equal(connect(fd[1], (struct sockaddr *)&at, len), 0);
    close_both(fd);
    close(listener);
}

static void a_unix_socket_that_nobody_listens_on_refuses(void **state)
{
    (void)state;
    struct sockaddr_un at;
    socklen_t len;
    close(listen_on_unix(&at, &len, 5));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), -1);
    assert_int_equal(errno, ECONNREFUSED);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(a_client_is_accepted_and_served),
        on_a_fiber(many_clients_are_accepted_by_one_fiber),
        both_ways(accept4_sets_the_flags_of_the_connection_only),
        both_ways(a_nonblocking_accept_does_not_wait),
        both_ways(accept_gives_up_at_SO_RCVTIMEO),
        both_ways(accept_refuses_what_does_not_listen),
        on_a_fiber(closing_a_listener_wakes_the_fiber_that_accepts),
        both_ways(a_refused_connection_fails),
        both_ways(a_nonblocking_connect_does_not_wait),
        both_ways(connecting_twice_fails),
        both_ways(a_unix_socket_whose_queue_is_full_is_waited_for),
        both_ways(a_unix_socket_that_nobody_listens_on_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
