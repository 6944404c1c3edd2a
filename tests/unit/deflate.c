/* host/http/deflate.c: messages compressed one by one. */
#include "fiber_test.h"

#include "http/deflate.h"

static struct gn_deflate d;

static struct gn_letter *letter(const char *bytes, size_t n)
{
    struct gn_letter *l = malloc(sizeof *l + n);
    *l = (struct gn_letter){
        .kind = GN_WS_TEXT, .deflated = true, .length = n, .room = n};
    if (n > 0)
        memcpy(l->bytes, bytes, n);
    return l;
}

/* Inflates what a frame carries. Returns the code, and the letter when that is 0. */
static int inflate_frame(const struct gn_frame *f, size_t most, struct gn_letter **l)
{
    *l = letter(gn_frame_payload(f), gn_frame_payload_length(f));
    int code = gn_inflate_letter(&d, l, most);
    if (code)
        free(*l);
    return code;
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    enum { LARGE = 300000 };
    static char text[LARGE];
    static const size_t sizes[] = {64, 65, 1000, 65536, LARGE};
    for (int i = 0; i < LARGE; i++)
        text[i] = (char)('a' + i % 7 + i / 1000 % 11);
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        struct gn_letter *l;
        struct gn_frame *f = gn_deflate_frame(&d, GN_WS_TEXT, text, sizes[i]);
        assert_non_null(f);
        assert_int_equal((unsigned char)f->bytes[0], 0xc1);
        assert_true(gn_frame_payload_length(f) < sizes[i]);
        assert_int_equal(inflate_frame(f, LARGE, &l), 0);
        assert_int_equal(l->length, sizes[i]);
        assert_memory_equal(l->bytes, text, sizes[i]);
        assert_false(l->deflated);
        free(l);
        assert_int_equal(inflate_frame(f, sizes[i], &l), 0); /* just fits */
        free(l);
        assert_int_equal(inflate_frame(f, sizes[i] - 1, &l), 1009);
        gn_frame_unref(f);
    }
}

static void what_would_not_shrink_stays(void **state)
{
    (void)state;
    char noise[500];
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)((x = x * 1664525 + 1013904223) >> 24);
    assert_null(gn_deflate_frame(&d, GN_WS_BINARY, noise, sizeof noise));
    assert_null(gn_deflate_frame(&d, GN_WS_BINARY, "aaaaaaaaaa", 10));
    assert_null(gn_deflate_frame(&d, GN_WS_BINARY, NULL, 0));
}

static void receivers_share_what_is_compressed_once(void **state)
{
    (void)state;
    char text[200] = {0};
    struct gn_frame *f = gn_frame_new(GN_WS_TEXT, text, sizeof text);
    struct gn_frame *small = gn_deflate_shared(&d, f);
    assert_ptr_not_equal(small, f);
    assert_ptr_equal(gn_deflate_shared(&d, f), small);
    gn_frame_unref(f);
    f = gn_frame_new(GN_WS_TEXT, "short", 5);
    assert_ptr_equal(gn_deflate_shared(&d, f), f);
    gn_frame_unref(f);
}

static void a_bomb_is_stopped_at_the_limit(void **state)
{
    (void)state;
    enum { BOMB = 64 << 20, MOST = 100000 };
    char *zeros = calloc(1, BOMB);
    struct gn_letter *l;
    struct gn_frame *f = gn_deflate_frame(&d, GN_WS_BINARY, zeros, BOMB);
    free(zeros);
    assert_true(f->length < MOST * 4);
    assert_int_equal(inflate_frame(f, MOST, &l), 1009);
    gn_frame_unref(f);
}

static void what_is_broken_is_told(void **state)
{
    (void)state;
    static const char *const broken[] = {"\xff\xff\xff", "\x06", "\x04\xff\xff"};
    for (size_t i = 0; i < LENGTH(broken); i++) {
        struct gn_letter *l = letter(broken[i], strlen(broken[i]));
        assert_int_equal(gn_inflate_letter(&d, &l, 1000), 1007);
        free(l);
    }
}

static void an_empty_message_is_empty(void **state)
{
    (void)state;
    struct gn_letter *l = letter("\0", 1);
    assert_int_equal(gn_inflate_letter(&d, &l, 1000), 0);
    assert_int_equal(l->length, 0);
    free(l);
    l = letter("", 0);
    assert_int_equal(gn_inflate_letter(&d, &l, 1000), 0);
    assert_int_equal(l->length, 0);
    free(l);
}

static int end(void **state)
{
    (void)state;
    gn_deflate_term(&d);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(what_would_not_shrink_stays),
        cmocka_unit_test(receivers_share_what_is_compressed_once),
        cmocka_unit_test(a_bomb_is_stopped_at_the_limit),
        cmocka_unit_test(what_is_broken_is_told),
        cmocka_unit_test(an_empty_message_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, end);
}
