#include "exchange.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static const char class[] = "genet.exchange";

struct gn_exchange *gn_exchange_push(lua_State *L, struct gn_request *r)
{
    struct gn_exchange *x = lua_newuserdatauv(L, sizeof *x, 0);
    x->request = r;
    luaL_setmetatable(L, class);
    return x;
}

static struct gn_request *check(lua_State *L)
{
    struct gn_exchange *x = luaL_checkudata(L, 1, class);
    if (!x->request)
        luaL_error(L, "request has ended");
    return x->request;
}

/* nil and why: for failures of the world. */
static int fail(lua_State *L, int error)
{
    static const struct {
        int error;
        const char *text;
    } texts[] = {{-EFBIG, "too large"}, {-ETIMEDOUT, "timeout"}, {-ECANCELED, "cancelled"}};
    const char *text = "closed";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].error == error)
            text = texts[i].text;
    lua_pushnil(L);
    lua_pushstring(L, text);
    return 2;
}

static int done(lua_State *L, int error)
{
    if (error < 0)
        return fail(L, error);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- the request ---- */

/* x:header(name) -> value | nil */
static int x_header(lua_State *L)
{
    lua_pushstring(L, gn_request_header(check(L), luaL_checkstring(L, 2)));
    return 1;
}

/* x:headers() -> {name, value, name, value ...} */
static int x_headers(lua_State *L)
{
    const struct gn_request *r = check(L);
    lua_createtable(L, 2 * r->header_count, 0);
    for (int i = 0; i < r->header_count; i++) {
        lua_pushstring(L, r->headers[i].name);
        lua_rawseti(L, -2, 2 * i + 1);
        lua_pushstring(L, r->headers[i].value);
        lua_rawseti(L, -2, 2 * i + 2);
    }
    return 1;
}

/* x:query() -> string | nil */
static int x_query(lua_State *L)
{
    lua_pushstring(L, check(L)->query);
    return 1;
}

/* x:version() -> "1.1" | "1.0" */
static int x_version(lua_State *L)
{
    lua_pushstring(L, check(L)->version);
    return 1;
}

/* x:remote_addr() -> address, port */
static int x_remote_addr(lua_State *L)
{
    char address[128];
    int port = gn_wire_peer(check(L)->wire, address, sizeof address);
    lua_pushstring(L, address);
    lua_pushinteger(L, port);
    return 2;
}

/* x:id() -> a string that no other request has, nor likely one of another run */
static int x_id(lua_State *L)
{
    static atomic_uint_fast64_t start, count;
    uint64_t first;
    check(L);
    if (atomic_load(&start) == 0 && getrandom(&first, sizeof first, GRND_NONBLOCK) > 0)
        atomic_store(&start, first | 1);
    lua_pushfstring(L, "%p-%I", (void *)(uintptr_t)atomic_load(&start),
                    (lua_Integer)atomic_fetch_add(&count, 1) + 1);
    return 1;
}

/* ---- the body ---- */

/* x:read(n) -> 1 to n bytes | nil at the end | nil, error. Waits. */
static int x_read(lua_State *L)
{
    struct gn_request *r = check(L);
    lua_Integer wanted = luaL_checkinteger(L, 2);
    luaL_argcheck(L, wanted > 0, 2, "a number of bytes above 0 was expected");
    luaL_Buffer b;
    size_t room = wanted < LUAL_BUFFERSIZE * 16 ? (size_t)wanted : LUAL_BUFFERSIZE * 16;
    ssize_t n = gn_request_read(r, luaL_buffinitsize(L, &b, room), room);
    if (n < 0)
        return fail(L, (int)n);
    luaL_pushresultsize(&b, (size_t)n);
    if (n == 0)
        lua_pushnil(L);
    return 1;
}

/* x:body() -> the whole body | nil, error. Waits. */
static int x_body(lua_State *L)
{
    struct gn_request *r = check(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    ssize_t n;
    while ((n = gn_request_read(r, luaL_prepbuffer(&b), LUAL_BUFFERSIZE)) > 0)
        luaL_addsize(&b, (size_t)n);
    if (n < 0)
        return fail(L, (int)n);
    luaL_pushresult(&b);
    return 1;
}

/* ---- the answer in pieces ---- */

/* x:start(status, head): waits for a slow peer */
static int x_start(lua_State *L)
{
    struct gn_request *r = check(L);
    size_t n;
    lua_Integer status = luaL_checkinteger(L, 2);
    const char *head = luaL_checklstring(L, 3, &n);
    luaL_argcheck(L, status >= 200 && status <= 599, 2, "not a status of an answer");
    if (r->progress != GN_UNANSWERED)
        return luaL_error(L, "the answer has already been started");
    return done(L, gn_respond_start(r, (int)status, head, n));
}

static int x_started(lua_State *L)
{
    lua_pushboolean(L, check(L)->progress != GN_UNANSWERED);
    return 1;
}

/* x:write(data) -> true | nil, error. Waits for a slow peer. */
static int x_write(lua_State *L)
{
    struct gn_request *r = check(L);
    size_t n;
    const char *data = luaL_checklstring(L, 2, &n);
    if (r->progress != GN_STREAMING)
        return luaL_error(L, r->progress == GN_ANSWERED ? "the answer has ended"
                                                        : "the answer has not been started");
    return done(L, gn_respond_write(r, data, n));
}

/* x:finish() -> true | nil, error */
static int x_finish(lua_State *L)
{
    struct gn_request *r = check(L);
    return done(L, r->progress == GN_STREAMING ? gn_respond_finish(r) : 0);
}

static const luaL_Reg methods[] = {
    {"header", x_header},
    {"headers", x_headers},
    {"query", x_query},
    {"version", x_version},
    {"remote_addr", x_remote_addr},
    {"id", x_id},
    {"read", x_read},
    {"body", x_body},
    {"start", x_start},
    {"started", x_started},
    {"write", x_write},
    {"finish", x_finish},
    {NULL, NULL},
};

void gn_exchange_open(lua_State *L)
{
    luaL_newmetatable(L, class);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
