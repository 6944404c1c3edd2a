/* host/http/request.c and response.c: bodies that come, heads and bodies that go. */
#include "wire_test.h"

#include "log.h"

enum { BIG = 8 * 1024 * 1024 };

static struct connection c;
static struct gn_request r;

static void begin(const char *text)
{
    connect_to(&c, &usual);
    say(&c, text);
    assert_true(next_request(&c, &r));
}

static void finish(void)
{
    gn_request_end(&r);
    disconnect(&c);
}

/* ---- heads ---- */

static void headers_are_found_without_regard_to_case(void **state)
{
    (void)state;
    begin("GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-One: 1\r\nx-two:  2 \r\nX-ONE: "
          "other\r\n\r\n");
    assert_string_equal(r.head->query, "b=c");
    assert_string_equal(gn_request_header(&r, "x-one"), "1");
    assert_string_equal(gn_request_header(&r, "X-Two"), "2");
    assert_null(gn_request_header(&r, "x-three"));
    finish();
}

/* ---- bodies ---- */

#define POST "POST /a HTTP/1.1\r\nHost: h\r\n"

/* Reads to the end; returns it as text, or NULL and the error in *error. */
static const char *read_all(ssize_t *error)
{
    static char body[MAX_BODY + 4096];
    size_t n = 0;
    ssize_t got;
    while ((got = gn_request_read(&r, body + n, 1000)) > 0)
        n += (size_t)got;
    body[n] = '\0';
    *error = got;
    return got < 0 ? NULL : body;
}

static void assert_body(const char *expected)
{
    ssize_t error;
    const char *body = read_all(&error);
    assert_int_equal(error, 0);
    assert_string_equal(body, expected);
    assert_true(r.body_done);
    assert_int_equal(r.received, strlen(expected));
}

static void a_request_without_a_body_has_read_it(void **state)
{
    (void)state;
    const char *const texts[] = {"GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
                                 POST "Content-Length: 0\r\n\r\n"};
    for (size_t i = 0; i < LENGTH(texts); i++) {
        begin(texts[i]);
        assert_true(r.body_done);
        assert_body("");
        finish();
    }
}

static void say_more(void *text)
{
    say(&c, text);
}

static void a_body_of_known_length_ends_there(void **state)
{
    (void)state;
    begin(POST "Content-Length: 11\r\n\r\nhello");
    go(say_more, " worldGET /b");
    assert_body("hello world");
    assert_int_equal(gn_respond(&r, 200, "", 0, "", 0), 0);
    gn_request_end(&r);
    go(say_more, " HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(next_request(&c, &r)); /* what followed was not touched */
    assert_string_equal(r.head->target, "/b");
    finish();
}

static void say_byte_by_byte(void *text)
{
    for (const char *p = text; *p; p++) {
        assert_int_equal(send(c.peer, p, 1, 0), 1);
        gn_yield();
        gn_yield();
    }
}

static void a_chunked_body_is_decoded(void **state)
{
    (void)state;
    static char chunks[] = "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nT: v\r\n\r\nGET /b "
                           "HTTP/1.1\r\nHost: h\r\n\r\n";
    begin(POST "Transfer-Encoding: chunked\r\n\r\n");
    go(say_byte_by_byte, chunks);
    assert_body("hello world");
    assert_int_equal(gn_respond(&r, 200, "", 0, "", 0), 0);
    gn_request_end(&r);
    assert_true(next_request(&c, &r));
    assert_string_equal(r.head->target, "/b");
    finish();
    begin(POST
          "Transfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n"); /* in one piece */
    assert_body("all");
    finish();
}

static void a_body_beyond_the_limit_is_refused(void **state)
{
    (void)state;
    ssize_t error;
    begin(POST "Content-Length: 11\r\n\r\nhello world");
    r.max_body = 10;
    assert_null(read_all(&error));
    assert_int_equal(error, -EFBIG);
    finish();
    begin(POST "Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n");
    r.max_body = 10;
    assert_null(read_all(&error));
    assert_int_equal(error, -EFBIG);
    finish();
}

static void a_body_that_breaks_off_is_an_error_that_stays(void **state)
{
    (void)state;
    ssize_t error;
    const char *const texts[] = {POST "Content-Length: 11\r\n\r\nhello",
                                 POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"};
    for (size_t i = 0; i < LENGTH(texts); i++) {
        begin(texts[i]);
        hang_up(&c);
        assert_null(read_all(&error));
        assert_int_equal(error, -EPIPE);
        assert_null(read_all(&error));
        assert_int_equal(error, -EPIPE);
        assert_false(gn_request_may_keep(&r));
        finish();
    }
}

static void broken_chunks_are_told(void **state)
{
    (void)state;
    ssize_t error;
    begin(POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX");
    assert_null(read_all(&error));
    assert_int_equal(error, -EBADMSG);
    assert_false(gn_request_may_keep(&r));
    finish();
}

static void a_body_that_comes_too_slowly_is_given_up(void **state)
{
    (void)state;
    char buf[10];
    begin(POST "Content-Length: 11\r\n\r\nhello");
    assert_int_equal(gn_request_read(&r, buf, 5), 5);
    r.body_waited = 100 * GN_SECOND;
    assert_int_equal(gn_request_read(&r, buf, 5), -ETIMEDOUT);
    finish();
}

static void cancel(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
}

static void a_cancelled_handler_reads_no_more(void **state)
{
    (void)state;
    char buf[10];
    begin(POST "Content-Length: 11\r\n\r\n");
    go(cancel, gn_fiber_self());
    assert_int_equal(gn_request_read(&r, buf, 5), -ECANCELED);
    finish();
}

/* ---- 100 Continue ---- */

#define EXPECT "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"

static void who_expects_it_is_told_to_continue_once(void **state)
{
    (void)state;
    begin(POST EXPECT);
    assert_string_equal(heard(&c), ""); /* not before the body is asked for */
    go(say_more, "ok");
    assert_body("ok");
    assert_string_equal(heard(&c), "HTTP/1.1 100 Continue\r\n\r\n");
    finish();
}

static void who_does_not_need_it_is_not_told_to_continue(void **state)
{
    (void)state;
    begin(POST EXPECT "ok"); /* did not wait for it */
    assert_body("ok");
    assert_string_equal(heard(&c), "");
    finish();
    begin("POST /a HTTP/1.0\r\n" EXPECT); /* HTTP/1.0 has no such thing */
    go(say_more, "ok");
    assert_body("ok");
    assert_string_equal(heard(&c), "");
    finish();
}

/* ---- what is left of a body ---- */

static void a_short_rest_is_read_for_the_next_request(void **state)
{
    (void)state;
    begin(POST "Content-Length: 11\r\n\r\nhello");
    assert_true(gn_request_may_keep(&r));
    assert_int_equal(gn_respond(&r, 200, "", 0, "", 0), 0);
    go(say_more, " worldGET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    gn_request_end(&r);
    assert_true(next_request(&c, &r));
    assert_string_equal(r.head->target, "/b");
    finish();
}

static void a_long_or_unknown_rest_costs_the_connection(void **state)
{
    (void)state;
    const char *const texts[] = {POST "Content-Length: 10000000\r\n\r\nhello",
                                 POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
                                 POST EXPECT};
    for (size_t i = 0; i < LENGTH(texts); i++) {
        begin(texts[i]);
        assert_int_equal(gn_respond(&r, 200, "", 0, "", 0), 0);
        assert_non_null(strstr(heard(&c), "\r\nConnection: close\r\n"));
        hang_up(&c);
        gn_request_end(&r);
        assert_false(next_request(&c, &r));
        disconnect(&c);
    }
}

/* ---- whole answers ---- */

#define HEAD "Content-Type: text/plain\r\n"

static void each_answer_has_the_head_that_it_needs(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int status;
        const char *answer; /* without the Date */
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 200,
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" HEAD "\r\nhello"},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 404,
         "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 5\r\n" HEAD
         "\r\nhello"},
        {"GET / HTTP/1.0\r\n\r\n", 200,
         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n" HEAD
         "\r\nhello"},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200,
         "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n" HEAD
         "\r\nhello"},
        {"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", 200,
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" HEAD "\r\n"},
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 204,
         "HTTP/1.1 204 No Content\r\n" HEAD "\r\n"},
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 304,
         "HTTP/1.1 304 Not Modified\r\n" HEAD "\r\n"},
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 599,
         "HTTP/1.1 599 Unknown\r\nContent-Length: 5\r\n" HEAD "\r\nhello"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        begin(cases[i].request);
        assert_int_equal(
            gn_respond(&r, cases[i].status, HEAD, strlen(HEAD), "hello", 5), 0);
        assert_int_equal(r.progress, GN_ANSWERED);
        assert_int_equal(r.status, cases[i].status);
        assert_string_equal(without_date(heard(&c)), cases[i].answer);
        finish();
    }
}

static void bodies_of_every_size_arrive_whole(void **state)
{
    (void)state;
    static char body[50000];
    memset(body, 'b', sizeof body);
    for (size_t n = 3900; n < sizeof body; n += n < 4200 ? 1 : 9999) {
        begin("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(gn_respond(&r, 200, HEAD, strlen(HEAD), body, n), 0);
        const char *text = heard(&c), *end = strstr(text, "\r\n\r\n");
        assert_non_null(end);
        assert_int_equal(strspn(end + 4, "b"), n);
        assert_int_equal(strlen(end + 4), n);
        finish();
    }
}

static void errors_say_what_they_mean(void **state)
{
    (void)state;
    begin("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(gn_respond_error(&r, 413, "Too much of it."), 0);
    const char *text = heard(&c);
    assert_non_null(strstr(text, "HTTP/1.1 413 Content Too Large\r\n"));
    assert_non_null(strstr(text, "\r\n\r\n413 Content Too Large\nToo much of it.\n"));
    finish();
    begin("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(gn_respond_error(&r, 500, NULL), 0);
    assert_non_null(strstr(heard(&c), "\r\n\r\n500 Internal Server Error\n"));
    finish();
}

static void an_answer_to_nobody_fails(void **state)
{
    (void)state;
    begin("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    hang_up(&c);
    assert_int_equal(gn_respond(&r, 200, "", 0, "hello", 5), -EPIPE);
    assert_int_equal(gn_respond_write(&r, "", 0), -EPIPE);
    finish();
}

/* ---- answers in pieces ---- */

static void stream_hello_world(long long length)
{
    assert_int_equal(gn_respond_start(&r, 200, HEAD, strlen(HEAD), length), 0);
    assert_int_equal(r.progress, GN_STREAMING);
    assert_int_equal(gn_respond_write(&r, "hello", 5), 0);
    assert_int_equal(gn_respond_write(&r, "", 0), 0);
    assert_int_equal(gn_respond_write(&r, " wide old world!", 16), 0);
    assert_int_equal(gn_respond_finish(&r), 0);
    assert_int_equal(r.progress, GN_ANSWERED);
}

static void pieces_are_framed_as_version_and_length_want(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        long long length;
        const char *answer;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", -1,
         "HTTP/1.1 200 OK\r\n" HEAD "Transfer-Encoding: chunked\r\n\r\n"
         "5\r\nhello\r\n10\r\n wide old world!\r\n0\r\n\r\n",
         true},
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", 21,
         "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n" HEAD "\r\nhello wide old world!",
         true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", -1,
         "HTTP/1.1 200 OK\r\nConnection: close\r\n" HEAD "\r\nhello wide old world!",
         false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 21,
         "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 21\r\n" HEAD
         "\r\nhello wide old world!",
         true},
        {"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", -1, "HTTP/1.1 200 OK\r\n" HEAD "\r\n",
         true},
        {"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", 21,
         "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n" HEAD "\r\n", true},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        begin(cases[i].request);
        stream_hello_world(cases[i].length);
        assert_string_equal(without_date(heard(&c)), cases[i].answer);
        assert_int_equal(r.keep, cases[i].keep);
        finish();
    }
}

static void the_length_that_was_promised_must_be_kept(void **state)
{
    (void)state;
    begin("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(gn_respond_start(&r, 200, "", 0, 6), 0);
    assert_int_equal(gn_respond_write(&r, "hello", 5), 0);
    assert_int_equal(gn_respond_finish(&r), -EMSGSIZE);         /* too little */
    assert_int_equal(gn_respond_write(&r, "!!", 2), -EMSGSIZE); /* too much */
    assert_int_equal(gn_respond_write(&r, "!", 1), 0);
    assert_int_equal(gn_respond_finish(&r), 0);
    assert_string_equal(strstr(heard(&c), "\r\n\r\n"), "\r\n\r\nhello!");
    finish();
}

static void a_head_leaves_with_the_first_piece(void **state)
{
    (void)state;
    begin("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(gn_respond_start(&r, 200, "", 0, -1), 0);
    assert_string_equal(heard(&c), "");
    assert_int_equal(gn_respond_write(&r, "hello", 5), 0);
    assert_non_null(strstr(heard(&c), "\r\n\r\n5\r\nhello\r\n"));
    assert_false(gn_respond_retract(&r));
    assert_int_equal(gn_respond_finish(&r), 0);
    finish();
}

static void a_head_leaves_when_the_worker_waits(void **state)
{
    (void)state;
    begin("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(gn_respond_start(&r, 200, "", 0, -1), 0);
    gn_sleep_until(gn_after_ms(1));
    assert_non_null(strstr(heard(&c), "chunked\r\n\r\n"));
    assert_false(gn_respond_retract(&r));
    gn_respond_cut(&r);
    assert_false(r.keep);
    finish();
}

static void a_head_that_has_not_left_is_retracted(void **state)
{
    (void)state;
    begin("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_false(gn_respond_retract(&r));
    assert_int_equal(gn_respond_start(&r, 200, "", 0, -1), 0);
    assert_true(gn_respond_retract(&r));
    assert_int_equal(gn_respond_error(&r, 500, NULL), 0);
    assert_int_equal(strncmp(heard(&c), "HTTP/1.1 500 ", 13), 0);
    assert_true(r.keep);
    finish();
}

static void who_expects_it_is_told_to_continue_before_a_started_answer(void **state)
{
    (void)state;
    begin(POST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(gn_respond_start(&r, 200, "", 0, -1), 0);
    assert_int_equal(gn_respond_write(&r, "x", 1), 0);
    const char *text = heard(&c);
    assert_int_equal(strncmp(text, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ", 38),
                     0);
    assert_null(strstr(text, "Connection: close"));
    say(&c, "hello");
    assert_body("hello");
    assert_int_equal(gn_respond_finish(&r), 0);
    assert_true(r.keep);
    finish();
}

/* ---- calls of other fibers ---- */

static ssize_t guest_result;

static void read_as_a_guest(void *unused)
{
    (void)unused;
    char buf[10];
    guest_result = gn_request_read(&r, buf, sizeof buf);
}

static void write_as_a_guest(void *data)
{
    guest_result = gn_respond_write(&r, data, BIG);
}

static void a_body_has_one_reader_at_a_time(void **state)
{
    (void)state;
    char buf[10];
    guest_result = 0;
    begin(POST "Content-Length: 5\r\n\r\n");
    go(read_as_a_guest, NULL);
    gn_yield();
    assert_int_equal(gn_request_read(&r, buf, sizeof buf), -EBUSY);
    say(&c, "hello");
    assert_eventually(guest_result == 5);
    assert_true(r.body_done);
    finish();
}

static void the_end_of_a_request_interrupts_who_reads_it(void **state)
{
    (void)state;
    guest_result = 0;
    begin(POST "Content-Length: 500000\r\n\r\n");
    go(read_as_a_guest, NULL);
    gn_yield();
    gn_respond_error(&r, 404, NULL);
    gn_request_end(&r);
    assert_int_equal(guest_result, -ECANCELED);
    disconnect(&c);
}

static void the_end_of_a_request_interrupts_who_writes_it(void **state)
{
    (void)state;
    char *data = calloc(1, BIG);
    guest_result = 0;
    begin("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(gn_respond_start(&r, 200, "", 0, -1), 0);
    go(write_as_a_guest, data);
    gn_yield();
    gn_respond_cut(&r);
    gn_request_end(&r);
    assert_int_equal(guest_result, -ECANCELED);
    assert_true(c.wire->broken);
    disconnect(&c);
    free(data);
}

static void a_call_after_the_end_is_refused(void **state)
{
    (void)state;
    guest_result = 0;
    begin("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    gn_respond_error(&r, 404, NULL);
    r.over = true;
    go(read_as_a_guest, NULL);
    gn_yield();
    assert_int_equal(guest_result, -ECANCELED);
    finish();
}

/* ---- reasons ---- */

static void every_status_has_a_reason(void **state)
{
    (void)state;
    assert_string_equal(gn_reason(200), "OK");
    assert_string_equal(gn_reason(418), "I'm a teapot");
    assert_string_equal(gn_reason(511), "Network Authentication Required");
    assert_string_equal(gn_reason(299), "Unknown");
    assert_string_equal(gn_reason(-1), "Unknown");
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
        on_a_fiber(headers_are_found_without_regard_to_case),
        on_a_fiber(a_request_without_a_body_has_read_it),
        on_a_fiber(a_body_of_known_length_ends_there),
        on_a_fiber(a_chunked_body_is_decoded),
        on_a_fiber(a_body_beyond_the_limit_is_refused),
        on_a_fiber(a_body_that_breaks_off_is_an_error_that_stays),
        on_a_fiber(broken_chunks_are_told),
        on_a_fiber(a_body_that_comes_too_slowly_is_given_up),
        on_a_fiber(a_cancelled_handler_reads_no_more),
        on_a_fiber(who_expects_it_is_told_to_continue_once),
        on_a_fiber(who_does_not_need_it_is_not_told_to_continue),
        on_a_fiber(a_short_rest_is_read_for_the_next_request),
        on_a_fiber(a_long_or_unknown_rest_costs_the_connection),
        on_a_fiber(each_answer_has_the_head_that_it_needs),
        on_a_fiber(bodies_of_every_size_arrive_whole),
        on_a_fiber(errors_say_what_they_mean),
        on_a_fiber(an_answer_to_nobody_fails),
        on_a_fiber(pieces_are_framed_as_version_and_length_want),
        on_a_fiber(the_length_that_was_promised_must_be_kept),
        on_a_fiber(a_head_leaves_with_the_first_piece),
        on_a_fiber(a_head_leaves_when_the_worker_waits),
        on_a_fiber(a_head_that_has_not_left_is_retracted),
        on_a_fiber(who_expects_it_is_told_to_continue_before_a_started_answer),
        on_a_fiber(a_body_has_one_reader_at_a_time),
        on_a_fiber(the_end_of_a_request_interrupts_who_reads_it),
        on_a_fiber(the_end_of_a_request_interrupts_who_writes_it),
        on_a_fiber(a_call_after_the_end_is_refused),
        cmocka_unit_test(every_status_has_a_reason),
    };
    return cmocka_run_group_tests(tests, be_quiet, NULL);
}
