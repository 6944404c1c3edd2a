/* host/http/decoder.c: tables of frames and what must come of them, each fed whole,
 * byte by byte, and cut in two at every place. */
#include "fiber_test.h"

#include "http/decoder.h"

enum { MOST = 40 };

/* The mask is 0, so that payloads can be read; `heard` notes messages as T(..) and
 * B(..), control frames as their opcode; `code` is 0 or what the connection is closed
 * with. */
struct decoder_case {
    const char *name, *bytes;
    size_t length;
    const char *heard;
    int code;
};

#define CASE(name, bytes, heard, code)             \
    {                                              \
        name, bytes, sizeof bytes - 1, heard, code \
    }
#define M "\0\0\0\0"
#define A10 "aaaaaaaaaa"
#define A40 A10 A10 A10 A10

static const struct decoder_case cases[] = {
    CASE("nothing", "", "", 0),
    CASE("a text", "\x81\x82" M "ab", "T(ab)", 0),
    CASE("bytes",
         "\x82\x83" M "\xff\x80"
         "a",
         "B(\xff\x80"
         "a)",
         0),
    CASE("an empty text", "\x81\x80" M, "T()", 0),
    CASE("two texts", "\x81\x81" M "a\x81\x81" M "b", "T(a)T(b)", 0),
    CASE("a mask", "\x81\x83\x01\x02\x03\x04`bd", "T(a`g)", 0),
    CASE("as long as may be", "\x81\xa8" M A40, "T(" A40 ")", 0),
    CASE("a byte too long", "\x81\xa9" M A40 "a", "", 1009),
    CASE("far too long", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" M "a", "", 1009),
    CASE("fragments", "\x01\x81" M "a\x00\x81" M "b\x80\x81" M "c", "T(abc)", 0),
    CASE("empty fragments", "\x01\x80" M "\x00\x80" M "\x80\x80" M, "T()", 0),
    CASE("too long together", "\x01\xa8" M A40 "\x80\x81" M "a", "", 1009),
    CASE("a ping within", "\x02\x81" M "a\x89\x81" M "p\x80\x81" M "b", "9(p)B(ab)", 0),
    CASE("a close within", "\x02\x81" M "a\x88\x82" M "\x03\xe8", "8(\x03\xe8)", 0),
    CASE("a pong", "\x8a\x80" M, "10()", 0),
    CASE("a text within", "\x01\x81" M "a\x81\x81" M "b", "", 1002),
    CASE("a continuation of nothing", "\x80\x81" M "a", "", 1002),
    CASE("... after a whole text", "\x81\x81" M "a\x80\x81" M "b", "T(a)", 1002),
    CASE("no mask",
         "\x81\x02"
         "ab",
         "", 1002),
    CASE("no mask, empty", "\x81\x00", "", 1002),
    CASE("reserved bit 1", "\xc1\x81" M "a", "", 1002),
    CASE("reserved bit 2", "\xa1\x81" M "a", "", 1002),
    CASE("reserved bit 3 of a ping", "\x99\x80" M, "", 1002),
    CASE("reserved opcode 3", "\x83\x80" M, "", 1002),
    CASE("reserved opcode 7", "\x87\x80" M, "", 1002),
    CASE("reserved opcode 11", "\x8b\x80" M, "", 1002),
    CASE("reserved opcode 15", "\x8f\x80" M, "", 1002),
    CASE("a ping in fragments", "\x09\x81" M "a", "", 1002),
    CASE("a ping of 126 bytes", "\x89\xfe\x00\x7e" M, "", 1002),
    CASE("a length with a byte too many", "\x81\xfe\x00\x02" M "ab", "", 1002),
    CASE("... with six", "\x81\xff\0\0\0\0\0\0\0\x02" M "ab", "", 1002),
    CASE("a length over 63 bits", "\x81\xff\x80\0\0\0\0\0\0\x02" M, "", 1002),
    CASE("a character over two frames", "\x01\x81" M "\xc3\x80\x81" M "\xa9",
         "T(\xc3\xa9)", 0),
    CASE("a character broken off", "\x81\x81" M "\xc3", "", 1007),
    CASE("a wrong byte", "\x81\x82" M "a\xff", "", 1007),
    CASE("a wrong byte in a fragment", "\x01\x81" M "\xff", "", 1007),
    CASE("bytes need be no text", "\x02\x81" M "\xff\x80\x80" M, "B(\xff)", 0),
    CASE("half a header", "\x81", "", 0),
    CASE("half a length", "\x81\xfe\x01", "", 0),
    CASE("half a mask", "\x81\x81\0\0", "", 0),
    CASE("half a payload", "\x81\x82" M "a", "", 0),
};

/* ---- the reader that takes notes ---- */

static struct {
    struct gn_reader reader;
    char heard[256];
    size_t length;
} it;

static void note(const char *bytes, size_t n)
{
    assert_true(it.length + n < sizeof it.heard);
    memcpy(it.heard + it.length, bytes, n);
    it.length += n;
    it.heard[it.length] = '\0';
}

static void on_message(struct gn_reader *r, struct gn_letter *l)
{
    assert_ptr_equal(r, &it.reader);
    assert_true(l->length <= l->room && l->length <= MOST);
    note(l->kind == GN_WS_TEXT ? "T(" : "B(", 2);
    note(l->bytes, l->length);
    note(")", 1);
    free(l);
}

static bool on_control(struct gn_reader *r, enum gn_opcode opcode, const char *data,
                       size_t n)
{
    char name[8];
    (void)r;
    note(name, (size_t)snprintf(name, sizeof name, "%d(", opcode));
    note(data, n);
    note(")", 1);
    return opcode != GN_WS_CLOSE;
}

static void take_notes(void)
{
    it.reader = (struct gn_reader){MOST, on_message, on_control};
    it.length = 0;
    it.heard[0] = '\0';
}

/* Feeds a copy of exactly these bytes. */
static int feed(struct gn_decoder *d, const char *bytes, size_t n)
{
    char *copy = malloc(n + !n);
    memcpy(copy, bytes, n);
    int code = gn_decoder_feed(d, &it.reader, copy, n);
    free(copy);
    return code;
}

/* ---- tests ---- */

/* Cut at `cut`; byte by byte when that is 0. */
static void check(const struct decoder_case *t, size_t cut)
{
    struct gn_decoder *d = gn_decoder_new();
    int code = 0;
    take_notes();
    for (size_t i = 0, n; i < t->length && code == 0; i += n) {
        n = cut == 0 ? 1 : i < cut ? cut : t->length - i;
        code = feed(d, t->bytes + i, n);
    }
    if (code != t->code || strcmp(it.heard, t->heard) != 0)
        fail_msg("%s, cut at %zu: %d and \"%s\"", t->name, cut, code, it.heard);
    gn_decoder_free(d);
}

static void frames_are_put_together_whatever_their_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++)
        for (size_t cut = 0; cut <= cases[i].length; cut++)
            check(&cases[i], cut);
}

/* Nothing that a whole message leaves behind. */
static void one_decoder_serves_in_turn(void **state)
{
    (void)state;
    struct gn_decoder *d = gn_decoder_new();
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < LENGTH(cases); i++) {
            if (cases[i].code || strstr(cases[i].name, "half") ||
                strstr(cases[i].name, "close within"))
                continue;
            take_notes();
            assert_int_equal(feed(d, cases[i].bytes, cases[i].length), 0);
            assert_string_equal(it.heard, cases[i].heard);
            assert_true(gn_decoder_is_idle(d));
        }
    gn_decoder_free(d);
}

static void between_messages_it_is_idle(void **state)
{
    (void)state;
    static const char bytes[] = "\x01\x81" M "a\x89\x81" M "p\x80\x81" M "b";
    struct gn_decoder *d = gn_decoder_new();
    take_notes();
    assert_true(gn_decoder_is_idle(d));
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        assert_int_equal(feed(d, bytes + i, 1), 0);
        assert_int_equal(gn_decoder_is_idle(d), i == sizeof bytes - 2);
    }
    gn_decoder_free(d);
    gn_decoder_free(NULL);
}

static void what_is_announced_takes_no_memory_yet(void **state)
{
    (void)state;
    struct gn_decoder *d = gn_decoder_new();
    take_notes();
    it.reader.max_message = (size_t)1 << 40;
    assert_int_equal(feed(d, "\x82\xff\0\0\0\xff\xff\xff\xff\xff" M "a", 15), 0);
    assert_non_null(d->letter);
    assert_true(d->letter->room <= 16 * 1024);
    gn_decoder_free(d);
}

static void codes_are_those_that_may_be_sent(void **state)
{
    (void)state;
    static const int good[] = {1000, 1001, 1002, 1003, 1007, 1011, 1012,
                               1013, 1014, 3000, 3999, 4000, 4999};
    static const int bad[] = {0,    999,  1004, 1005, 1006, 1015,
                              1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < LENGTH(good); i++)
        assert_true(gn_close_code_is_valid(good[i]));
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_false(gn_close_code_is_valid(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_put_together_whatever_their_pieces),
        cmocka_unit_test(one_decoder_serves_in_turn),
        cmocka_unit_test(between_messages_it_is_idle),
        cmocka_unit_test(what_is_announced_takes_no_memory_yet),
        cmocka_unit_test(codes_are_those_that_may_be_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
