/* Fuzzes the decoding of paths, queries and forms: the promises are in url.lua.
 *
 * The input is one of each at once. Lua code is not instrumented for the fuzzer, so a
 * hook tells it which line followed which. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUTS_BETWEEN_COLLECTIONS = 256 };

/* libFuzzer finds them by the name of their section. */
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t steps[8192];
static int last_line;

static void count_step(lua_State *L, lua_Debug *where)
{
    (void)L;
    steps[(last_line * 127 + where->currentline) % sizeof steps]++;
    last_line = where->currentline;
}

static void fail(lua_State *L)
{
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    abort();
}

static int with_traceback(lua_State *L)
{
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

/* A state with the message handler at index 1, and what url.lua returns at 2 and 3. */
static lua_State *open_state(void)
{
    lua_State *L = luaL_newstate();
    if (!L)
        abort();
    luaL_openlibs(L);
    lua_pushcfunction(L, with_traceback);
    if (luaL_dostring(L, "package.path = '" GN_ROOT "/lua/?.lua'") ||
        luaL_dofile(L, GN_ROOT "/tests/fuzz/url.lua"))
        fail(L);
    return L;
}

/* Calls the function at index `at` with the input. */
static void check(lua_State *L, int at, const uint8_t *data, size_t size)
{
    lua_pushvalue(L, at);
    lua_pushlstring(L, (const char *)data, size);
    if (lua_pcall(L, 1, 0, 1))
        fail(L);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static lua_State *L;
    static unsigned runs;
    if (!L)
        L = open_state();
    last_line = 0;
    lua_sethook(L, count_step, LUA_MASKLINE, 0);
    check(L, 2, data, size);
    lua_sethook(L, NULL, 0, 0);
    check(L, 3, data, size);
    if (++runs % INPUTS_BETWEEN_COLLECTIONS == 0)
        lua_gc(L, LUA_GCCOLLECT);
    return 0;
}
