#include "carry.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* How a value goes: as itself; by the name of a module; by that and a field's; as code;
 * by the number of a function that was packed before. */
enum way { DATA, MODULE, MEMBER, CODE, BEFORE };

struct carrier {
    struct gn_packer *packer;
    const void *function[GN_CARRY_FUNCTIONS];
    unsigned count;
};

/* ---- appending ---- */

static void check(lua_State *L, int r)
{
    if (r < 0)
        luaL_error(L, "not enough memory");
}

static void put_integer(lua_State *L, struct gn_packer *p, lua_Integer i)
{
    check(L, gn_pack_integer(p, i));
}

static void put_text(lua_State *L, struct gn_packer *p, const char *text)
{
    check(L, gn_pack_string(p, text, strlen(text)));
}

void gn_carry_data(lua_State *L, struct gn_packer *p, int index, const char *what)
{
    char text[256];
    int r = gn_pack(p, L, index);
    if (r == -EINVAL) {
        gn_packer_explain(p, what, text, sizeof text);
        luaL_error(L, "%s: only plain data is carried to another Lua state", text);
    }
    check(L, r);
}

void gn_carry_name(lua_State *L, struct gn_packer *p, const char *module,
                   const char *name)
{
    put_integer(L, p, name ? MEMBER : MODULE);
    put_text(L, p, module);
    if (name)
        put_text(L, p, name);
}

/* ---- names ---- */

/* Looks for the value at `index` among those of the table on top of the stack. Leaves
 * its key, a string, in place of the table; or nothing. */
static bool find(lua_State *L, int index)
{
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        bool same = lua_type(L, -2) == LUA_TSTRING && lua_rawequal(L, -1, index);
        lua_pop(L, 1);
        if (same) {
            lua_remove(L, -2);
            return true;
        }
    }
    lua_pop(L, 1);
    return false;
}

static bool carry_module(lua_State *L, struct gn_packer *p, int index)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (!find(L, index))
        return false;
    gn_carry_name(L, p, lua_tostring(L, -1), NULL);
    lua_pop(L, 1);
    return true;
}

/* Whether the other state has the function too, if the table on top of the stack does.
 * The key below it is the module's name. Globals of Lua code are this state's own. */
static bool is_module(lua_State *L, int function)
{
    return lua_istable(L, -1) && lua_type(L, -2) == LUA_TSTRING &&
           (lua_iscfunction(L, function) ||
            strcmp(lua_tostring(L, -2), LUA_GNAME) != 0);
}

static bool carry_member(lua_State *L, struct gn_packer *p, int index)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (!is_module(L, index))
            continue;
        lua_pushvalue(L, -1);
        if (!find(L, index))
            continue;
        gn_carry_name(L, p, lua_tostring(L, -3), lua_tostring(L, -1));
        lua_pop(L, 4);
        return true;
    }
    lua_pop(L, 1);
    return false;
}

/* ---- code ---- */

static int write_piece(lua_State *L, const void *piece, size_t n, void *packer)
{
    (void)L;
    return gn_pack_piece(packer, piece, n);
}

static void put_code(lua_State *L, struct gn_packer *p, int index)
{
    size_t mark;
    lua_pushvalue(L, index);
    check(L, gn_pack_open(p, &mark));
    check(L, lua_dump(L, write_piece, p, false) ? -ENOMEM : 0);
    gn_pack_close(p, mark);
    lua_pop(L, 1);
}

static bool carry_before(lua_State *L, struct carrier *c, int index)
{
    const void *function = lua_topointer(L, index);
    for (unsigned i = 0; i < c->count; i++)
        if (c->function[i] == function) {
            put_integer(L, c->packer, BEFORE);
            put_integer(L, c->packer, i);
            return true;
        }
    return false;
}

static void carry_function(lua_State *L, struct carrier *c, int index,
                           const char *what);

static void carry_upvalue(lua_State *L, struct carrier *c, const char *name)
{
    char what[80];
    int index = lua_gettop(L), type = lua_type(L, index);
    snprintf(what, sizeof what, "upvalue '%.60s'", name);
    if (type == LUA_TFUNCTION) {
        carry_function(L, c, index, what);
    } else if (type != LUA_TTABLE || !carry_module(L, c->packer, index)) {
        put_integer(L, c->packer, DATA);
        gn_carry_data(L, c->packer, index, what);
    }
    lua_pop(L, 1);
}

static void carry_code(lua_State *L, struct carrier *c, int index)
{
    lua_Debug info;
    lua_pushvalue(L, index);
    lua_getinfo(L, ">u", &info);
    if (c->count == GN_CARRY_FUNCTIONS)
        luaL_error(L, "the function refers to more than %d others", GN_CARRY_FUNCTIONS);
    c->function[c->count++] = lua_topointer(L, index);
    put_integer(L, c->packer, CODE);
    put_code(L, c->packer, index);
    put_integer(L, c->packer, info.nups);
    for (int i = 1; i <= info.nups; i++)
        carry_upvalue(L, c, lua_getupvalue(L, index, i));
}

static void carry_function(lua_State *L, struct carrier *c, int index, const char *what)
{
    luaL_checkstack(L, 10, NULL);
    if (carry_before(L, c, index) || carry_module(L, c->packer, index) ||
        carry_member(L, c->packer, index))
        return;
    if (lua_iscfunction(L, index))
        luaL_error(L, "%s is a C function that no loaded module has", what);
    carry_code(L, c, index);
}

void gn_carry(lua_State *L, struct gn_packer *p, int index)
{
    struct carrier c = {.packer = p};
    carry_function(L, &c, lua_absindex(L, index), "the function");
}

/* ---- the other side ---- */

static void push_text(lua_State *L, struct gn_unpacker *u)
{
    size_t n;
    const char *text = gn_unpack_string(L, u, &n);
    lua_pushlstring(L, text, n);
}

static void push_module(lua_State *L, struct gn_unpacker *u)
{
    lua_getglobal(L, "require");
    push_text(L, u);
    lua_call(L, 1, 1);
}

/* With the module and the field's name on top of the stack; the module's is below. */
static void get_member(lua_State *L)
{
    if (!lua_istable(L, -2))
        luaL_error(L, "module '%s' is not a table but a %s", lua_tostring(L, -3),
                   luaL_typename(L, -2));
    lua_pushvalue(L, -1);
    if (lua_gettable(L, -3) == LUA_TNIL)
        luaL_error(L, "module '%s' has no '%s'", lua_tostring(L, -4),
                   lua_tostring(L, -2));
}

static void push_member(lua_State *L, struct gn_unpacker *u)
{
    push_text(L, u);
    lua_getglobal(L, "require");
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
    push_text(L, u);
    get_member(L);
    lua_replace(L, -4);
    lua_pop(L, 2);
}

static void push_value(lua_State *L, struct gn_unpacker *u, int functions);

/* Notes the function under the next number. */
static void number(lua_State *L, int functions)
{
    lua_pushvalue(L, -1);
    lua_rawseti(L, functions, (lua_Integer)lua_rawlen(L, functions) + 1);
}

static void push_code(lua_State *L, struct gn_unpacker *u, int functions)
{
    size_t n;
    const char *code = gn_unpack_string(L, u, &n);
    luaL_checkstack(L, 10, NULL);
    if (luaL_loadbufferx(L, code, n, "=(offloaded)", "b") != LUA_OK)
        lua_error(L);
    number(L, functions);
    int upvalues = (int)gn_unpack_integer(L, u);
    for (int i = 1; i <= upvalues; i++) {
        push_value(L, u, functions);
        lua_setupvalue(L, -2, i);
    }
}

static void push_value(lua_State *L, struct gn_unpacker *u, int functions)
{
    switch ((enum way)gn_unpack_integer(L, u)) {
    case DATA:
        gn_unpack(L, u);
        break;
    case MODULE:
        push_module(L, u);
        break;
    case MEMBER:
        push_member(L, u);
        break;
    case CODE:
        push_code(L, u, functions);
        break;
    case BEFORE:
        lua_rawgeti(L, functions, gn_unpack_integer(L, u) + 1);
        break;
    }
}

void gn_uncarry(lua_State *L, struct gn_unpacker *u)
{
    luaL_checkstack(L, 10, NULL);
    lua_newtable(L);
    push_value(L, u, lua_gettop(L));
    lua_remove(L, -2);
}
