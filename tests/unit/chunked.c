/* The chunked decoder: tables of bodies and what must come of them, each fed whole,
 * byte by byte, cut in two at every place and with little room. */
#include "../../host/http/chunked.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_TRAILERS = 64, DATA_MAX = 1 << 17 };

/* `status` is 0 for a whole body, 1 for an unfinished one, or that of the refusal;
 * `data` is what comes out in the first two cases; `rest` is what follows the body. */
struct chunked_case {
    const char *name, *bytes;
    size_t len;
    int status;
    const char *data;
    size_t rest;
};

#define CASE(name, bytes, status, data)                \
    {                                                  \
        name, bytes, sizeof bytes - 1, status, data, 0 \
    }
#define THEN(name, bytes, next, data)                                     \
    {                                                                     \
        name, bytes next, sizeof bytes next - 1, 0, data, sizeof next - 1 \
    }

#define A16 "aaaaaaaaaaaaaaaa"
#define A64 A16 A16 A16 A16

/* What a decoder that is fed in some way makes of a body. */
struct outcome {
    int status;
    size_t used, got;
    char data[256];
};

/* Gives the decoder a copy of exactly `n` bytes, in place or not, until it has used
 * them up or is at its end. */
static void feed_piece(struct gn_chunked *c, const char *bytes, size_t n, size_t room,
                       bool in_place, struct outcome *o)
{
    size_t used = n;
    char *in = malloc(n + !n), *out = in_place ? in : malloc(room + !room);
    memcpy(in, bytes, n);
    ssize_t got = gn_chunked_decode(c, in, &used, out, room);
    assert_true(used <= n);
    assert_true(got <= (ssize_t)room);
    o->used += used;
    if (got > 0) {
        assert_true(o->got + got < sizeof o->data);
        memcpy(o->data + o->got, out, got);
        o->got += got;
    }
    o->status = got < 0 ? -got : !c->done;
    if (!in_place)
        free(out);
    free(in);
}

static struct outcome feed(const struct chunked_case *t, size_t cut, size_t room,
                           bool in_place)
{
    struct gn_chunked c;
    struct outcome o = {.status = 1};
    gn_chunked_init(&c, MAX_TRAILERS);
    while (o.used < t->len && o.status == 1) {
        size_t end = !cut ? o.used + 1 : o.used < cut ? cut : t->len;
        size_t n = end - o.used;
        feed_piece(&c, t->bytes + o.used, n, in_place || room > n ? n : room, in_place,
                   &o);
    }
    if (o.status > 1) {
        size_t more = 1;
        assert_true(c.reason && strlen(c.reason) > 10);
        assert_int_equal(gn_chunked_decode(&c, "0", &more, NULL, 0), -o.status);
    }
    return o;
}

static void check(const struct chunked_case *t, size_t cut, size_t room, bool in_place)
{
    struct outcome o = feed(t, cut, room, in_place);
    if (o.status != t->status)
        fail_msg("%s, cut at %zu: %d", t->name, cut, o.status);
    if (t->status > 1)
        return;
    assert_int_equal(o.used, t->len - t->rest);
    assert_int_equal(o.got, strlen(t->data));
    assert_memory_equal(o.data, t->data, o.got);
}

static void check_cases(const struct chunked_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t cut = 0; cut <= cases[i].len; cut++) {
            check(&cases[i], cut, SIZE_MAX, true);
            check(&cases[i], cut, SIZE_MAX, false);
            check(&cases[i], cut, 1, false);
            check(&cases[i], cut, 3, false);
        }
    print_message("           %zu cases\n", count);
}

#define CHECK(cases) check_cases(cases, sizeof cases / sizeof *cases)

static void reads_chunks(void **state)
{
    static const struct chunked_case cases[] = {
        CASE("empty body", "0\r\n\r\n", 0, ""),
        CASE("one chunk", "5\r\nhello\r\n0\r\n\r\n", 0, "hello"),
        CASE("two chunks", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 0, "hello"),
        CASE("chunks of one", "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", 0, "abc"),
        CASE("hexadecimal", "1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", 0,
             "abcdefghijklmnopqrstuvwxyz"),
        CASE("lower case", "1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", 0,
             "abcdefghijklmnopqrstuvwxyz"),
        CASE("leading zeros", "0000000000000005\r\nhello\r\n0\r\n\r\n", 0, "hello"),
        CASE("16 zeros at the end", "0000000000000000\r\n\r\n", 0, ""),
        CASE("CRLF as data", "4\r\n\r\n\r\n\r\n0\r\n\r\n", 0, "\r\n\r\n"),
        CASE("framing as data", "5\r\n0\r\n\r\n\r\n0\r\n\r\n", 0, "0\r\n\r\n"),
        THEN("a request follows", "1\r\na\r\n0\r\n\r\n", "GET / HTTP/1.1\r\n", "a"),
        THEN("garbage follows", "0\r\n\r\n", "\n\0\xff", ""),
        CASE("nothing", "", 1, ""),
        CASE("unfinished size", "5", 1, ""),
        CASE("unfinished line", "5\r", 1, ""),
        CASE("unfinished data", "5\r\nhel", 1, "hel"),
        CASE("no CRLF after data yet", "5\r\nhello", 1, "hello"),
        CASE("no LF after data yet", "5\r\nhello\r", 1, "hello"),
        CASE("no last chunk yet", "5\r\nhello\r\n", 1, "hello"),
        CASE("no end yet", "5\r\nhello\r\n0\r\n", 1, "hello"),
        CASE("no last LF yet", "5\r\nhello\r\n0\r\n\r", 1, "hello"),
        CASE("large size", "7fffffffffffffff\r\nhello", 1, "hello"),
    };
    (void)state;
    CHECK(cases);
}

static void refuses_bad_framing(void **state)
{
    static const struct chunked_case cases[] = {
        CASE("no size", "\r\nhello\r\n0\r\n\r\n", 400, ""),
        CASE("no size, extension", ";a\r\n", 400, ""),
        CASE("letters", "g\r\n", 400, ""),
        CASE("0x", "0x5\r\nhello\r\n", 400, ""),
        CASE("plus", "+5\r\nhello\r\n", 400, ""),
        CASE("minus", "-1\r\n", 400, ""),
        CASE("point", "5.0\r\nhello\r\n", 400, ""),
        CASE("underscore", "1_0\r\n", 400, ""),
        CASE("comma", "5,5\r\nhello\r\n", 400, ""),
        CASE("space before", " 5\r\nhello\r\n", 400, ""),
        CASE("tab before", "\t5\r\nhello\r\n", 400, ""),
        CASE("space after", "5 \r\nhello\r\n", 400, ""),
        CASE("tab after", "5\t\r\nhello\r\n", 400, ""),
        CASE("two numbers", "5 5\r\nhello\r\n", 400, ""),
        CASE("NUL", "5\0\r\nhello\r\n", 400, ""),
        CASE("high byte", "5\xa0\r\nhello\r\n", 400, ""),
        CASE("17 digits", "00000000000000005\r\nhello\r\n", 400, ""),
        CASE("2 to the 63rd", "8000000000000000\r\n", 400, ""),
        CASE("2 to the 64th less 1", "ffffffffffffffff\r\n", 400, ""),
        CASE("2 to the 64th and 5", "10000000000000005\r\nhello\r\n", 400, ""),
        CASE("bare LF after a size", "5\nhello\r\n0\r\n\r\n", 400, ""),
        CASE("bare CR after a size", "5\rhello\r\n0\r\n\r\n", 400, ""),
        CASE("two CR after a size", "5\r\r\nhello\r\n0\r\n\r\n", 400, ""),
        CASE("data too short", "6\r\nhello\r\n0\r\n\r\n", 400, ""),
        CASE("data too long", "4\r\nhello\r\n0\r\n\r\n", 400, ""),
        CASE("bare LF after data", "5\r\nhello\n0\r\n\r\n", 400, ""),
        CASE("bare CR after data", "5\r\nhello\r0\r\n\r\n", 400, ""),
        CASE("no CRLF after data", "5\r\nhello0\r\n\r\n", 400, ""),
        CASE("empty line after data", "5\r\nhello\r\n\r\n0\r\n\r\n", 400, ""),
        CASE("bare LF after the last chunk", "0\n\r\n", 400, ""),
        CASE("bare LF at the end", "0\r\n\n", 400, ""),
        CASE("bare CR at the end", "0\r\n\rX", 400, ""),
    };
    (void)state;
    CHECK(cases);
}

static void skips_extensions(void **state)
{
    static const struct chunked_case cases[] = {
        CASE("name", "5;a\r\nhello\r\n0\r\n\r\n", 0, "hello"),
        CASE("value", "5;a=b\r\nhello\r\n0;c=d\r\n\r\n", 0, "hello"),
        CASE("quoted", "5;a=\"b;c \\\" d\"\r\nhello\r\n0\r\n\r\n", 0, "hello"),
        CASE("several", "5;a;b=c;d\r\nhello\r\n0\r\n\r\n", 0, "hello"),
        CASE("blanks", "5 \t; a = b\t\r\nhello\r\n0 ;\r\n\r\n", 0, "hello"),
        CASE("high bytes", "5;a=\"\xc3\xa4\"\r\nhello\r\n0\r\n\r\n", 0, "hello"),
        CASE("digits are not of the size", "5;0\r\nhello\r\n0;5\r\n\r\n", 0, "hello"),
        CASE("bare LF", "5;a\nhello\r\n0\r\n\r\n", 400, ""),
        CASE("bare CR", "5;a\rb\r\nhello\r\n", 400, ""),
        CASE("LF in quotes", "5;a=\"\n\"\r\nhello\r\n", 400, ""),
        CASE("NUL", "5;a\0\r\nhello\r\n", 400, ""),
        CASE("DEL", "5;a\x7f\r\nhello\r\n", 400, ""),
        CASE("control byte", "5;\x01\r\nhello\r\n", 400, ""),
        CASE("unfinished", "5;a", 1, ""),
    };
    (void)state;
    CHECK(cases);
}

static void drops_trailers(void **state)
{
    static const struct chunked_case cases[] = {
        CASE("one", "1\r\na\r\n0\r\nA: b\r\n\r\n", 0, "a"),
        CASE("two", "0\r\nA: b\r\nC:d\te\r\n\r\n", 0, ""),
        CASE("empty value", "0\r\nA:\r\n\r\n", 0, ""),
        CASE("high bytes", "0\r\nA: \xff\xc3\xa4\r\n\r\n", 0, ""),
        CASE("length", "0\r\nContent-Length: 5\r\n\r\n", 0, ""),
        THEN("a request follows", "0\r\nA: b\r\n\r\n", "GET", ""),
        CASE("64 bytes", "0\r\nA:" A16 A16 A16 "abcdefghijkl\r\n\r\n", 0, ""),
        CASE("65 bytes", "0\r\nA:" A16 A16 A16 "abcdefghijklm\r\n\r\n", 431, ""),
        CASE("many", "0\r\n" A16 ":\r\n" A16 ":\r\n" A16 ":\r\nA: bcd\r\n\r\n", 431,
             ""),
        CASE("endless name", "0\r\n" A64 A16, 431, ""),
        CASE("folded", "0\r\nA: b\r\n c\r\n\r\n", 400, ""),
        CASE("blank first", "0\r\n A: b\r\n\r\n", 400, ""),
        CASE("no name", "0\r\n: b\r\n\r\n", 400, ""),
        CASE("no colon", "0\r\nA\r\n\r\n", 400, ""),
        CASE("blank before the colon", "0\r\nA : b\r\n\r\n", 400, ""),
        CASE("high byte in a name", "0\r\nA\xc3: b\r\n\r\n", 400, ""),
        CASE("bare LF", "0\r\nA: b\n\r\n", 400, ""),
        CASE("bare CR", "0\r\nA: b\rc\r\n\r\n", 400, ""),
        CASE("NUL", "0\r\nA: b\0\r\n\r\n", 400, ""),
        CASE("DEL", "0\r\nA: b\x7f\r\n\r\n", 400, ""),
        CASE("a request instead", "0\r\nGET / HTTP/1.1\r\n\r\n", 400, ""),
        CASE("unfinished", "0\r\nA: b\r\n", 1, ""),
    };
    (void)state;
    CHECK(cases);
}

/* ---- bounds of extensions ---- */

/* Decodes `count` chunks of one byte, each with an extension of `length` bytes. */
static ssize_t decode_extended(int count, size_t length, size_t data)
{
    struct gn_chunked c;
    ssize_t rc = 0;
    gn_chunked_init(&c, MAX_TRAILERS);
    char *in = malloc(length + data + 32);
    for (int i = 0; i < count && rc >= 0; i++) {
        size_t n = sprintf(in, "%zx;", data);
        memset(in + n, 'a', length);
        memcpy(in + n + length, "\r\n", 2);
        n += length + 2;
        memset(in + n, 'd', data);
        memcpy(in + n + data, "\r\n", 2);
        n += data + 2;
        rc = gn_chunked_decode(&c, in, &n, in, n);
    }
    free(in);
    return rc;
}

static void bounds_extensions(void **state)
{
    (void)state;
    assert_int_equal(decode_extended(1, 4096, 1), 1);
    assert_int_equal(decode_extended(1, 4097, 1), -400);
    assert_int_equal(decode_extended(4, 4096, 1), 1);
    assert_int_equal(decode_extended(5, 4096, 1), -400);
    assert_int_equal(decode_extended(16384, 1, 1), 1);
    assert_int_equal(decode_extended(100, 4096, 4100), 4100);
    assert_int_equal(decode_extended(1000, 85, 8192), 8192);
}

/* ---- room ---- */

static void stops_when_there_is_no_room(void **state)
{
    static const char in[] = "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    struct gn_chunked c;
    char out[4] = "";
    size_t n = sizeof in - 1;
    (void)state;
    gn_chunked_init(&c, MAX_TRAILERS);
    assert_int_equal(gn_chunked_decode(&c, in, &n, out, 0), 0);
    assert_int_equal(n, 3);
    n = sizeof in - 1 - 3;
    assert_int_equal(gn_chunked_decode(&c, in + 3, &n, out, 3), 3);
    assert_int_equal(n, 8); /* the data, its end, and the next size */
    assert_memory_equal(out, "abc", 3);
    n = sizeof in - 1 - 11;
    assert_int_equal(gn_chunked_decode(&c, in + 11, &n, out, 2), 2);
    assert_int_equal(n, 9); /* all that was there: no room is needed for the end */
    assert_true(c.done);
    n = 5;
    assert_int_equal(gn_chunked_decode(&c, "0\r\n\r\n", &n, out, 2), 0);
    assert_int_equal(n, 0);
}

static void decodes_much_in_place(void **state)
{
    struct gn_chunked c;
    char *buf = malloc(DATA_MAX + 32);
    size_t n = sprintf(buf, "%x\r\n", DATA_MAX), begin = n;
    (void)state;
    for (int i = 0; i < DATA_MAX; i++)
        buf[n++] = i * 7 + (i >> 8);
    n += sprintf(buf + n, "\r\n0\r\n\r\n");
    assert_true(n < DATA_MAX + 32 && begin == 7);
    gn_chunked_init(&c, 0);
    assert_int_equal(gn_chunked_decode(&c, buf, &n, buf, n), DATA_MAX);
    assert_true(c.done);
    for (int i = 0; i < DATA_MAX; i++)
        if (buf[i] != (char)(i * 7 + (i >> 8)))
            fail_msg("byte %d differs", i);
    free(buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_chunks),
        cmocka_unit_test(refuses_bad_framing),
        cmocka_unit_test(skips_extensions),
        cmocka_unit_test(drops_trailers),
        cmocka_unit_test(bounds_extensions),
        cmocka_unit_test(stops_when_there_is_no_room),
        cmocka_unit_test(decodes_much_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
