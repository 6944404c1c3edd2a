/* host/http/utf8.c: what is UTF-8, whatever the pieces it comes in. */
#include "fiber_test.h"

#include "http/utf8.h"

static const char *const good[] = {
    "",
    "plain",
    "eight by eight bytes of it",
    "\x7f",
    "\xc2\x80",
    "\xdf\xbf",
    "\xe0\xa0\x80",
    "\xed\x9f\xbf",
    "\xee\x80\x80",
    "\xef\xbf\xbf",
    "\xf0\x90\x80\x80",
    "\xf4\x8f\xbf\xbf",
    "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    "eightbyt\xc3\xa9 then more of it \xe2\x82\xac",
};

static const char *const bad[] = {
    "\x80",
    "\xbf",
    "a\x80",
    "\xc0\x80",
    "\xc1\xbf",
    "\xc2\x41",
    "\xc2\xc2",
    "\xe0\x9f\xbf",
    "\xe0\x80\x80",
    "\xed\xa0\x80",
    "\xed\xbf\xbf",
    "\xe2\x82\x41",
    "\xf0\x8f\xbf\xbf",
    "\xf4\x90\x80\x80",
    "\xf5\x80\x80\x80",
    "\xf8\x88\x80\x80\x80",
    "\xfe",
    "\xff",
    "eightbyteightbyt\xff",
};

static const char *const broken_off[] = {"\xc2", "\xe2\x82", "\xf0\x90\x80",
                                         "abcdefgh\xc3"};

static void each_text_is_judged_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++)
        assert_true(gn_utf8_check(good[i], strlen(good[i])));
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_false(gn_utf8_check(bad[i], strlen(bad[i])));
    for (size_t i = 0; i < LENGTH(broken_off); i++)
        assert_false(gn_utf8_check(broken_off[i], strlen(broken_off[i])));
    assert_true(gn_utf8_check("nul\0 too", 8));
}

/* Whether the text is taken in two pieces that are cut there. */
static bool takes(const char *text, size_t cut)
{
    struct gn_utf8 u = {0};
    return gn_utf8_feed(&u, text, cut) &&
           gn_utf8_feed(&u, text + cut, strlen(text) - cut) && gn_utf8_whole(&u);
}

static void pieces_make_no_difference(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(good); i++)
        for (size_t cut = 0; cut <= strlen(good[i]); cut++)
            assert_true(takes(good[i], cut));
    for (size_t i = 0; i < LENGTH(bad); i++)
        for (size_t cut = 0; cut <= strlen(bad[i]); cut++)
            assert_false(takes(bad[i], cut));
}

static void the_first_wrong_byte_is_told_at_once(void **state)
{
    (void)state;
    struct gn_utf8 u = {0};
    assert_true(gn_utf8_feed(&u, "\xf4", 1));
    assert_false(gn_utf8_feed(&u, "\x90", 1));
}

static void every_character_is_taken_and_nothing_else(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 0x120000; c += c < 0x10000 ? 1 : 97) {
        char b[4] = {(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)),
                     (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f))};
        char three[3] = {(char)(0xe0 | c >> 12), b[2], b[3]};
        bool surrogate = c >= 0xd800 && c < 0xe000;
        assert_int_equal(gn_utf8_check(b, 4), c >= 0x10000 && c < 0x110000);
        if (c < 0x10000)
            assert_int_equal(gn_utf8_check(three, 3), c >= 0x800 && !surrogate);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_text_is_judged_right),
        cmocka_unit_test(pieces_make_no_difference),
        cmocka_unit_test(the_first_wrong_byte_is_told_at_once),
        cmocka_unit_test(every_character_is_taken_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
