/* host/site/exchange.c: numbers for requests, never given twice. */
#include "wire_test.h"

#include "site/exchange.h"

#include <lauxlib.h>
#include <lualib.h>

static struct gn_exchanges xs;

static int begin(void **state)
{
    (void)state;
    gn_exchanges_init(&xs);
    return 0;
}

static int end(void **state)
{
    (void)state;
    gn_exchanges_term(&xs);
    return 0;
}

static int compare(const void *a, const void *b)
{
    lua_Integer x = *(const lua_Integer *)a, y = *(const lua_Integer *)b;
    return x < y ? -1 : x > y;
}

static void a_number_is_never_given_twice(void **state)
{
    (void)state;
    enum { AT_ONCE = 10, ROUNDS = 1000 };
    static lua_Integer seen[AT_ONCE * ROUNDS];
    struct gn_request r = {0};
    for (int i = 0; i < ROUNDS; i++) {
        lua_Integer *x = &seen[i * AT_ONCE];
        for (int k = 0; k < AT_ONCE; k++) {
            x[k] = gn_exchange_begin(&xs, &r);
            assert_true(x[k] > 0);
        }
        for (int k = 0; k < AT_ONCE; k++)
            gn_exchange_end(&xs, x[k]);
    }
    assert_int_equal(xs.count, AT_ONCE); /* though the slots are used again */
    qsort(seen, LENGTH(seen), sizeof *seen, compare);
    for (size_t i = 1; i < LENGTH(seen); i++)
        assert_true(seen[i - 1] < seen[i]);
}

static void thousands_may_be_in_progress(void **state)
{
    (void)state;
    enum { MANY = 20000 };
    static lua_Integer x[MANY];
    static struct gn_request r[MANY];
    for (int i = 0; i < MANY; i++)
        assert_true((x[i] = gn_exchange_begin(&xs, &r[i])) > 0);
    assert_int_equal(xs.count, MANY);
    for (int i = 0; i < MANY; i += 2)
        gn_exchange_end(&xs, x[i]);
    for (int i = 0; i < MANY; i += 2)
        assert_true(gn_exchange_begin(&xs, &r[i]) > 0);
    assert_int_equal(xs.count, MANY);
}

/* ---- as Lua sees them ---- */

static lua_State *open_lua(void)
{
    lua_State *L = luaL_newstate();
    assert_non_null(L);
    luaL_openlibs(L);
    gn_exchanges_register(L, &xs);
    return L;
}

/* Runs `code` with the number as `x`; returns what it gives, or its error. */
static const char *run(lua_State *L, lua_Integer x, const char *code)
{
    lua_settop(L, 0);
    lua_pushinteger(L, x);
    lua_setglobal(L, "x");
    if (luaL_dostring(L, code) != LUA_OK)
        assert_non_null(lua_tostring(L, -1));
    return luaL_tolstring(L, -1, NULL);
}

#define HEADER "return require('genet.exchange').header(x, 'host')"

static void a_number_leads_to_its_request(void **state)
{
    (void)state;
    struct gn_head head = {.method = "GET",
                           .header_count = 1,
                           .headers = {{"Host", "example.org"}},
                           .minor = 1};
    struct gn_request r = {.head = &head};
    lua_State *L = open_lua();
    lua_Integer x = gn_exchange_begin(&xs, &r);
    assert_string_equal(run(L, x, HEADER), "example.org");
    assert_string_equal(run(L, x, "return require('genet.exchange').started(x)"),
                        "false");
    gn_exchange_end(&xs, x);
    lua_close(L);
}

static void a_number_whose_request_has_ended_is_refused(void **state)
{
    (void)state;
    struct gn_head head = {.method = "GET",
                           .header_count = 1,
                           .headers = {{"Host", "example.org"}},
                           .minor = 1};
    struct gn_request r = {.head = &head};
    lua_State *L = open_lua();
    lua_Integer old = gn_exchange_begin(&xs, &r);
    gn_exchange_end(&xs, old);
    assert_non_null(strstr(run(L, old, HEADER), "the request has ended"));
    lua_Integer new = gn_exchange_begin(&xs, &r); /* in the same slot */
    assert_non_null(strstr(run(L, old, HEADER), "the request has ended"));
    assert_string_equal(run(L, new, HEADER), "example.org");
    gn_exchange_end(&xs, new);
    lua_close(L);
}

static void what_is_to_be_done_at_the_end_is_kept_in_order(void **state)
{
    (void)state;
    struct gn_request r = {0};
    lua_State *L = open_lua();
    lua_Integer x = gn_exchange_begin(&xs, &r), other = gn_exchange_begin(&xs, &r);
    assert_false(gn_exchange_has_endings(&xs, x));
    assert_false(gn_exchange_endings(&xs, x, L));
    run(L, x,
        "for i = 1, 3 do\n"
        "  require('genet.exchange').on_end(x, function() return i end)\n"
        "end\n"
        "return 0");
    assert_true(gn_exchange_has_endings(&xs, x));
    assert_false(gn_exchange_has_endings(&xs, other));
    lua_settop(L, 0);
    assert_true(gn_exchange_endings(&xs, x, L));
    assert_int_equal(luaL_len(L, 1), 3);
    lua_geti(L, 1, 3);
    lua_call(L, 0, 1);
    assert_int_equal(lua_tointeger(L, -1), 3);
    assert_false(gn_exchange_has_endings(&xs, x));
    assert_non_null(strstr(run(L, x, "require('genet.exchange').on_end(x, 1)"),
                           "function expected"));
    gn_exchange_end(&xs, x);
    assert_non_null(strstr(run(L, x, "require('genet.exchange').on_end(x, print)"),
                           "the request has ended"));
    gn_exchange_end(&xs, other);
    lua_close(L);
}

static void a_number_that_never_was_one_is_refused(void **state)
{
    (void)state;
    const lua_Integer wrong[] = {0, -1, 1, 4711, INT64_MAX, INT64_MIN};
    lua_State *L = open_lua();
    for (size_t i = 0; i < LENGTH(wrong); i++)
        assert_non_null(strstr(run(L, wrong[i], HEADER), "the request has ended"));
    assert_non_null(strstr(run(L, 0, "require('genet.exchange').header('x', 'host')"),
                           "number expected"));
    lua_close(L);
}

#define with_exchanges(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_exchanges(a_number_is_never_given_twice),
        with_exchanges(thousands_may_be_in_progress),
        with_exchanges(a_number_leads_to_its_request),
        with_exchanges(a_number_whose_request_has_ended_is_refused),
        with_exchanges(what_is_to_be_done_at_the_end_is_kept_in_order),
        with_exchanges(a_number_that_never_was_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
