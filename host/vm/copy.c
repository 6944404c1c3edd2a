#include "copy.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT = 0x10, SHARED = 0x01 };
enum { LEAST_ROOM = 256, LEAST_PLACES = 32, SIZE_BYTES = 10 };

enum tag { NIL, FALSE, TRUE, NULL_POINTER, INTEGER, FLOAT, STRING, TABLE, AGAIN };

/* ---- bytes ---- */

static int make_room(struct gn_packer *p, size_t n)
{
    size_t room = p->room;
    if (p->room - p->size >= n)
        return 0;
    while (room - p->size < n)
        room = room ? 2 * room : LEAST_ROOM;
    char *data = realloc(p->data, room);
    if (!data)
        return -ENOMEM;
    p->data = data;
    p->room = room;
    return 0;
}

int gn_pack_piece(struct gn_packer *p, const void *piece, size_t n)
{
    if (make_room(p, n) < 0)
        return -ENOMEM;
    memcpy(p->data + p->size, piece, n);
    p->size += n;
    return 0;
}

static int put_tag(struct gn_packer *p, enum tag tag)
{
    char byte = (char)tag;
    return gn_pack_piece(p, &byte, 1);
}

/* A tag and a size. */
static int put_sized(struct gn_packer *p, enum tag tag, uint64_t n)
{
    if (make_room(p, 1 + SIZE_BYTES) < 0)
        return -ENOMEM;
    p->data[p->size++] = (char)tag;
    for (; n >= 0x80; n >>= 7)
        p->data[p->size++] = (char)(n | 0x80);
    p->data[p->size++] = (char)n;
    return 0;
}

int gn_packer_init(struct gn_packer *p)
{
    const char head = FORMAT;
    *p = (struct gn_packer){0};
    return gn_pack_piece(p, &head, 1);
}

void gn_packer_term(struct gn_packer *p)
{
    free(p->data);
    free(p->seen);
    *p = (struct gn_packer){0};
}

/* ---- scalars ---- */

int gn_pack_integer(struct gn_packer *p, lua_Integer i)
{
    uint64_t u = (uint64_t)i;
    return put_sized(p, INTEGER, u << 1 ^ (i < 0 ? UINT64_MAX : 0));
}

static int pack_float(struct gn_packer *p, lua_Number n)
{
    int r = put_tag(p, FLOAT);
    return r < 0 ? r : gn_pack_piece(p, &n, sizeof n);
}

int gn_pack_string(struct gn_packer *p, const char *s, size_t n)
{
    int r = put_sized(p, STRING, n);
    return r < 0 ? r : gn_pack_piece(p, s, n);
}

static int pack_number(struct gn_packer *p, lua_State *L, int index)
{
    return lua_isinteger(L, index) ? gn_pack_integer(p, lua_tointeger(L, index))
                                   : pack_float(p, lua_tonumber(L, index));
}

/* ---- strings in pieces: their length takes its full room ---- */

int gn_pack_open(struct gn_packer *p, size_t *mark)
{
    static const char length[SIZE_BYTES];
    int r = put_tag(p, STRING);
    *mark = p->size;
    return r < 0 ? r : gn_pack_piece(p, length, sizeof length);
}

void gn_pack_close(struct gn_packer *p, size_t mark)
{
    uint64_t n = p->size - mark - SIZE_BYTES;
    for (int i = 0; i < SIZE_BYTES; i++, n >>= 7)
        p->data[mark + (size_t)i] = (char)((n & 0x7f) | (i < SIZE_BYTES - 1) << 7);
}

/* ---- tables that have been packed: open addressing, no more than half full ---- */

struct gn_seen {
    const void *table; /* NULL: a free place */
    uint32_t number;
};

static struct gn_seen *place_of(struct gn_seen *seen, uint32_t capacity,
                                const void *table)
{
    uint64_t hash = (uint64_t)(uintptr_t)table * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t i = (uint32_t)(hash >> 32) & (capacity - 1);
    while (seen[i].table && seen[i].table != table)
        i = (i + 1) & (capacity - 1);
    return &seen[i];
}

static int grow(struct gn_packer *p)
{
    uint32_t capacity = p->capacity ? 2 * p->capacity : LEAST_PLACES;
    struct gn_seen *seen = capacity ? calloc(capacity, sizeof *seen) : NULL;
    if (!seen)
        return -ENOMEM;
    for (uint32_t i = 0; i < p->capacity; i++)
        if (p->seen[i].table)
            *place_of(seen, capacity, p->seen[i].table) = p->seen[i];
    free(p->seen);
    p->seen = seen;
    p->capacity = capacity;
    return 0;
}

/* ---- tables ---- */

static int refuse(struct gn_packer *p, const char *what)
{
    p->what = what;
    p->path[0] = '\0';
    p->in_key = false;
    return -EINVAL;
}

/* Puts a step in front of the path; its far end is cut off when it grows too long. */
static void step(struct gn_packer *p, const char *text)
{
    char path[sizeof p->path];
    int n = snprintf(path, sizeof path, "%s%s", text, p->path);
    if (n >= (int)sizeof path)
        memcpy(path + sizeof path - 4, "...", 4);
    memcpy(p->path, path, sizeof path);
}

/* Notes that what was refused lies under the key at a stack index. */
static void came_from(struct gn_packer *p, lua_State *L, int key)
{
    char text[64];
    int type = lua_type(L, key);
    if (type == LUA_TSTRING)
        snprintf(text, sizeof text, ".%.40s", lua_tostring(L, key));
    else if (lua_isinteger(L, key))
        snprintf(text, sizeof text, "[" LUA_INTEGER_FMT "]", lua_tointeger(L, key));
    else if (type == LUA_TNUMBER)
        snprintf(text, sizeof text, "[" LUA_NUMBER_FMT "]", lua_tonumber(L, key));
    else
        snprintf(text, sizeof text, "[a %s]", lua_typename(L, type));
    step(p, text);
}

static int pack_value(struct gn_packer *p, lua_State *L, int index, int depth);

static int pack_elements(struct gn_packer *p, lua_State *L, int table, lua_Integer n,
                         int depth)
{
    int r = 0;
    for (lua_Integer i = 1; r == 0 && i <= n; i++) {
        lua_rawgeti(L, table, i);
        r = pack_value(p, L, lua_gettop(L), depth);
        if (r == -EINVAL) {
            lua_pushinteger(L, i);
            came_from(p, L, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    return r;
}

/* The key and value on top of the stack. */
static int pack_field(struct gn_packer *p, lua_State *L, int depth)
{
    int value = lua_gettop(L), key = value - 1;
    int r = pack_value(p, L, key, depth);
    if (r == -EINVAL) {
        p->path[0] = '\0';
        p->in_key = true;
    }
    if (r == 0 && (r = pack_value(p, L, value, depth)) == -EINVAL)
        came_from(p, L, key);
    return r;
}

static bool is_element(lua_State *L, int key, lua_Integer n)
{
    if (!lua_isinteger(L, key))
        return false;
    lua_Integer i = lua_tointeger(L, key);
    return i >= 1 && i <= n;
}

static int pack_fields(struct gn_packer *p, lua_State *L, int table, lua_Integer n,
                       int depth, uint32_t *count)
{
    int r = 0;
    lua_pushnil(L);
    while (r == 0 && lua_next(L, table)) {
        if (!is_element(L, -2, n)) {
            r = pack_field(p, L, depth);
            ++*count;
        }
        lua_pop(L, 1);
    }
    if (r < 0)
        lua_pop(L, 1); /* the key */
    return r;
}

static int pack_contents(struct gn_packer *p, lua_State *L, int table, int depth)
{
    static const uint32_t unknown;
    lua_Integer n = (lua_Integer)lua_rawlen(L, table);
    int r = put_sized(p, TABLE, (uint64_t)n);
    size_t mark = p->size;
    uint32_t count = 0;
    if (r == 0)
        r = gn_pack_piece(p, &unknown, sizeof unknown);
    if (r == 0)
        r = pack_elements(p, L, table, n, depth);
    if (r == 0)
        r = pack_fields(p, L, table, n, depth, &count);
    if (r == 0)
        memcpy(p->data + mark, &count, sizeof count);
    return r;
}

static int pack_table(struct gn_packer *p, lua_State *L, int index, int depth)
{
    const void *table = lua_topointer(L, index);
    if (depth >= GN_COPY_DEPTH)
        return refuse(p, "nested too deeply");
    if (!lua_checkstack(L, 4) || (2 * p->tables >= p->capacity && grow(p) < 0))
        return -ENOMEM;
    struct gn_seen *place = place_of(p->seen, p->capacity, table);
    if (place->table) {
        p->data[0] |= SHARED;
        return put_sized(p, AGAIN, place->number);
    }
    *place = (struct gn_seen){table, p->tables++};
    return pack_contents(p, L, index, depth + 1);
}

static int pack_value(struct gn_packer *p, lua_State *L, int index, int depth)
{
    size_t n;
    const char *s;
    switch (lua_type(L, index)) {
    case LUA_TNIL:
        return put_tag(p, NIL);
    case LUA_TBOOLEAN:
        return put_tag(p, lua_toboolean(L, index) ? TRUE : FALSE);
    case LUA_TNUMBER:
        return pack_number(p, L, index);
    case LUA_TSTRING:
        s = lua_tolstring(L, index, &n);
        return gn_pack_string(p, s, n);
    case LUA_TTABLE:
        return pack_table(p, L, index, depth);
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, index))
            return put_tag(p, NULL_POINTER);
        return refuse(p, "a light userdata");
    case LUA_TFUNCTION:
        return refuse(p, "a function");
    case LUA_TTHREAD:
        return refuse(p, "a coroutine");
    default:
        return refuse(p, "a userdata");
    }
}

int gn_pack(struct gn_packer *p, lua_State *L, int index)
{
    return pack_value(p, L, lua_absindex(L, index), 0);
}

void gn_packer_explain(const struct gn_packer *p, const char *name, char *text,
                       size_t room)
{
    snprintf(text, room, "%s%s%s is %s", p->in_key ? "a key of " : "", name, p->path,
             p->what);
}

int gn_pack_one(lua_State *L, int index, const char *name, char **data, size_t *n,
                char *why, size_t room)
{
    struct gn_packer p;
    int r = gn_packer_init(&p);
    if (r == 0)
        r = gn_pack(&p, L, index);
    if (r == -EINVAL)
        gn_packer_explain(&p, name, why, room);
    else if (r < 0)
        snprintf(why, room, "out of memory");
    if (r == 0) {
        *data = p.data;
        *n = p.size;
        p.data = NULL;
    }
    gn_packer_term(&p);
    return r;
}

/* ---- reading ---- */

static int damaged(lua_State *L)
{
    return luaL_error(L, "a copy of Lua data is damaged");
}

static const char *take(lua_State *L, struct gn_unpacker *u, uint64_t n)
{
    const char *at = u->at;
    if ((uint64_t)(u->end - at) < n)
        damaged(L);
    u->at += n;
    return at;
}

static uint64_t take_size(lua_State *L, struct gn_unpacker *u)
{
    uint64_t n = 0;
    unsigned char byte = 0x80;
    for (int shift = 0; byte & 0x80; shift += 7) {
        if (shift >= 7 * SIZE_BYTES)
            damaged(L);
        byte = (unsigned char)*take(L, u, 1);
        n |= (uint64_t)(byte & 0x7f) << shift;
    }
    return n;
}

static lua_Integer take_integer(lua_State *L, struct gn_unpacker *u)
{
    uint64_t z = take_size(L, u);
    return (lua_Integer)(z >> 1 ^ (z & 1 ? UINT64_MAX : 0));
}

static void push_float(lua_State *L, struct gn_unpacker *u)
{
    lua_Number n;
    memcpy(&n, take(L, u, sizeof n), sizeof n);
    lua_pushnumber(L, n);
}

static const char *take_string(lua_State *L, struct gn_unpacker *u, size_t *n)
{
    *n = take_size(L, u);
    return take(L, u, *n);
}

static void push_string(lua_State *L, struct gn_unpacker *u)
{
    size_t n;
    const char *s = take_string(L, u, &n);
    lua_pushlstring(L, s, n);
}

static void push_again(lua_State *L, struct gn_unpacker *u)
{
    uint64_t number = take_size(L, u);
    if (!u->tables || number >= u->count)
        damaged(L);
    lua_rawgeti(L, u->tables, (lua_Integer)number + 1);
}

static void unpack_value(lua_State *L, struct gn_unpacker *u, int depth);

static void fill_fields(lua_State *L, struct gn_unpacker *u, uint32_t count, int depth)
{
    for (; count > 0; count--) {
        unpack_value(L, u, depth);
        if (lua_isnil(L, -1) || (lua_type(L, -1) == LUA_TNUMBER &&
                                 lua_tonumber(L, -1) != lua_tonumber(L, -1)))
            damaged(L); /* no key may be nil or not a number */
        unpack_value(L, u, depth);
        lua_rawset(L, -3);
    }
}

static void push_table(lua_State *L, struct gn_unpacker *u, int depth)
{
    uint32_t fields;
    uint64_t elements = take_size(L, u), left;
    memcpy(&fields, take(L, u, sizeof fields), sizeof fields);
    left = (uint64_t)(u->end - u->at); /* of which each value takes a byte at least */
    if (depth >= GN_COPY_DEPTH || elements > left || elements > INT_MAX ||
        fields > left / 2 || fields > INT_MAX)
        damaged(L);
    luaL_checkstack(L, 4, NULL);
    lua_createtable(L, (int)elements, (int)fields);
    u->count++;
    if (u->tables) {
        lua_pushvalue(L, -1);
        lua_rawseti(L, u->tables, u->count);
    }
    for (uint64_t i = 1; i <= elements; i++) {
        unpack_value(L, u, depth + 1);
        lua_rawseti(L, -2, (lua_Integer)i);
    }
    fill_fields(L, u, fields, depth + 1);
}

static void unpack_value(lua_State *L, struct gn_unpacker *u, int depth)
{
    switch ((enum tag) * take(L, u, 1)) {
    case NIL:
        lua_pushnil(L);
        break;
    case FALSE:
        lua_pushboolean(L, 0);
        break;
    case TRUE:
        lua_pushboolean(L, 1);
        break;
    case NULL_POINTER:
        lua_pushlightuserdata(L, NULL);
        break;
    case INTEGER:
        lua_pushinteger(L, take_integer(L, u));
        break;
    case FLOAT:
        push_float(L, u);
        break;
    case STRING:
        push_string(L, u);
        break;
    case TABLE:
        push_table(L, u, depth);
        break;
    case AGAIN:
        push_again(L, u);
        break;
    default:
        damaged(L);
    }
}

void gn_unpack_begin(lua_State *L, struct gn_unpacker *u, const char *data, size_t n)
{
    *u = (struct gn_unpacker){.at = data, .end = data + n};
    int head = *take(L, u, 1);
    if ((head & ~SHARED) != FORMAT)
        damaged(L);
    luaL_checkstack(L, 1, NULL);
    if (head & SHARED) {
        lua_newtable(L);
        u->tables = lua_gettop(L);
    } else {
        lua_pushnil(L);
    }
}

void gn_unpack(lua_State *L, struct gn_unpacker *u)
{
    luaL_checkstack(L, 1, NULL);
    unpack_value(L, u, 0);
}

lua_Integer gn_unpack_integer(lua_State *L, struct gn_unpacker *u)
{
    if (*take(L, u, 1) != INTEGER)
        damaged(L);
    return take_integer(L, u);
}

const char *gn_unpack_string(lua_State *L, struct gn_unpacker *u, size_t *n)
{
    if (*take(L, u, 1) != STRING)
        damaged(L);
    return take_string(L, u, n);
}
