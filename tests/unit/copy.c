/* host/vm/copy.c: plain Lua data as bytes, from one state into another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vm/copy.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static lua_State *from, *to;

/* Memory for `to`, which ends when so many more allocations have been made. */
static int allowed;

static void *allocate(void *unused, void *p, size_t old, size_t n)
{
    (void)unused, (void)old;
    if (n == 0) {
        free(p);
        return NULL;
    }
    if (allowed == 0)
        return NULL;
    allowed -= allowed > 0;
    return realloc(p, n);
}

static int begin(void **state)
{
    (void)state;
    allowed = -1;
    from = luaL_newstate();
    to = lua_newstate(allocate, NULL);
    luaL_openlibs(from);
    luaL_openlibs(to);
    return 0;
}

static int end(void **state)
{
    (void)state;
    lua_close(from);
    lua_close(to);
    return 0;
}

/* Leaves the value of a chunk on the stack of `from`. */
static void make(const char *chunk)
{
    lua_settop(from, 0);
    if (luaL_dostring(from, chunk) != LUA_OK)
        fail_msg("%s", lua_tostring(from, -1));
    lua_settop(from, 1);
}

static int unpack(lua_State *L)
{
    const struct gn_packer *p = lua_touserdata(L, 1);
    struct gn_unpacker u;
    gn_unpack_begin(L, &u, p->data, p->size);
    gn_unpack(L, &u);
    assert_ptr_equal(u.at, u.end);
    return 1;
}

static int unpack_into(lua_State *L, struct gn_packer *p)
{
    lua_settop(L, 0);
    lua_pushcfunction(L, unpack);
    lua_pushlightuserdata(L, p);
    return lua_pcall(L, 1, 1, 0);
}

/* Copies the value of a chunk to the stack of `to`. */
static void carry(const char *chunk)
{
    struct gn_packer p;
    make(chunk);
    assert_int_equal(gn_packer_init(&p), 0);
    assert_int_equal(gn_pack(&p, from, 1), 0);
    assert_int_equal(lua_gettop(from), 1);
    assert_int_equal(unpack_into(to, &p), LUA_OK);
    gn_packer_term(&p);
}

/* Whether a chunk, given the copy as `...`, returns true. */
static void check(const char *chunk)
{
    assert_int_equal(luaL_loadstring(to, chunk), LUA_OK);
    lua_pushvalue(to, 1);
    if (lua_pcall(to, 1, 1, 0) != LUA_OK || !lua_toboolean(to, -1))
        fail_msg("'%s' is not so: %s", chunk, luaL_tolstring(to, -1, NULL));
}

/* ---- what is carried ---- */

static const struct {
    const char *value, *check;
} cases[] = {
    {"return nil", "return ... == nil"},
    {"return true", "return ... == true"},
    {"return false", "return ... == false"},
    {"return 0", "return math.type(...) == 'integer' and ... == 0"},
    {"return -1", "return ... == -1"},
    {"return 64", "return ... == 64"},
    {"return math.maxinteger", "return ... == math.maxinteger"},
    {"return math.mininteger", "return ... == math.mininteger"},
    {"return 3.0", "return math.type(...) == 'float' and ... == 3"},
    {"return -0.0", "return 1 / ... == -math.huge"},
    {"return 0/0", "return ... ~= ..."},
    {"return -math.huge", "return ... == -math.huge"},
    {"return ''", "return ... == ''"},
    {"return 'a\\0b'", "return ... == 'a\\0b'"},
    {"return ('x'):rep(127)", "return ... == ('x'):rep(127)"},
    {"return ('x'):rep(128)", "return ... == ('x'):rep(128)"},
    {"return ('x'):rep(70000)", "return ... == ('x'):rep(70000)"},
    {"return {}", "return next(...) == nil and getmetatable(...) == nil"},
    {"return {1, 'two', 3.5}", "local t = ... return #t == 3 and t[2] == 'two'"},
    {"return {1, nil, 3, nil, 5}",
     "local t = ... return t[1] == 1 and t[2] == nil and t[3] == 3 and t[5] == 5"},
    {"return {[1] = 'a', [100] = 'b', [-1] = 'c', [2.5] = 'd'}",
     "local t = ... return t[1] == 'a' and t[100] == 'b' and t[-1] == 'c' and t[2.5] "
     "== 'd'"},
    {"return {[true] = 1, [false] = 2}",
     "local t = ... return t[true] == 1 and t[false] == 2"},
    {"return {a = {b = {c = {1, {2}}}}}", "return (...).a.b.c[2][1] == 2"},
    {"local k = {7} return {[k] = k}",
     "local k, v = next(...) return k == v and k[1] == 7"},
    {"local t = {} return {t, t, {}}",
     "local t = ... return t[1] == t[2] and t[1] ~= t[3]"},
    {"local t = {} t.self = t return t", "local t = ... return t.self == t"},
    {"local a, b = {}, {} a.b, b.a = b, a return {a, b}",
     "local t = ... return t[1].b == t[2] and t[2].a == t[1]"},
    {"return setmetatable({1}, {__index = {x = 1}, __pairs = error, __len = error})",
     "local t = ... return t[1] == 1 and t.x == nil and getmetatable(t) == nil"},
};

static void plain_data_is_carried(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        carry(cases[i].value);
        check(cases[i].check);
    }
}

static void many_tables_are_told_apart(void **state)
{
    (void)state;
    carry("local t = {} for i = 1, 10000 do t[i] = {i} t[-i] = t[i] end return t");
    check("local t = ... for i = 1, 10000 do "
          "if t[i][1] ~= i or t[-i] ~= t[i] then return i end end return true");
}

static void the_null_pointer_is_carried(void **state)
{
    (void)state;
    struct gn_packer p;
    lua_settop(from, 0);
    lua_pushlightuserdata(from, NULL);
    assert_int_equal(gn_packer_init(&p), 0);
    assert_int_equal(gn_pack(&p, from, 1), 0);
    assert_int_equal(unpack_into(to, &p), LUA_OK);
    assert_true(lua_islightuserdata(to, 1));
    assert_null(lua_touserdata(to, 1));
    gn_packer_term(&p);
}

/* ---- several values, and what is written by hand ---- */

static int read_three(lua_State *L)
{
    const struct gn_packer *p = lua_touserdata(L, 1);
    struct gn_unpacker u;
    size_t n;
    gn_unpack_begin(L, &u, p->data, p->size);
    assert_int_equal(gn_unpack_integer(L, &u), -300);
    const char *s = gn_unpack_string(L, &u, &n);
    assert_int_equal(n, 6);
    assert_memory_equal(s, "pieces", 6);
    gn_unpack(L, &u);
    gn_unpack(L, &u);
    assert_true(lua_rawequal(L, -1, -2));
    assert_ptr_equal(u.at, u.end);
    return 0;
}

static void values_follow_one_another_and_share_tables(void **state)
{
    (void)state;
    struct gn_packer p;
    size_t mark;
    make("return {}");
    assert_int_equal(gn_packer_init(&p), 0);
    assert_int_equal(gn_pack_integer(&p, -300), 0);
    assert_int_equal(gn_pack_open(&p, &mark), 0);
    assert_int_equal(gn_pack_piece(&p, "pie", 3), 0);
    assert_int_equal(gn_pack_piece(&p, "ces", 3), 0);
    gn_pack_close(&p, mark);
    assert_int_equal(gn_pack(&p, from, 1), 0);
    assert_int_equal(gn_pack(&p, from, -1), 0);
    lua_pushcfunction(to, read_three);
    lua_pushlightuserdata(to, &p);
    assert_int_equal(lua_pcall(to, 1, 0, 0), LUA_OK);
    gn_packer_term(&p);
}

/* ---- what is refused ---- */

static const struct {
    const char *value, *problem;
} refused[] = {
    {"return print", "argument 1 is a function"},
    {"return function() end", "argument 1 is a function"},
    {"return io.stdout", "argument 1 is a userdata"},
    {"return coroutine.create(print)", "argument 1 is a coroutine"},
    {"return {callback = print}", "argument 1.callback is a function"},
    {"return {1, 2, {list = {true, print}}}", "argument 1[3].list[2] is a function"},
    {"return {[-7] = print}", "argument 1[-7] is a function"},
    {"return {[1.5] = print}", "argument 1[1.5] is a function"},
    {"return {[{}] = print}", "argument 1[a table] is a function"},
    {"return {[print] = 1}", "a key of argument 1 is a function"},
    {"return {a = {[io.stdout] = 1}}", "a key of argument 1.a is a userdata"},
    {"return {[{x = print}] = 1}", "a key of argument 1 is a function"},
};

static void what_is_not_plain_is_refused_by_its_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(refused); i++) {
        struct gn_packer p;
        char text[256];
        make(refused[i].value);
        assert_int_equal(gn_packer_init(&p), 0);
        assert_int_equal(gn_pack(&p, from, 1), -EINVAL);
        assert_int_equal(lua_gettop(from), 1);
        gn_packer_explain(&p, "argument 1", text, sizeof text);
        assert_string_equal(text, refused[i].problem);
        gn_packer_term(&p);
    }
}

/* A table in so many others, all under the key `k`. */
static void make_nested(int depth)
{
    char chunk[128];
    snprintf(chunk, sizeof chunk,
             "local t = {} for _ = 2, %d do t = {k = t} end return t", depth);
    make(chunk);
}

static void depth_has_a_limit(void **state)
{
    (void)state;
    struct gn_packer p;
    char text[256];
    make_nested(GN_COPY_DEPTH);
    assert_int_equal(gn_packer_init(&p), 0);
    assert_int_equal(gn_pack(&p, from, 1), 0);
    assert_int_equal(unpack_into(to, &p), LUA_OK);
    gn_packer_term(&p);
    make_nested(GN_COPY_DEPTH + 1);
    assert_int_equal(gn_packer_init(&p), 0);
    assert_int_equal(gn_pack(&p, from, 1), -EINVAL);
    gn_packer_explain(&p, "result 2", text, sizeof text);
    assert_non_null(strstr(text, "result 2.k.k.k.k"));
    assert_non_null(strstr(text, "... is nested too deeply"));
    gn_packer_term(&p);
}

/* ---- what goes wrong on the other side ---- */

static void pack_sample(struct gn_packer *p)
{
    make("local t = {1, -70000, 2.5, 'text', true, {}, x = {false}, [{}] = 'k'} "
         "t.again = t.x return t");
    assert_int_equal(gn_packer_init(p), 0);
    assert_int_equal(gn_pack(p, from, 1), 0);
}

static void damage_is_an_error_and_nothing_worse(void **state)
{
    (void)state;
    struct gn_packer p;
    pack_sample(&p);
    const size_t size = p.size;
    for (p.size = 0; p.size < size; p.size++) { /* cut short */
        char *exact = malloc(p.size ? p.size : 1), *whole = p.data;
        memcpy(exact, whole, p.size);
        p.data = exact;
        assert_int_equal(unpack_into(to, &p), LUA_ERRRUN);
        p.data = whole;
        free(exact);
    }
    gn_packer_term(&p);
}

static int unpack_some(lua_State *L)
{
    const struct gn_packer *p = lua_touserdata(L, 1);
    struct gn_unpacker u;
    gn_unpack_begin(L, &u, p->data, p->size);
    gn_unpack(L, &u);
    return 0;
}

static void wrong_bytes_are_an_error_or_another_value(void **state)
{
    (void)state;
    struct gn_packer p;
    pack_sample(&p);
    for (size_t i = 0; i < p.size; i++)
        for (int byte = 0; byte < 256; byte++) {
            char right = p.data[i];
            p.data[i] = (char)byte;
            lua_settop(to, 0);
            lua_pushcfunction(to, unpack_some);
            lua_pushlightuserdata(to, &p);
            lua_pcall(to, 1, 0, 0);
            p.data[i] = right;
        }
    assert_int_equal(unpack_into(to, &p), LUA_OK);
    gn_packer_term(&p);
}

static void lack_of_memory_is_an_error(void **state)
{
    (void)state;
    struct gn_packer p;
    int n = 0, r;
    pack_sample(&p);
    do {
        lua_settop(to, 0);
        lua_gc(to, LUA_GCCOLLECT);
        allowed = n++;
        r = unpack_into(to, &p);
        allowed = -1;
        assert_true(r == LUA_OK || r == LUA_ERRMEM);
    } while (r != LUA_OK);
    assert_true(n > 4);
    gn_packer_term(&p);
}

#define copy_test(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        copy_test(plain_data_is_carried),
        copy_test(many_tables_are_told_apart),
        copy_test(the_null_pointer_is_carried),
        copy_test(values_follow_one_another_and_share_tables),
        copy_test(what_is_not_plain_is_refused_by_its_path),
        copy_test(depth_has_a_limit),
        copy_test(damage_is_an_error_and_nothing_worse),
        copy_test(wrong_bytes_are_an_error_or_another_value),
        copy_test(lack_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
