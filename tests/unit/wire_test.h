/* What the tests of the HTTP layer share: one connection over a socketpair, and a
 * worker that reads requests off it as civetweb would. */
#ifndef GN_WIRE_TEST_H
#define GN_WIRE_TEST_H

#include "fiber_test.h"

#include "http/request.h"
#include "http/wire.h"

#include <poll.h>

enum { MAX_BODY = 1 << 20 };

struct connection {
    struct gn_wires wires;
    struct gn_wire *wire;
    int fd;   /* of the wire: what civetweb holds */
    int peer; /* the client's end */
};

static const struct gn_wire_options usual = {
    .limits = {.head = 8192, .target = 4096, .headers = 100},
    .head_timeout = 30 * GN_SECOND,
    .keep_alive = 30 * GN_SECOND,
};

static inline void connect_to(struct connection *c,
                              const struct gn_wire_options *options)
{
    int fd[2];
    struct sockaddr_storage at = {.ss_family = AF_UNIX};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    gn_wires_init(&c->wires, gn_sched_self(), options);
    c->wire = gn_wire_open(&c->wires, fd[0], &at, NULL);
    assert_non_null(c->wire);
    c->fd = fd[0];
    c->peer = fd[1];
}

static inline void hang_up(struct connection *c)
{
    if (c->peer >= 0)
        close(c->peer);
    c->peer = -1;
}

/* Closes what is still open on both sides. */
static inline void disconnect(struct connection *c)
{
    hang_up(c);
    if (c->wires.count > 0)
        close(c->fd);
    assert_int_equal(c->wires.count, 0);
    gn_wires_term(&c->wires);
}

static inline void say(struct connection *c, const char *text)
{
    assert_int_equal(send(c->peer, text, strlen(text), 0), strlen(text));
}

/* What has reached the client so far; good until the next call. */
static inline const char *heard(struct connection *c)
{
    static char text[64 * 1024];
    ssize_t n = recv(c->peer, text, sizeof text - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* Reads the next request as civetweb does: poll, then recv. False at the end. */
static inline bool next_request(struct connection *c, struct gn_request *r)
{
    char line[64];
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 1000), 1);
    assert_int_equal(p.revents, POLLIN);
    ssize_t n = recv(c->fd, line, sizeof line, 0);
    if (n == 0)
        return false;
    assert_true(n > 4 && memcmp(line + n - 4, "\r\n\r\n", 4) == 0);
    gn_request_begin(r, c->wire, MAX_BODY);
    return true;
}

/* Takes the Date out of an answer, which must have one. */
static inline char *without_date(const char *answer)
{
    static char text[64 * 1024];
    const char *date = strstr(answer, "\r\nDate: ");
    if (!date)
        fail_msg("no Date in: %s", answer);
    const char *rest = strstr(date + 2, "\r\n");
    assert_non_null(rest);
    assert_string_equal(rest - 4, strstr(rest - 4, " GMT") ? rest - 4 : "GMT");
    memcpy(text, answer, (size_t)(date - answer));
    strcpy(text + (date - answer), rest);
    return text;
}

#endif
