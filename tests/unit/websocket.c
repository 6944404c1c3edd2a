/* host/http/websocket.c: a socket over a socketpair, whose other end the test plays. */
#include "wire_test.h"

#include "http/websocket.h"

#include <sys/ioctl.h>

#define M "\0\0\0\0"

enum { MOST = 1000, QUEUE = 64 * 1024 };

static struct connection c;
static struct gn_hub hub;
static struct gn_ws *ws;

/* ---- both ends ---- */

static void open_with(int64_t ping)
{
    connect_to(&c, &usual);
    gn_hub_init(&hub, gn_sched_self(),
                &(struct gn_hub_options){.queue = QUEUE, .ping = ping});
    c.wire->state = GN_WIRE_BUSY;
    c.wire->worker = gn_fiber_self();
    assert_non_null(ws = gn_ws_new(&hub, c.wire, MOST, false));
    gn_ws_begin(ws);
}

static void open_socket(void)
{
    open_with(0);
}

static void close_socket(void)
{
    gn_ws_finish(ws, 1000);
    assert_null(c.wire->tenant);
    c.wire->lingers = false;
    disconnect(&c);
    gn_hub_term(&hub);
}

static void say_bytes(const char *bytes, size_t n)
{
    assert_int_equal(send(c.peer, bytes, n, 0), (ssize_t)n);
}

#define SAY(bytes) say_bytes(bytes, sizeof bytes - 1)

/* Lets the loop take what has come. */
static void let_it_come(void)
{
    for (int i = 0; i < 4; i++)
        gn_sleep_until(gn_after(GN_MS / 10));
}

static void expect(const char *bytes, size_t n)
{
    char got[512];
    assert_true(n < sizeof got);
    let_it_come();
    ssize_t r = recv(c.peer, got, sizeof got, MSG_DONTWAIT);
    assert_int_equal(r, n);
    assert_memory_equal(got, bytes, n);
}

#define EXPECT(bytes) expect(bytes, sizeof bytes - 1)

/* The next message, or the word for what came instead. */
static const char *taken(void)
{
    static char text[MOST + 1];
    struct gn_letter *l;
    int r = gn_ws_take(ws, gn_after(30 * GN_SECOND), &l);
    if (r < 0)
        return r == -EPIPE ? "closed" : r == -ECANCELED ? "cancelled" : "?";
    memcpy(text, l->bytes, l->length);
    text[l->length] = '\0';
    free(l);
    return text;
}

static size_t unread(void)
{
    int n;
    assert_int_equal(ioctl(c.peer, FIONREAD, &n), 0);
    return (size_t)n;
}

/* Sends until the kernel takes no more and something is queued. */
static void fill(void)
{
    static char bulk[16 * 1024];
    while (ws->out.count == 0)
        assert_int_equal(gn_ws_send(ws, GN_WS_BINARY, bulk, sizeof bulk), 0);
}

/* Queues some more, without waiting for room. */
static void fill_up(void)
{
    struct gn_frame *f = gn_frame_new(GN_WS_BINARY, (char[16 * 1024]){0}, 16 * 1024);
    while (ws->out.bytes + f->length <= QUEUE)
        assert_true(ws->subscriber.deliver(&ws->subscriber, f));
    gn_frame_unref(f);
}

/* ---- tests ---- */

static void messages_come_and_go(void **state)
{
    (void)state;
    open_socket();
    SAY("\x81\x85" M "hello\x82\x82" M "ab");
    assert_string_equal(taken(), "hello");
    assert_string_equal(taken(), "ab");
    assert_int_equal(gn_ws_send(ws, GN_WS_TEXT, "world", 5), 0);
    EXPECT("\x81\x05world");
    SAY("\x88\x82" M "\x03\xe8");
    assert_string_equal(taken(), "closed");
    assert_int_equal(ws->ending.code, 1000);
    close_socket();
}

static void what_came_with_the_handshake_counts(void **state)
{
    (void)state;
    struct gn_request r;
    static const char head[] = "GET /a HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n\r\n";
    connect_to(&c, &usual);
    gn_hub_init(&hub, gn_sched_self(), &(struct gn_hub_options){.queue = QUEUE});
    SAY("GET /a HTTP/1.1\r\nHost: h\r\nX-One: 1\r\n\r\n\x81\x82" M "ab");
    assert_true(next_request(&c, &r));
    assert_int_equal(gn_request_keep_head(&r), 0);
    assert_null(c.wire->head);
    assert_int_equal(c.wire->in->off, sizeof head - 1);
    assert_string_equal(r.head->target, "/a");
    assert_string_equal(r.head->host, "h");
    assert_string_equal(gn_request_header(&r, "x-one"), "1");
    ws = gn_ws_new(&hub, c.wire, MOST, false);
    gn_ws_begin(ws);
    assert_null(c.wire->in);
    assert_string_equal(taken(), "ab");
    hang_up(&c);
    assert_string_equal(taken(), "closed");
    gn_ws_finish(ws, 1000);
    r.keep = false;
    gn_request_end(&r);
    disconnect(&c);
    gn_hub_term(&hub);
}

static void a_ping_is_answered_while_nobody_asks_for_messages(void **state)
{
    (void)state;
    open_socket();
    SAY("\x89\x81" M "p");
    EXPECT("\x8a\x01p");
    SAY("\x01\x81" M "a\x89\x80" M);
    EXPECT("\x8a\x00");
    SAY("\x80\x81" M "b\x8a\x80" M);
    assert_string_equal(taken(), "ab");
    hang_up(&c);
    close_socket();
}

static void between_messages_it_has_no_decoder(void **state)
{
    (void)state;
    open_socket();
    assert_null(ws->decoder);
    SAY("\x81");
    let_it_come();
    assert_non_null(ws->decoder);
    SAY("\x81" M "a");
    assert_string_equal(taken(), "a");
    assert_null(ws->decoder);
    assert_int_equal(hub.spare_count, 1);
    hang_up(&c);
    close_socket();
}

static void what_has_come_is_given_before_the_end_is_told(void **state)
{
    (void)state;
    open_socket();
    SAY("\x81\x81" M "a\x81\x81" M "b\x88\x85" M "\x0f\xa1why");
    let_it_come();
    assert_string_equal(taken(), "a");
    assert_string_equal(taken(), "b");
    assert_string_equal(taken(), "closed");
    assert_int_equal(ws->ending.code, 4001);
    assert_memory_equal(ws->ending.reason, "why", ws->ending.length);
    EXPECT("\x88\x05\x0f\xa1why");
    assert_int_equal(gn_ws_send(ws, GN_WS_TEXT, "x", 1), -EPIPE);
    close_socket();
}

static void a_full_inbox_reads_no_more_until_it_is_emptied(void **state)
{
    (void)state;
    static const char message[] = "\x82\xfe\x03\xe8" M; /* of MOST bytes */
    char bulk[MOST] = {0};
    open_socket();
    for (int i = 0; i < 40; i++) {
        say_bytes(message, sizeof message - 1);
        say_bytes(bulk, sizeof bulk);
    }
    let_it_come();
    assert_true(ws->letters < 20); /* what one read brings */
    assert_true(ws->letter_bytes >= MOST);
    for (int i = 0; i < 40; i++) {
        struct gn_letter *l;
        assert_int_equal(gn_ws_take(ws, GN_NEVER, &l), 0);
        assert_int_equal(l->length, MOST);
        free(l);
    }
    SAY("\x81\x81" M "z");
    assert_string_equal(taken(), "z");
    hang_up(&c);
    close_socket();
}

static void receiving_may_be_given_up(void **state)
{
    (void)state;
    struct gn_letter *l;
    open_socket();
    assert_int_equal(gn_ws_take(ws, gn_after(GN_MS), &l), -ETIMEDOUT);
    assert_null(l);
    assert_int_equal(gn_ws_take(ws, 0, &l), -ETIMEDOUT);
    SAY("\x81\x81" M "a");
    assert_string_equal(taken(), "a");
    hang_up(&c);
    close_socket();
}

static unsigned served;

static void take_one(void *arg)
{
    struct gn_letter *l;
    (void)arg;
    assert_int_equal(gn_ws_take(ws, GN_NEVER, &l), 0);
    free(l);
    served++;
}

static void take_none(void *arg)
{
    struct gn_letter *l;
    (void)arg;
    assert_int_equal(gn_ws_take(ws, GN_NEVER, &l), -EPIPE);
    served++;
}

static void each_message_goes_to_one_of_those_who_wait(void **state)
{
    (void)state;
    served = 0;
    open_socket();
    for (int i = 0; i < 3; i++)
        go(take_one, NULL);
    gn_yield();
    SAY("\x81\x81" M "a\x81\x81" M "b\x81\x81" M "c");
    assert_eventually(served == 3);
    for (int i = 0; i < 3; i++)
        go(take_none, NULL);
    gn_yield();
    hang_up(&c);
    assert_eventually(served == 6);
    close_socket();
}

/* They are told, though the socket is gone by the time they run. */
static void who_waits_outlives_the_socket(void **state)
{
    (void)state;
    served = 0;
    open_socket();
    go(take_none, NULL);
    gn_yield();
    hang_up(&c);
    close_socket();
    assert_eventually(served == 1);
}

static void a_peer_that_vanishes_closes_with_1006(void **state)
{
    (void)state;
    open_socket();
    SAY("\x81\x81" M "a\x81");
    hang_up(&c);
    assert_string_equal(taken(), "a");
    assert_string_equal(taken(), "closed");
    assert_int_equal(ws->ending.code, 1006);
    close_socket();
}

static void an_error_is_told_to_both(void **state)
{
    (void)state;
    open_socket();
    SAY("\x81\x81" M "\xff");
    assert_string_equal(taken(), "closed");
    assert_int_equal(ws->ending.code, 1007);
    EXPECT("\x88\x0b\x03\xefnot UTF-8");
    close_socket();
}

static void a_broken_close_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        int code;
    } cases[] = {{"\x88\x81" M "x", 7, 1002},
                 {"\x88\x82" M "\x03\xe7", 8, 1002},
                 {"\x88\x82" M "\x03\xed", 8, 1002},
                 {"\x88\x83" M "\x03\xe8\xff", 9, 1007},
                 {"\x88\x80" M, 6, 1005},
                 {"\x88\x82" M "\x03\xf5", 8, 1013}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        open_socket();
        say_bytes(cases[i].bytes, cases[i].n);
        assert_string_equal(taken(), "closed");
        assert_int_equal(ws->ending.code, cases[i].code);
        close_socket();
    }
}

static void answer_close(void *arg)
{
    char frame[64];
    (void)arg;
    while (recv(c.peer, frame, sizeof frame, MSG_DONTWAIT) < 0)
        gn_sleep_until(gn_after(GN_MS));
    SAY("\x88\x82" M "\x03\xe8");
}

static void finishing_waits_for_the_answer_to_a_close(void **state)
{
    (void)state;
    open_socket();
    go(answer_close, NULL);
    gn_ws_finish(ws, 1000);
    assert_true(c.wire->lingers);
    assert_false(c.wire->broken);
    hang_up(&c);
    c.wire->lingers = false;
    disconnect(&c);
    gn_hub_term(&hub);
}

static void only_the_first_close_counts(void **state)
{
    (void)state;
    open_socket();
    gn_ws_close(ws, 4000, "one", 3);
    gn_ws_close(ws, 4001, "two", 3);
    EXPECT("\x88\x05\x0f\xa0one");
    SAY("\x81\x81" M "a\x88\x82" M "\x0f\xa5");
    assert_string_equal(taken(), "closed");
    assert_int_equal(ws->ending.code, 4000);
    close_socket();
}

static void the_host_stops(void **state)
{
    (void)state;
    open_socket();
    gn_wires_begin_drain(&c.wires);
    assert_int_equal(gn_wires_drain(&c.wires, 0), 1);
    EXPECT("\x88\x12\x03\xe9the server stops");
    assert_string_equal(taken(), "closed");
    assert_int_equal(ws->ending.code, 1001);
    hang_up(&c);
    close_socket();
}

/* ---- slow readers ---- */

static void read_all(void *arg)
{
    char bulk[4096];
    size_t *total = arg;
    ssize_t n;
    while ((n = recv(c.peer, bulk, sizeof bulk, MSG_DONTWAIT)) > 0 ||
           (n < 0 && errno == EAGAIN)) {
        if (n > 0)
            *total += (size_t)n;
        else
            gn_sleep_until(gn_after(GN_MS));
    }
}

static void a_sender_waits_for_a_slow_reader(void **state)
{
    (void)state;
    enum { EACH = 10000, COUNT = 300 };
    static char bulk[EACH];
    static size_t total;
    total = 0;
    open_socket();
    go(read_all, &total);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(gn_ws_send(ws, GN_WS_BINARY, bulk, EACH), 0);
        assert_true(ws->out.bytes <= QUEUE / 2 + EACH + 4);
    }
    assert_eventually(total == (size_t)COUNT * (EACH + 4));
    gn_ws_close(ws, 1000, "", 0);
    SAY("\x88\x80" M);
    close_socket();
}

static void a_message_may_be_larger_than_the_queue(void **state)
{
    (void)state;
    static char bulk[4 * QUEUE];
    static size_t total;
    total = 0;
    open_socket();
    assert_int_equal(gn_ws_send(ws, GN_WS_BINARY, bulk, sizeof bulk), 0);
    go(read_all, &total);
    assert_eventually(total == sizeof bulk + 10);
    gn_ws_close(ws, 1000, "", 0);
    SAY("\x88\x80" M);
    close_socket();
}

static size_t publish(size_t n)
{
    static char bulk[QUEUE];
    struct gn_frame *f = gn_frame_new(GN_WS_TEXT, bulk, n);
    size_t taken_by = gn_topics_publish(&hub.topics, "t", 1, f);
    gn_frame_unref(f);
    return taken_by;
}

static void what_is_published_arrives_once_the_publisher_waits(void **state)
{
    (void)state;
    open_socket();
    assert_int_equal(gn_topics_join(&hub.topics, &ws->subscriber, "t", 1), 1);
    assert_int_equal(publish(3), 1);
    assert_int_equal(publish(3), 1);
    assert_int_equal(unread(), 0);
    assert_int_equal(gn_ws_send(ws, GN_WS_TEXT, "own", 3), 0); /* keeps its place */
    EXPECT("\x81\x03\0\0\0\x81\x03\0\0\0\x81\x03own");
    hang_up(&c);
    close_socket();
    assert_int_equal(publish(3), 0);
}

/* Nobody has had the time to send it, which is no fault of the reader's. */
static void a_fast_reader_is_not_taken_for_a_slow_one(void **state)
{
    (void)state;
    static size_t total;
    total = 0;
    open_socket();
    assert_int_equal(gn_topics_join(&hub.topics, &ws->subscriber, "t", 1), 1);
    for (int i = 0; i < 8; i++)
        assert_int_equal(publish(QUEUE / 4), 1);
    go(read_all, &total);
    assert_eventually(total >= QUEUE);
    hang_up(&c);
    close_socket();
}

static void a_slow_reader_is_closed_with_1013(void **state)
{
    (void)state;
    static size_t total;
    int published = 0;
    total = 0;
    open_socket();
    fill();
    assert_int_equal(gn_topics_join(&hub.topics, &ws->subscriber, "t", 1), 1);
    while (publish(1000) == 1) {
        published++;
        assert_true(ws->out.bytes <= QUEUE);
    }
    assert_true(published >= (QUEUE - 32 * 1024) / 1100);
    assert_int_equal(ws->ending.code, 1013);
    assert_true(ws->out.bytes < 34 * 1024); /* the rest is dropped at once */
    assert_int_equal(publish(1000), 0);
    go(read_all, &total);
    assert_eventually(ws->out.count == 0);
    SAY("\x88\x80" M);
    close_socket();
}

static void pings_of_who_does_not_read_are_not_hoarded(void **state)
{
    (void)state;
    open_socket();
    fill();
    while (!gn_ws_is_closed(ws)) {
        if (send(c.peer, "\x89\x84" M "ping", 10, MSG_DONTWAIT) < 0)
            let_it_come();
        assert_true(ws->out.bytes <= QUEUE + 64);
    }
    assert_int_equal(ws->ending.code, 1013);
    hang_up(&c);
    close_socket();
}

/* Each message is of one letter. */
static void send_letters(void *letter)
{
    char bulk[50000];
    memset(bulk, *(char *)letter, sizeof bulk);
    for (int i = 0; i < 10; i++)
        assert_int_equal(gn_ws_send(ws, GN_WS_TEXT, bulk, sizeof bulk), 0);
    served++;
}

static void read_exactly(char *to, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = recv(c.peer, to + got, n - got < 777 ? n - got : 777, MSG_DONTWAIT);
        if (r > 0)
            got += (size_t)r;
        else
            gn_sleep_until(gn_after(GN_MS / 10));
    }
}

static void messages_of_two_tasks_never_mix(void **state)
{
    (void)state;
    static char bulk[50000], want[50000];
    char header[4];
    served = 0;
    open_socket();
    go(send_letters, "a");
    go(send_letters, "b");
    for (int i = 0; i < 20; i++) {
        read_exactly(header, 4);
        assert_memory_equal(header, "\x81\x7e\xc3\x50", 4);
        read_exactly(bulk, sizeof bulk);
        memset(want, bulk[0], sizeof want);
        assert_memory_equal(bulk, want, sizeof want);
    }
    assert_eventually(served == 2);
    hang_up(&c);
    close_socket();
}

static void a_sender_that_waits_is_told_of_the_end(void *arg)
{
    static char bulk[QUEUE];
    (void)arg;
    int r = 0;
    while (r == 0)
        r = gn_ws_send(ws, GN_WS_BINARY, bulk, sizeof bulk);
    assert_int_equal(r, -EPIPE);
    served++;
}

static void senders_do_not_outwait_the_peer(void **state)
{
    (void)state;
    served = 0;
    open_socket();
    go(a_sender_that_waits_is_told_of_the_end, NULL);
    go(a_sender_that_waits_is_told_of_the_end, NULL);
    let_it_come();
    assert_true(ws->out.bytes > 0);
    hang_up(&c);
    assert_eventually(served == 2);
    close_socket();
}

/* ---- time ---- */

static void a_silent_peer_is_pinged_and_then_dropped(void **state)
{
    (void)state;
    char frame[8];
    open_with(50 * GN_MS);
    gn_timer_add(&hub.sched->timers, &ws->timer, gn_now());
    assert_string_equal(taken(), "closed");
    assert_int_equal(ws->ending.code, 1006);
    assert_int_equal(recv(c.peer, frame, sizeof frame, MSG_DONTWAIT), 2);
    assert_memory_equal(frame, "\x89\x00", 2);
    close_socket();
}

static void a_peer_that_answers_pings_stays(void **state)
{
    (void)state;
    open_with(20 * GN_MS);
    gn_timer_add(&hub.sched->timers, &ws->timer, gn_now());
    for (int i = 0; i < 5; i++) {
        char frame[8];
        while (recv(c.peer, frame, sizeof frame, MSG_DONTWAIT) < 0 &&
               !gn_ws_is_closed(ws)) {
            if (gn_now() - ws->heard > 30 * GN_MS)
                ws->heard = gn_now(); /* the machine is busy: do not judge by it */
            gn_sleep_until(gn_after(GN_MS));
        }
        assert_memory_equal(frame, "\x89\x00", 2);
        SAY("\x8a\x80" M);
        let_it_come();
    }
    assert_false(gn_ws_is_closed(ws));
    hang_up(&c);
    close_socket();
}

static void a_peer_that_never_answers_a_close_is_dropped(void **state)
{
    (void)state;
    open_socket();
    gn_ws_close(ws, 1000, "", 0);
    gn_timer_add(&hub.sched->timers, &ws->timer, gn_now());
    gn_ws_finish(ws, 1000);
    assert_true(c.wire->broken);
    disconnect(&c);
    gn_hub_term(&hub);
}

static void a_slow_reader_has_time_for_what_was_sent_before_the_close(void **state)
{
    (void)state;
    static char bulk[16 * 1024];
    open_socket();
    fill();
    fill_up();
    gn_ws_close(ws, 1000, "", 0);
    while (ws->out.bytes + 6000 > ws->at_close) {
        assert_true(recv(c.peer, bulk, sizeof bulk, MSG_DONTWAIT) > 0);
        let_it_come();
    }
    gn_timer_add(&hub.sched->timers, &ws->timer, gn_now());
    let_it_come();
    assert_false(ws->ended);
    gn_timer_add(&hub.sched->timers, &ws->timer, gn_now());
    let_it_come();
    assert_true(ws->ended);
    close_socket();
}

static void a_cancelled_worker_does_not_wait(void **state)
{
    (void)state;
    open_socket();
    gn_cancel(gn_fiber_self(), -ECANCELED);
    assert_string_equal(taken(), "cancelled");
    gn_ws_finish(ws, 1011);
    assert_true(c.wire->broken);
    disconnect(&c);
    gn_hub_term(&hub);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(messages_come_and_go),
        on_a_fiber(what_came_with_the_handshake_counts),
        on_a_fiber(a_ping_is_answered_while_nobody_asks_for_messages),
        on_a_fiber(between_messages_it_has_no_decoder),
        on_a_fiber(what_has_come_is_given_before_the_end_is_told),
        on_a_fiber(a_full_inbox_reads_no_more_until_it_is_emptied),
        on_a_fiber(receiving_may_be_given_up),
        on_a_fiber(each_message_goes_to_one_of_those_who_wait),
        on_a_fiber(who_waits_outlives_the_socket),
        on_a_fiber(a_peer_that_vanishes_closes_with_1006),
        on_a_fiber(an_error_is_told_to_both),
        on_a_fiber(a_broken_close_is_an_error),
        on_a_fiber(finishing_waits_for_the_answer_to_a_close),
        on_a_fiber(only_the_first_close_counts),
        on_a_fiber(the_host_stops),
        on_a_fiber(a_sender_waits_for_a_slow_reader),
        on_a_fiber(a_message_may_be_larger_than_the_queue),
        on_a_fiber(what_is_published_arrives_once_the_publisher_waits),
        on_a_fiber(a_fast_reader_is_not_taken_for_a_slow_one),
        on_a_fiber(a_slow_reader_is_closed_with_1013),
        on_a_fiber(pings_of_who_does_not_read_are_not_hoarded),
        on_a_fiber(messages_of_two_tasks_never_mix),
        on_a_fiber(senders_do_not_outwait_the_peer),
        on_a_fiber(a_silent_peer_is_pinged_and_then_dropped),
        on_a_fiber(a_peer_that_answers_pings_stays),
        on_a_fiber(a_peer_that_never_answers_a_close_is_dropped),
        on_a_fiber(a_slow_reader_has_time_for_what_was_sent_before_the_close),
        on_a_fiber(a_cancelled_worker_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
