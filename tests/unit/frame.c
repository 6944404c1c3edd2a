/* host/http/frame.c: frames are built once and shared; outboxes keep their order. */
#include "fiber_test.h"

#include "http/frame.h"

static struct gn_frame *text(const char *payload)
{
    struct gn_frame *f = gn_frame_new(GN_WS_TEXT, payload, strlen(payload));
    assert_non_null(f);
    return f;
}

static void put(struct gn_outbox *o, const char *payload)
{
    struct gn_frame *f = text(payload);
    assert_int_equal(gn_outbox_put(o, f), 0);
    gn_frame_unref(f);
}

/* What the outbox would send, as one string without the headers of two bytes. */
static const char *rest_of(const struct gn_outbox *o)
{
    static char all[4096];
    struct iovec iov[64];
    size_t n = gn_outbox_look(o, iov, LENGTH(iov)), used = 0;
    for (size_t i = 0; i < n; i++) {
        size_t skip = i > 0 || o->sent == 0 ? 2 : 0;
        memcpy(all + used, (char *)iov[i].iov_base + skip, iov[i].iov_len - skip);
        used += iov[i].iov_len - skip;
    }
    all[used] = '\0';
    return all;
}

static void a_header_is_as_short_as_its_length_lets_it(void **state)
{
    (void)state;
    static const struct {
        size_t payload, header;
        const char *bytes;
    } cases[] = {
        {0, 2, "\x82\x00"},
        {125, 2, "\x82\x7d"},
        {126, 4, "\x82\x7e\x00\x7e"},
        {65535, 4, "\x82\x7e\xff\xff"},
        {65536, 10, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
        {(size_t)5 << 32, 10, "\x82\x7f\x00\x00\x00\x05\x00\x00\x00\x00"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char header[GN_FRAME_HEADER];
        assert_int_equal(gn_frame_header(header, GN_WS_BINARY, cases[i].payload),
                         cases[i].header);
        assert_memory_equal(header, cases[i].bytes, cases[i].header);
    }
}

static void a_frame_holds_header_and_payload(void **state)
{
    (void)state;
    struct gn_frame *f = text("hello");
    assert_int_equal(f->length, 7);
    assert_memory_equal(f->bytes, "\x81\x05hello", 7);
    assert_int_equal(gn_frame_payload_length(f), 5);
    assert_memory_equal(gn_frame_payload(f), "hello", 5);
    gn_frame_unref(f);
    f = gn_frame_new(GN_WS_CLOSE, NULL, 0);
    assert_memory_equal(f->bytes, "\x88\x00", 2);
    gn_frame_unref(f);
    gn_frame_unref(NULL);
}

static void a_frame_is_shared_by_its_receivers(void **state)
{
    (void)state;
    struct gn_outbox boxes[3] = {{0}};
    struct gn_frame *f = text("shared");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(gn_outbox_put(&boxes[i], f), 0);
    assert_int_equal(f->refs, 4);
    gn_outbox_sent(&boxes[0], f->length);
    gn_outbox_clear(&boxes[1]);
    assert_int_equal(f->refs, 2);
    gn_outbox_clear(&boxes[0]);
    gn_outbox_clear(&boxes[2]);
    assert_int_equal(f->refs, 1);
    gn_frame_unref(f);
}

static void what_was_put_first_goes_first_however_little_is_sent(void **state)
{
    (void)state;
    struct gn_outbox o = {0};
    for (int i = 0; i < 10; i++)
        put(&o, "abc");
    assert_int_equal(o.bytes, 50);
    for (size_t sent = 1; sent <= 50; sent++) {
        gn_outbox_sent(&o, 1);
        assert_int_equal(o.bytes, 50 - sent);
        assert_int_equal(o.sent, sent % 5);
        assert_int_equal(o.count, (54 - sent) / 5);
    }
    gn_outbox_clear(&o);
}

static void frames_go_round_the_ring(void **state)
{
    (void)state;
    struct gn_outbox o = {0};
    put(&o, "a");
    for (int i = 0; i < 100; i++) {
        put(&o, "b");
        put(&o, "c");
        gn_outbox_sent(&o, 6);
        assert_int_equal(o.count, 1);
    }
    assert_string_equal(rest_of(&o), "c");
    assert_true(o.room <= 4);
    gn_outbox_clear(&o);
}

static void a_large_ring_is_given_back(void **state)
{
    (void)state;
    struct gn_outbox o = {0};
    for (int i = 0; i < 1000; i++)
        put(&o, "x");
    assert_true(o.room >= 1000);
    gn_outbox_sent(&o, o.bytes);
    assert_int_equal(o.room, 0);
    put(&o, "y");
    assert_string_equal(rest_of(&o), "y");
    gn_outbox_clear(&o);
}

static void cutting_leaves_what_has_been_begun(void **state)
{
    (void)state;
    struct gn_outbox o = {0};
    put(&o, "one");
    put(&o, "two");
    put(&o, "three");
    gn_outbox_sent(&o, 3);
    gn_outbox_cut(&o, 4); /* of which the first has 2 */
    assert_string_equal(rest_of(&o), "netwo");
    assert_int_equal(o.bytes, 7);
    gn_outbox_cut(&o, 1);
    assert_string_equal(rest_of(&o), "ne");
    gn_outbox_cut(&o, 0);
    assert_string_equal(rest_of(&o), "ne");
    put(&o, "end");
    assert_string_equal(rest_of(&o), "neend");
    gn_outbox_clear(&o);
}

static void frames_can_be_taken_out(void **state)
{
    (void)state;
    struct gn_outbox o = {0};
    assert_null(gn_outbox_first(&o));
    assert_null(gn_outbox_take(&o));
    put(&o, "a");
    put(&o, "b");
    assert_memory_equal(gn_frame_payload(gn_outbox_first(&o)), "a", 1);
    gn_frame_unref(gn_outbox_take(&o));
    assert_memory_equal(gn_frame_payload(gn_outbox_first(&o)), "b", 1);
    assert_int_equal(o.bytes, 3);
    gn_outbox_clear(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_as_short_as_its_length_lets_it),
        cmocka_unit_test(a_frame_holds_header_and_payload),
        cmocka_unit_test(a_frame_is_shared_by_its_receivers),
        cmocka_unit_test(what_was_put_first_goes_first_however_little_is_sent),
        cmocka_unit_test(frames_go_round_the_ring),
        cmocka_unit_test(a_large_ring_is_given_back),
        cmocka_unit_test(cutting_leaves_what_has_been_begun),
        cmocka_unit_test(frames_can_be_taken_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
