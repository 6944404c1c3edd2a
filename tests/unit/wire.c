/* host/http/wire.c and intake.c: requests come off the wire, answers go out, wires end.
 */
#include "wire_test.h"

#include "log.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define GET "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"

enum { BIG = 4 << 20 };

static struct connection c;
static struct gn_request r;

static void answer(const char *body)
{
    assert_int_equal(gn_respond(&r, 200, "", 0, body, strlen(body)), 0);
    gn_request_end(&r);
}

/* ---- requests come ---- */

static void a_request_is_told_when_all_of_its_head_has_come(void **state)
{
    (void)state;
    connect_to(&c, &usual);
    say(&c, GET);
    assert_true(next_request(&c, &r));
    assert_string_equal(r.head->target, "/a");
    assert_ptr_equal(gn_wire_self(), c.wire);
    answer("hello");
    assert_non_null(strstr(heard(&c), "\r\n\r\nhello"));
    disconnect(&c);
}

static void readable_means_that_recv_gives_bytes_or_the_end(void **state)
{
    (void)state;
    char line[64], again[64];
    struct pollfd p = {.events = POLLIN};
    connect_to(&c, &usual);
    p.fd = c.fd;
    say(&c, GET);
    assert_int_equal(poll(&p, 1, -1), 1);
    assert_int_equal(recv(c.fd, line, 4, MSG_PEEK), 4);
    assert_int_equal(recv(c.fd, again, 4, 0), 4);
    assert_memory_equal(line, again, 4);
    assert_int_equal(poll(&p, 1, -1), 1); /* there is more */
    assert_true(recv(c.fd, line, sizeof line, 0) > 4);
    gn_request_begin(&r, c.wire, MAX_BODY);
    answer("");
    shutdown(c.peer, SHUT_WR);
    assert_int_equal(poll(&p, 1, -1), 1);
    assert_int_equal(recv(c.fd, line, sizeof line, 0), 0);
    assert_int_equal(recv(c.fd, line, sizeof line, 0), 0);
    disconnect(&c);
}

static void say_byte_by_byte(void *text)
{
    for (const char *p = text; *p; p++) {
        assert_int_equal(send(c.peer, p, 1, 0), 1);
        gn_yield();
        gn_yield();
    }
}

static void a_head_may_come_byte_by_byte(void **state)
{
    (void)state;
    connect_to(&c, &usual);
    go(say_byte_by_byte, GET);
    assert_true(next_request(&c, &r));
    assert_string_equal(r.head->target, "/a");
    answer("");
    disconnect(&c);
}

static void requests_that_come_together_are_answered_in_turn(void **state)
{
    (void)state;
    connect_to(&c, &usual);
    say(&c, GET "GET /b HTTP/1.1\r\nHost: h\r\n\r\nGET /c HT");
    assert_true(next_request(&c, &r));
    answer("first");
    assert_true(next_request(&c, &r));
    assert_string_equal(r.head->target, "/b");
    answer("second");
    go(say_byte_by_byte, "TP/1.1\r\nHost: h\r\n\r\n");
    assert_true(next_request(&c, &r)); /* what was held back went out before the wait */
    assert_string_equal(r.head->target, "/c");
    const char *text = heard(&c), *first = strstr(text, "first");
    assert_non_null(first);
    assert_non_null(strstr(first, "second"));
    answer("third");
    assert_non_null(strstr(heard(&c), "third"));
    disconnect(&c);
}

static void an_idle_wire_holds_no_buffer(void **state)
{
    (void)state;
    connect_to(&c, &usual);
    assert_null(c.wire->in);
    say(&c, GET);
    assert_true(next_request(&c, &r));
    assert_non_null(c.wire->in);
    answer("");
    assert_null(c.wire->in);
    assert_null(c.wire->head);
    assert_int_equal(c.wires.spare_count, 1);
    disconnect(&c);
}

static void civetweb_is_told_a_stand_in_for_addresses(void **state)
{
    (void)state;
    struct sockaddr_in at = {0};
    socklen_t len = sizeof at;
    connect_to(&c, &usual);
    assert_int_equal(getsockname(c.fd, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(at.sin_family, AF_INET);
    assert_int_equal(at.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    assert_int_equal(send(c.fd, "HTTP/1.1 500", 12, 0), 12); /* it has no say */
    assert_string_equal(heard(&c), "");
    disconnect(&c);
}

/* ---- the end of a stream ---- */

static void the_end_comes_where_the_client_leaves(void **state)
{
    (void)state;
    const char *const said[] = {"", "GET /a HT", "\r\n"};
    for (size_t i = 0; i < LENGTH(said); i++) {
        connect_to(&c, &usual);
        say(&c, said[i]);
        hang_up(&c);
        assert_false(next_request(&c, &r));
        disconnect(&c);
    }
}

static void a_connection_that_idles_too_long_ends_without_a_word(void **state)
{
    (void)state;
    struct gn_wire_options brief = usual;
    brief.keep_alive = 3 * GN_MS;
    connect_to(&c, &brief);
    assert_false(next_request(&c, &r));
    assert_string_equal(heard(&c), "");
    disconnect(&c);
}

static void a_head_that_takes_too_long_is_refused(void **state)
{
    (void)state;
    struct gn_wire_options brief = usual;
    brief.head_timeout = 3 * GN_MS;
    connect_to(&c, &brief);
    say(&c, "GET /a HTTP/1.1\r\n");
    assert_false(next_request(&c, &r));
    assert_memory_equal(heard(&c), "HTTP/1.1 408 ", 13);
    disconnect(&c);
}

static void what_is_no_request_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *said, *answered;
    } cases[] = {
        {"hello\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/2.0\r\n", "HTTP/1.1 505 "},
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        connect_to(&c, &usual);
        say(&c, cases[i].said);
        assert_false(next_request(&c, &r));
        const char *text = heard(&c);
        assert_memory_equal(text, cases[i].answered, strlen(cases[i].answered));
        assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
        disconnect(&c);
    }
}

static void a_head_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    char head[10000] = "GET /a HTTP/1.1\r\nX: ";
    connect_to(&c, &usual);
    memset(head + strlen(head), 'x', sizeof head - strlen(head) - 1);
    say(&c, head);
    assert_false(next_request(&c, &r));
    assert_memory_equal(heard(&c), "HTTP/1.1 431 ", 13);
    disconnect(&c);
}

/* ---- answers go ---- */

struct slow {
    size_t got;
    bool right, done;
};

static void read_slowly(void *arg)
{
    struct slow *s = arg;
    char *expected = malloc(BIG), buf[20000];
    ssize_t n;
    fill_pattern(expected, BIG);
    s->right = true;
    for (int i = 1; s->got < BIG && (n = recv(c.peer, buf, sizeof buf, 0)) > 0; i++) {
        s->right &=
            s->got + (size_t)n <= BIG && memcmp(expected + s->got, buf, (size_t)n) == 0;
        s->got += (size_t)n;
        if (i % 20 == 0)
            usleep(200);
    }
    free(expected);
    s->done = true;
}

static void megabytes_reach_a_slow_reader(void **state)
{
    (void)state;
    char *data = malloc(BIG);
    struct slow s = {0};
    fill_pattern(data, BIG);
    connect_to(&c, &usual);
    struct iovec parts[] = {{data, 1},
                            {data + 1, 0},
                            {data + 1, BIG / 2},
                            {data + 1 + BIG / 2, BIG / 2 - 1}};
    go(read_slowly, &s);
    assert_int_equal(gn_wire_send(c.wire, parts, 4), 0);
    assert_eventually(s.done);
    assert_true(s.right);
    assert_int_equal(s.got, BIG);
    disconnect(&c);
    free(data);
}

static void a_peer_that_has_left_breaks_the_wire(void **state)
{
    (void)state;
    char data[1000] = {0};
    connect_to(&c, &usual);
    hang_up(&c);
    assert_int_equal(gn_wire_send(c.wire, &(struct iovec){data, sizeof data}, 1),
                     -EPIPE);
    assert_true(c.wire->broken);
    assert_int_equal(gn_wire_send(c.wire, &(struct iovec){data, 1}, 1), -EPIPE);
    assert_false(next_request(&c, &r));
    disconnect(&c);
}

static void leave(void *unused)
{
    (void)unused;
    hang_up(&c);
}

static void a_peer_that_leaves_ends_the_wait_for_it(void **state)
{
    (void)state;
    char *data = calloc(1, BIG);
    connect_to(&c, &usual);
    go(leave, NULL);
    assert_int_equal(gn_wire_send(c.wire, &(struct iovec){data, BIG}, 1), -EPIPE);
    disconnect(&c);
    free(data);
}

/* As if the write had begun long ago. */
static void a_peer_that_takes_nothing_is_given_up(void **state)
{
    (void)state;
    char *data = calloc(1, BIG);
    connect_to(&c, &usual);
    gn_sched_self()->now -= 1000 * GN_SECOND;
    assert_int_equal(gn_wire_send(c.wire, &(struct iovec){data, BIG}, 1), -ETIMEDOUT);
    assert_true(c.wire->broken);
    disconnect(&c);
    free(data);
}

static void what_is_held_goes_before_what_follows_and_before_a_wait(void **state)
{
    (void)state;
    connect_to(&c, &usual);
    say(&c, GET);
    assert_true(next_request(&c, &r));
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"one ", 4}, 1), 0);
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"two ", 4}, 1), 0);
    assert_string_equal(heard(&c), "");
    assert_int_equal(gn_wire_send(c.wire, &(struct iovec){"three", 5}, 1), 0);
    assert_string_equal(heard(&c), "one two three");
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"four", 4}, 1), 0);
    gn_yield();
    assert_string_equal(heard(&c), "four");
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"five", 4}, 1), 0);
    gn_sleep_until(gn_after_ms(1));
    assert_string_equal(heard(&c), "five");
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"six", 3}, 1), 0);
    assert_int_equal(gn_wire_flush(c.wire), 0);
    assert_string_equal(heard(&c), "six");
    gn_request_end(&r);
    disconnect(&c);
}

static void much_is_not_held(void **state)
{
    (void)state;
    static char data[20000];
    memset(data, 'x', sizeof data);
    connect_to(&c, &usual);
    say(&c, GET);
    assert_true(next_request(&c, &r));
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"a", 1}, 1), 0);
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){data, sizeof data}, 1), 0);
    assert_int_equal(strlen(heard(&c)), sizeof data + 1);
    gn_request_end(&r);
    disconnect(&c);
}

/* ---- several senders ---- */

enum { PIECE = 300 * 1000, PIECES = 5 };

struct sender {
    char letter;
    int result;
    int count; /* pieces that have gone */
};

static void send_pieces(void *arg)
{
    struct sender *s = arg;
    char *data = malloc(PIECE);
    memset(data, s->letter, PIECE);
    for (int i = 0; i < PIECES && s->result == 0; i++) {
        s->result = gn_wire_send(c.wire, &(struct iovec){data, PIECE}, 1);
        s->count += s->result == 0;
    }
    free(data);
}

/* Reads whole pieces of one letter each until `total` have come. */
static void expect_pieces(int total)
{
    static char text[PIECE];
    for (int i = 0; i < total; i++) {
        for (size_t n = 0; n < PIECE;) {
            ssize_t got = recv(c.peer, text + n, PIECE - n, 0);
            assert_true(got > 0);
            n += (size_t)got;
        }
        for (size_t k = 1; k < PIECE; k++)
            assert_int_equal(text[k], text[0]);
    }
}

static void fibers_that_send_at_once_take_turns(void **state)
{
    (void)state;
    struct sender senders[] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}};
    connect_to(&c, &usual);
    for (size_t i = 0; i < LENGTH(senders); i++)
        go(send_pieces, &senders[i]);
    gn_yield();
    expect_pieces(3 * PIECES);
    for (size_t i = 0; i < LENGTH(senders); i++)
        assert_eventually(senders[i].count == PIECES);
    disconnect(&c);
}

static void who_is_cancelled_in_the_queue_leaves_the_wire_sound(void **state)
{
    (void)state;
    struct sender senders[] = {{.letter = 'a'}, {.letter = 'b'}, {.letter = 'c'}};
    connect_to(&c, &usual);
    go(send_pieces, &senders[0]);
    struct gn_fiber *second = go(send_pieces, &senders[1]);
    go(send_pieces, &senders[2]);
    gn_yield();
    gn_cancel(second, -ECANCELED);
    assert_eventually(senders[1].result == -ECANCELED);
    assert_false(c.wire->broken);
    expect_pieces(2 * PIECES);
    assert_eventually(senders[0].count == PIECES && senders[2].count == PIECES);
    assert_int_equal(senders[1].count, 0);
    disconnect(&c);
}

/* ---- holding back ---- */

static ssize_t push(char *data, size_t n)
{
    return gn_wire_push(c.wire, &(struct iovec){data, n}, 1);
}

static void drain_peer(void *wanted)
{
    static char text[64 * 1024];
    size_t *left = wanted;
    while (*left > 0) {
        ssize_t n = recv(c.peer, text, sizeof text, 0);
        assert_true(n > 0);
        *left -= (size_t)n;
    }
}

/* The wait itself is for something else, and is told of nothing. */
static void what_is_held_leaves_while_the_worker_waits_for_something_else(void **state)
{
    (void)state;
    static char data[64 * 1024];
    size_t filled = 0;
    connect_to(&c, &usual);
    say(&c, GET);
    assert_true(next_request(&c, &r));
    for (ssize_t n; (n = push(data, sizeof data)) > 0;)
        filled += (size_t)n;
    assert_false(c.wire->writable);
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"held", 4}, 1), 0);
    filled += 4;
    go(drain_peer, &filled);
    assert_int_equal(gn_park(gn_after_ms(20)), -ETIMEDOUT);
    assert_eventually(filled == 0);
    assert_null(c.wire->held);
    gn_request_end(&r);
    disconnect(&c);
}

static void what_is_held_can_be_taken_back(void **state)
{
    (void)state;
    connect_to(&c, &usual);
    say(&c, GET);
    assert_true(next_request(&c, &r));
    assert_false(gn_wire_take_back(c.wire, gn_wire_held(c.wire)));
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"one", 3}, 1), 0);
    size_t mark = gn_wire_held(c.wire);
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"two", 3}, 1), 0);
    assert_true(gn_wire_take_back(c.wire, mark));
    assert_int_equal(gn_wire_flush(c.wire), 0);
    assert_string_equal(heard(&c), "one");
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"six", 3}, 1), 0);
    assert_true(gn_wire_take_back(c.wire, 0));
    assert_null(c.wire->held);
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"ten", 3}, 1), 0);
    gn_yield();
    assert_false(gn_wire_take_back(c.wire, 0));
    gn_request_end(&r);
    disconnect(&c);
}

static void hold_two(void *unused)
{
    (void)unused;
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"two", 3}, 1), 0);
}

static void only_the_worker_holds_back(void **state)
{
    (void)state;
    connect_to(&c, &usual);
    say(&c, GET);
    assert_true(next_request(&c, &r));
    go(hold_two, NULL);
    assert_int_equal(gn_wire_hold(c.wire, &(struct iovec){"one", 3}, 1), 0);
    gn_yield();
    assert_string_equal(heard(&c), "onetwo");
    gn_request_end(&r);
    disconnect(&c);
}

/* ---- draining ---- */

struct worker {
    bool served, held, ended; /* held: does not answer yet */
    struct gn_request request;
};

static void wait_for_requests(void *arg)
{
    struct worker *w = arg;
    while (next_request(&c, &w->request)) {
        w->served = true;
        while (w->held)
            gn_yield();
        gn_respond(&w->request, 200, "", 0, "done", 4);
        gn_request_end(&w->request);
    }
    close(c.fd);
    w->ended = true;
}

/* The client has had its answer, and knows that no more come. */
static void assert_answered_last(const struct worker *w)
{
    assert_true(w->ended);
    const char *text = heard(&c);
    assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(text, "done"));
    disconnect(&c);
}

static void draining_ends_an_idle_wire(void **state)
{
    (void)state;
    struct worker w = {0};
    connect_to(&c, &usual);
    go(wait_for_requests, &w);
    gn_yield();
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_wires_drain(&c.wires, gn_after(30 * GN_SECOND)), 0);
    assert_true(w.ended);
    assert_string_equal(heard(&c), "");
    disconnect(&c);
}

static void draining_answers_what_is_on_its_way(void **state)
{
    (void)state;
    struct worker w = {0};
    connect_to(&c, &usual);
    go(wait_for_requests, &w);
    gn_yield();
    gn_wires_begin_drain(&c.wires);
    say(&c, GET);
    assert_int_equal(gn_wires_drain(&c.wires, gn_after(30 * GN_SECOND)), 0);
    assert_answered_last(&w);
}

/* Whoever has been told so before the drain began may send another request. */
static void draining_keeps_what_was_promised(void **state)
{
    (void)state;
    connect_to(&c, &usual);
    say(&c, GET);
    assert_true(next_request(&c, &r));
    assert_int_equal(gn_respond_start(&r, 200, "", 0, 5), 0);
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_respond_write(&r, "first", 5), 0);
    assert_int_equal(gn_respond_finish(&r), 0);
    gn_request_end(&r);
    assert_null(strstr(heard(&c), "Connection: close"));
    say(&c, GET);
    assert_true(next_request(&c, &r));
    answer("second");
    assert_non_null(strstr(heard(&c), "Connection: close"));
    assert_false(next_request(&c, &r));
    disconnect(&c);
}

static void draining_waits_for_an_answer(void **state)
{
    (void)state;
    struct worker w = {.held = true};
    connect_to(&c, &usual);
    say(&c, GET);
    go(wait_for_requests, &w);
    assert_eventually(w.served);
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_wires_drain(&c.wires, gn_after_ms(0)), 1);
    w.held = false;
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_wires_drain(&c.wires, gn_after(30 * GN_SECOND)), 0);
    assert_answered_last(&w);
}

static void draining_lets_what_has_begun_come_to_its_end(void **state)
{
    (void)state;
    char body[16];
    connect_to(&c, &usual);
    say(&c, "POST /a HT");
    struct worker w = {0};
    go(wait_for_requests, &w);
    assert_eventually(c.wire->state == GN_WIRE_HEAD);
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_wires_drain(&c.wires, gn_after_ms(0)), 1);
    say(&c, "TP/1.1\r\nHost: h\r\n\r\n"); /* the rest of a head */
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_wires_drain(&c.wires, gn_after(30 * GN_SECOND)), 0);
    assert_non_null(strstr(heard(&c), "done"));
    disconnect(&c);
    connect_to(&c, &usual);
    say(&c, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    assert_true(next_request(&c, &r));
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_wires_drain(&c.wires, gn_after_ms(0)), 1);
    say(&c, "hello"); /* a body */
    assert_int_equal(gn_request_read(&r, body, sizeof body), 5);
    answer("");
    disconnect(&c);
}

static void wait_long(void *arg)
{
    struct worker *w = arg;
    assert_true(next_request(&c, &w->request));
    w->served = true;
    assert_int_equal(gn_sleep_until(GN_NEVER), -ECANCELED);
    gn_request_end(&w->request);
    close(c.fd);
    w->ended = true;
}

static void aborting_cancels_whoever_serves(void **state)
{
    (void)state;
    struct worker w = {0};
    connect_to(&c, &usual);
    say(&c, GET);
    go(wait_long, &w);
    assert_eventually(w.served);
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_wires_drain(&c.wires, gn_after_ms(1)), 1);
    gn_wires_abort(&c.wires);
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_wires_drain(&c.wires, gn_after(30 * GN_SECOND)), 0);
    assert_true(w.ended);
    disconnect(&c);
}

/* ---- closing ---- */

static void closing_frees_what_nobody_has_read(void **state)
{
    (void)state;
    connect_to(&c, &usual);
    say(&c, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nsome of it");
    assert_true(next_request(&c, &r));
    assert_int_equal(gn_respond(&r, 200, "", 0, "", 0), 0);
    r.keep = false;
    gn_request_end(&r);
    assert_true(c.wire->lingers);
    hang_up(&c); /* or the close would wait for the rest */
    close(c.fd);
    disconnect(&c);
}

/* A client that is still sending when the answer comes must be able to read it. */
static void send_much_then_read(void *arg)
{
    struct slow *s = arg;
    char *data = calloc(1, 1 << 20), buf[1000];
    ssize_t n;
    send(c.peer, data, 1 << 20, MSG_NOSIGNAL);
    while ((n = recv(c.peer, buf, sizeof buf, 0)) > 0)
        s->got += (size_t)n;
    s->right = n == 0 && s->got > 0; /* the end, not a reset */
    free(data);
    hang_up(&c);
    s->done = true;
}

static void closing_lets_a_sending_client_read_its_answer(void **state)
{
    (void)state;
    struct slow s = {0};
    connect_to(&c, &usual);
    say(&c, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n");
    assert_true(next_request(&c, &r));
    assert_int_equal(gn_respond_error(&r, 413, NULL), 0);
    gn_request_end(&r);
    send(c.peer, (char[50000]){0}, 50000, 0);
    go(send_much_then_read, &s);
    close(c.fd);
    assert_eventually(s.done);
    assert_true(s.right);
    disconnect(&c);
}

static int be_quiet(void **state)
{
    (void)state;
    gn_log_set_level(GN_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(a_request_is_told_when_all_of_its_head_has_come),
        on_a_fiber(readable_means_that_recv_gives_bytes_or_the_end),
        on_a_fiber(a_head_may_come_byte_by_byte),
        on_a_fiber(requests_that_come_together_are_answered_in_turn),
        on_a_fiber(an_idle_wire_holds_no_buffer),
        on_a_fiber(civetweb_is_told_a_stand_in_for_addresses),
        on_a_fiber(the_end_comes_where_the_client_leaves),
        on_a_fiber(a_connection_that_idles_too_long_ends_without_a_word),
        on_a_fiber(a_head_that_takes_too_long_is_refused),
        on_a_fiber(what_is_no_request_is_refused),
        on_a_fiber(a_head_beyond_the_limit_is_refused),
        on_a_fiber(megabytes_reach_a_slow_reader),
        on_a_fiber(a_peer_that_has_left_breaks_the_wire),
        on_a_fiber(a_peer_that_leaves_ends_the_wait_for_it),
        on_a_fiber(a_peer_that_takes_nothing_is_given_up),
        on_a_fiber(what_is_held_goes_before_what_follows_and_before_a_wait),
        on_a_fiber(much_is_not_held),
        on_a_fiber(fibers_that_send_at_once_take_turns),
        on_a_fiber(who_is_cancelled_in_the_queue_leaves_the_wire_sound),
        on_a_fiber(what_is_held_leaves_while_the_worker_waits_for_something_else),
        on_a_fiber(what_is_held_can_be_taken_back),
        on_a_fiber(only_the_worker_holds_back),
        on_a_fiber(draining_ends_an_idle_wire),
        on_a_fiber(draining_answers_what_is_on_its_way),
        on_a_fiber(draining_keeps_what_was_promised),
        on_a_fiber(draining_waits_for_an_answer),
        on_a_fiber(draining_lets_what_has_begun_come_to_its_end),
        on_a_fiber(aborting_cancels_whoever_serves),
        on_a_fiber(closing_frees_what_nobody_has_read),
        on_a_fiber(closing_lets_a_sending_client_read_its_answer),
    };
    return cmocka_run_group_tests(tests, be_quiet, NULL);
}
