/* host/bus/relay.c: messages of any size cross between two buses, over a pair of
 * sockets that keeps packets apart. */
#include "fiber_test.h"

#include "bus/relay.h"
#include "log.h"

#include <poll.h>

/* A process, as far as a bus knows: a relay to the other one, and a listener. */
struct side {
    struct gn_bus bus;
    struct gn_relay relay;
    struct gn_bus_member listener;
    int fd;
    struct gn_fiber *reader;
    size_t got;
    struct gn_bus_message *last;
    size_t packets;
    bool stalled; /* packets are not taken */
};

static struct side left, right;

enum { HEAD = 24 }; /* bytes before a piece of a message */

static int send_packet(struct gn_relay *r, const char *packet, size_t n)
{
    struct side *s = gn_container_of(r, struct side, relay);
    assert_true(n <= GN_RELAY_PACKET);
    return send(s->fd, packet, n, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void read_packets(void *arg)
{
    static _Thread_local char packet[GN_RELAY_PACKET];
    struct side *s = arg;
    ssize_t n;
    for (;;) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (s->stalled && gn_sleep_until(gn_after(GN_MS)) == 0)
            continue;
        if (poll(&p, 1, -1) < 0 || (n = recv(s->fd, packet, sizeof packet, 0)) <= 0)
            break;
        s->packets++;
        assert_int_equal(gn_relay_receive(&s->relay, packet, (size_t)n), 0);
    }
    s->reader = NULL;
}

static void listen_to(struct gn_bus_member *m, struct gn_bus_message *const *batch,
                      size_t n)
{
    struct side *s = gn_container_of(m, struct side, listener);
    s->got += n;
    gn_bus_message_unref(s->last);
    s->last = batch[n - 1];
    atomic_fetch_add(&s->last->refs, 1);
}

static void open_side(struct side *s, int fd)
{
    *s = (struct side){.fd = fd};
    gn_bus_init(&s->bus);
    gn_relay_open(&s->relay, &s->bus, "the other side", send_packet);
    gn_bus_join(&s->bus, &s->listener, "the test", listen_to);
    s->reader = go(read_packets, s);
}

static void close_side(struct side *s)
{
    if (s->reader)
        gn_cancel(s->reader, -ECANCELED);
    assert_eventually(!s->reader);
    gn_bus_leave(&s->listener);
    gn_relay_close(&s->relay);
    gn_bus_message_unref(s->last);
    gn_bus_term(&s->bus);
    close(s->fd);
}

static void open_both(void)
{
    int fd[2];
    gn_log_set_level(GN_ERROR);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd), 0);
    open_side(&left, fd[0]);
    open_side(&right, fd[1]);
}

static void close_all(void)
{
    close_side(&left);
    close_side(&right);
}

static void say(struct side *s, enum gn_bus_kind kind, const char *topic, size_t n,
                const char *text, size_t length)
{
    struct gn_bus_message *m = gn_bus_message_new(kind, topic, n, text, length);
    assert_non_null(m);
    gn_bus_publish(&s->bus, &s->listener, m);
    gn_bus_message_unref(m);
}

static void a_message_crosses_once(void **state)
{
    (void)state;
    open_both();
    say(&left, GN_BUS_BINARY, "a\0b", 3, "c\0d", 3);
    assert_eventually(right.got == 1);
    assert_int_equal(right.last->kind, GN_BUS_BINARY);
    assert_int_equal(right.last->topic_length, 3);
    assert_memory_equal(right.last->bytes, "a\0bc\0d", 6);
    say(&right, GN_BUS_TEXT, "", 0, "", 0);
    assert_eventually(left.got == 1);
    assert_int_equal(left.last->topic_length + left.last->length, 0);
    gn_sleep_until(gn_after(5 * GN_MS));
    assert_int_equal(right.got, 1); /* it has not come back */
    close_all();
}

static void every_size_crosses(void **state)
{
    (void)state;
    enum { LARGEST = 3 << 20, FULL = GN_RELAY_PACKET - HEAD - 1 /* with its topic */ };
    char *data = malloc(LARGEST);
    fill_pattern(data, LARGEST);
    static const size_t sizes[] = {
        1,        FULL - 1,     FULL,         FULL + 1, GN_RELAY_PACKET,
        2 * FULL, 2 * FULL + 1, 2 * FULL + 2, 1 << 20,  LARGEST};
    open_both();
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        say(&left, GN_BUS_TEXT, "t", 1, data, sizes[i]);
        assert_eventually(right.got == i + 1);
        assert_int_equal(right.last->length, sizes[i]);
        assert_memory_equal(gn_bus_payload(right.last), data, sizes[i]);
    }
    close_all();
    free(data);
}

static void a_peer_that_does_not_read_costs_messages_and_no_more(void **state)
{
    (void)state;
    enum { ALL = 200, SIZE = 1 << 20 };
    char *data = calloc(1, SIZE);
    open_both();
    right.stalled = true;
    for (int i = 0; i < ALL; i++) {
        memcpy(data, &i, sizeof i);
        say(&left, GN_BUS_BINARY, "t", 1, data, SIZE);
        gn_yield();
    }
    size_t dropped = gn_bus_dropped(&left.relay.member);
    assert_true(dropped > 0 && dropped < ALL);
    right.stalled = false;
    assert_eventually(right.got == ALL - dropped);
    close_all();
    free(data);
}

static void leaving_does_not_wait_for_a_peer_that_does_not_read(void **state)
{
    (void)state;
    char *data = calloc(1, 4 << 20);
    open_both();
    right.stalled = true;
    say(&left, GN_BUS_BINARY, "t", 1, data, 4 << 20);
    gn_sleep_until(gn_after(5 * GN_MS));
    right.stalled = false;
    gn_cancel(right.reader, -ECANCELED);
    close_all();
    free(data);
}

static void small_ones_share_a_packet(void **state)
{
    (void)state;
    enum { ALL = 10000 };
    open_both();
    for (int i = 0; i < ALL; i++)
        say(&left, GN_BUS_TEXT, "t", 1, (char *)&i, sizeof i);
    assert_eventually(right.got == ALL);
    assert_true(right.packets < ALL / 30);
    close_all();
}

struct head {
    uint32_t kind, topic_length;
    uint64_t length, here;
};

static int receive(struct head head, size_t n)
{
    char packet[64] = {0};
    memcpy(packet, &head, sizeof head);
    return gn_relay_receive(&right.relay, packet, n);
}

static void what_no_relay_has_sent_is_refused(void **state)
{
    (void)state;
    open_both();
    assert_int_equal(sizeof(struct head), HEAD);
    assert_int_equal(receive((struct head){1, 1, 2, 3}, HEAD - 1), -EBADMSG);
    assert_int_equal(receive((struct head){0, 0, 0, 4}, HEAD + 4),
                     0); /* of a lost one */
    assert_int_equal(receive((struct head){1, 1, 2, 4}, HEAD + 4), -EBADMSG);
    assert_int_equal(receive((struct head){1, 1, 2, 4}, HEAD + 3), -EBADMSG);
    assert_int_equal(receive((struct head){1, 1, 2, 2}, HEAD + 2), 0); /* unfinished */
    assert_int_equal(receive((struct head){1, 1, 2, 3}, HEAD + 3), 0); /* another one */
    assert_eventually(right.got == 1);
    assert_int_equal(receive((struct head){9, 1, 2, 3}, HEAD + 3), -EBADMSG);
    assert_int_equal(receive((struct head){1, 1, UINT64_MAX, 3}, HEAD + 3), -EBADMSG);
    assert_int_equal(receive((struct head){1, 1, 2, UINT64_MAX}, HEAD + 3), -EBADMSG);
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(a_message_crosses_once),
        on_a_fiber(every_size_crosses),
        on_a_fiber(a_peer_that_does_not_read_costs_messages_and_no_more),
        on_a_fiber(leaving_does_not_wait_for_a_peer_that_does_not_read),
        on_a_fiber(small_ones_share_a_packet),
        on_a_fiber(what_no_relay_has_sent_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
