/* host/site/sources.c: the texts of a generation. */
#include "fiber_test.h"

#include "site/sources.h"

static void what_is_recorded_is_recalled(void **state)
{
    struct gn_sources *s = gn_sources_new();
    size_t n;
    (void)state;
    assert_non_null(s);
    assert_null(gn_sources_recall(s, "a.lua", &n));
    assert_int_equal(gn_sources_record(s, "a.lua", "one\0two", 7), 0);
    assert_int_equal(gn_sources_record(s, "empty.lua", "", 0), 0);
    assert_memory_equal(gn_sources_recall(s, "a.lua", &n), "one\0two", 7);
    assert_int_equal(n, 7);
    assert_non_null(gn_sources_recall(s, "empty.lua", &n));
    assert_int_equal(n, 0);
    gn_sources_unref(s);
}

static void the_first_text_stays(void **state)
{
    struct gn_sources *s = gn_sources_new();
    size_t n;
    (void)state;
    gn_sources_record(s, "a.lua", "first", 5);
    assert_int_equal(gn_sources_record(s, "a.lua", "second", 6), 0);
    assert_memory_equal(gn_sources_recall(s, "a.lua", &n), "first", 5);
    gn_sources_unref(s);
}

static void a_set_lives_with_its_last_reference(void **state)
{
    struct gn_sources *s = gn_sources_new();
    size_t n;
    (void)state;
    gn_sources_record(s, "a.lua", "text", 4);
    assert_ptr_equal(gn_sources_ref(s), s);
    gn_sources_unref(s);
    assert_memory_equal(gn_sources_recall(s, "a.lua", &n), "text", 4);
    gn_sources_unref(s);
    assert_null(gn_sources_ref(NULL));
    gn_sources_unref(NULL);
}

enum { THREADS = 4, NAMES = 50 };

static void record_all(void *arg)
{
    char name[16];
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "%d.lua", i);
        gn_sources_record(arg, name, name, strlen(name));
    }
}

static void threads_may_record_at_once(void **state)
{
    struct gn_sources *s = gn_sources_new();
    char name[16];
    size_t n;
    (void)state;
    for (int i = 0; i < THREADS; i++)
        start_thread(record_all, s);
    join_started();
    for (int i = 0; i < NAMES; i++) {
        snprintf(name, sizeof name, "%d.lua", i);
        assert_memory_equal(gn_sources_recall(s, name, &n), name, strlen(name));
    }
    gn_sources_unref(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_recorded_is_recalled),
        cmocka_unit_test(the_first_text_stays),
        cmocka_unit_test(a_set_lives_with_its_last_reference),
        cmocka_unit_test(threads_may_record_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
