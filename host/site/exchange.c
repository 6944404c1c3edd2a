#include "exchange.h"

#include "../http/address.h"
#include "../http/file.h"
#include "../vm/disk.h"
#include "../vm/vm.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- numbers: the serial of a slot above, its index below ---- */

enum { INDEX_BITS = 24, FIRST_ROOM = 64 };
static const uint32_t NO_SLOT = UINT32_MAX;

void gn_exchanges_init(struct gn_exchanges *xs)
{
    *xs = (struct gn_exchanges){.first_free = NO_SLOT};
}

void gn_exchanges_term(struct gn_exchanges *xs)
{
    free(xs->slots);
    gn_exchanges_init(xs);
}

static int grow(struct gn_exchanges *xs)
{
    uint32_t room = xs->room ? 2 * xs->room : FIRST_ROOM;
    if (room > 1u << INDEX_BITS)
        return -ENOMEM;
    struct gn_exchange_slot *slots = realloc(xs->slots, room * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    xs->slots = slots;
    xs->room = room;
    return 0;
}

/* Index of a free slot; NO_SLOT when out of memory. */
static uint32_t take_slot(struct gn_exchanges *xs)
{
    uint32_t i = xs->first_free;
    if (i != NO_SLOT) {
        xs->first_free = xs->slots[i].next_free;
        return i;
    }
    if (xs->count == xs->room && grow(xs) < 0)
        return NO_SLOT;
    xs->slots[xs->count].serial = 0;
    return xs->count++;
}

lua_Integer gn_exchange_begin(struct gn_exchanges *xs, struct gn_request *r)
{
    uint32_t i = take_slot(xs);
    if (i == NO_SLOT)
        return -ENOMEM;
    struct gn_exchange_slot *slot = &xs->slots[i];
    slot->request = r;
    slot->endings = LUA_NOREF;
    return (lua_Integer)(++slot->serial << INDEX_BITS | i);
}

/* The slot of a number; NULL when its request has ended, or it never was one. */
static struct gn_exchange_slot *find(const struct gn_exchanges *xs, lua_Integer number)
{
    uint32_t i = (uint32_t)number & ((1u << INDEX_BITS) - 1);
    if (number < 0 || i >= xs->count)
        return NULL;
    struct gn_exchange_slot *slot = &xs->slots[i];
    bool current = slot->request && slot->serial == (uint64_t)number >> INDEX_BITS;
    return current ? slot : NULL;
}

struct gn_request *gn_exchange_find(const struct gn_exchanges *xs, lua_Integer number)
{
    struct gn_exchange_slot *slot = find(xs, number);
    return slot ? slot->request : NULL;
}

bool gn_exchange_has_endings(const struct gn_exchanges *xs, lua_Integer number)
{
    return find(xs, number)->endings != LUA_NOREF;
}

bool gn_exchange_endings(struct gn_exchanges *xs, lua_Integer number, lua_State *L)
{
    struct gn_exchange_slot *slot = find(xs, number);
    int list = slot->endings;
    if (list == LUA_NOREF)
        return false;
    slot->endings = LUA_NOREF;
    lua_rawgeti(L, LUA_REGISTRYINDEX, list);
    luaL_unref(L, LUA_REGISTRYINDEX, list);
    return true;
}

void gn_exchange_end(struct gn_exchanges *xs, lua_Integer number)
{
    struct gn_exchange_slot *slot = find(xs, number);
    slot->request = NULL;
    slot->next_free = xs->first_free;
    xs->first_free = (uint32_t)(slot - xs->slots);
}

/* ---- arguments and results ---- */

static struct gn_exchange_slot *check_slot(lua_State *L)
{
    struct gn_exchanges *xs = lua_touserdata(L, lua_upvalueindex(1));
    struct gn_exchange_slot *slot = find(xs, luaL_checkinteger(L, 1));
    if (!slot)
        luaL_error(L, "the request has ended");
    return slot;
}

static struct gn_request *check(lua_State *L)
{
    return check_slot(L)->request;
}

/* exchange.current() -> the number of the request that the running call is for, or was
 * started for; nil */
static int x_current(lua_State *L)
{
    const struct gn_call *c = gn_call_self();
    if (!c || c->exchange == 0)
        return 0;
    lua_pushinteger(L, c->exchange);
    return 1;
}

/* nil and why: for failures of the world. */
static int fail(lua_State *L, int error)
{
    static const struct {
        int error;
        const char *text;
    } texts[] = {{-EFBIG, "too large"},    {-ETIMEDOUT, "timeout"},
                 {-ETIME, "timeout"},      {-ECANCELED, "cancelled"},
                 {-ENODATA, "file ended"}, {-EIO, "file unreadable"}};
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

/* exchange.header(x, name) -> value | nil */
static int x_header(lua_State *L)
{
    lua_pushstring(L, gn_request_header(check(L), luaL_checkstring(L, 2)));
    return 1;
}

/* exchange.lines(x, name) -> all values of a header, as if they were one line's | nil
 */
static int x_lines(lua_State *L)
{
    const struct gn_head *h = check(L)->head;
    const char *name = luaL_checkstring(L, 2);
    lua_settop(L, 2);
    for (int i = 0; i < h->header_count; i++) {
        if (strcasecmp(h->headers[i].name, name) != 0)
            continue;
        if (lua_gettop(L) == 2) {
            lua_pushstring(L, h->headers[i].value);
        } else {
            lua_pushfstring(L, "%s, %s", lua_tostring(L, 3), h->headers[i].value);
            lua_replace(L, 3);
        }
    }
    return lua_gettop(L) == 2 ? 0 : 1;
}

/* exchange.is_plain(x) -> whether no header asks for something to be sent on conditions
 * or in part: neither Range nor one that begins with "If-" */
static int x_is_plain(lua_State *L)
{
    const struct gn_head *h = check(L)->head;
    bool plain = true;
    for (int i = 0; i < h->header_count && plain; i++)
        plain = strncasecmp(h->headers[i].name, "If-", 3) != 0 &&
                strcasecmp(h->headers[i].name, "Range") != 0;
    lua_pushboolean(L, plain);
    return 1;
}

/* exchange.headers(x) -> {name, value, name, value ...} */
static int x_headers(lua_State *L)
{
    const struct gn_request *r = check(L);
    lua_createtable(L, 2 * r->head->header_count, 0);
    for (int i = 0; i < r->head->header_count; i++) {
        lua_pushstring(L, r->head->headers[i].name);
        lua_rawseti(L, -2, 2 * i + 1);
        lua_pushstring(L, r->head->headers[i].value);
        lua_rawseti(L, -2, 2 * i + 2);
    }
    return 1;
}

/* exchange.query(x) -> string | nil */
static int x_query(lua_State *L)
{
    lua_pushstring(L, check(L)->head->query);
    return 1;
}

/* exchange.version(x) -> "1.1" | "1.0" */
static int x_version(lua_State *L)
{
    lua_pushstring(L, check(L)->head->minor == 0 ? "1.0" : "1.1");
    return 1;
}

/* exchange.remote_addr(x) -> address, port */
static int x_remote_addr(lua_State *L)
{
    char address[GN_ADDRESS_ROOM];
    int port = gn_address_format(&check(L)->wire->peer, address);
    lua_pushstring(L, address);
    lua_pushinteger(L, port);
    return 2;
}

/* exchange.host(x) -> authority of the target, else of the Host header | nil */
static int x_host(lua_State *L)
{
    lua_pushstring(L, check(L)->head->host);
    return 1;
}

/* exchange.scheme(x) -> "http" | "https" */
static int x_scheme(lua_State *L)
{
    lua_pushstring(L, check(L)->wire->tls ? "https" : "http");
    return 1;
}

/* exchange.tls(x) -> {version =, cipher =, server_name =, client =} | nil on plain HTTP
 */
static int x_tls(lua_State *L)
{
    const struct gn_request *r = check(L);
    struct gn_tls_info info;
    if (!r->wire->tls)
        return 0;
    gn_tls_describe(r->wire->tls, &info);
    const char *fields[][2] = {{"version", info.version},
                               {"cipher", info.cipher},
                               {"server_name", info.server_name},
                               {"client", info.client}};
    lua_createtable(L, 0, 4);
    for (size_t i = 0; i < 4; i++) {
        lua_pushstring(L, fields[i][1]);
        lua_setfield(L, -2, fields[i][0]);
    }
    return 1;
}

/* exchange.id(x) -> a string that no other request has */
static int x_id(lua_State *L)
{
    lua_pushstring(L, gn_request_id(check(L)));
    return 1;
}

/* exchange.observed(x) -> whether it matters who the client is said to be */
static int x_observed(lua_State *L)
{
    lua_pushboolean(L, check(L)->observed);
    return 1;
}

/* exchange.count_as(x, route): under which number of genet.stats it is counted */
static int x_count_as(lua_State *L)
{
    check(L)->route = (unsigned)luaL_checkinteger(L, 2);
    return 0;
}

/* exchange.identify(x, id, address): what a trusted proxy tells; either may be nil.
 * What is too long is not believed. */
static int x_identify(lua_State *L)
{
    struct gn_request *r = check(L);
    const char *id = luaL_optstring(L, 2, ""), *address = luaL_optstring(L, 3, "");
    if (strlen(id) < sizeof r->id)
        strcpy(r->id, id);
    if (strlen(address) < sizeof r->client)
        strcpy(r->client, address);
    return 0;
}

/* exchange.on_end(x, fn): fn is called when the request has been answered, or could not
 * be; what was given last comes first */
static int x_on_end(lua_State *L)
{
    struct gn_exchange_slot *slot = check_slot(L);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (slot->endings == LUA_NOREF) {
        lua_newtable(L);
        slot->endings = luaL_ref(L, LUA_REGISTRYINDEX);
    }
    lua_rawgeti(L, LUA_REGISTRYINDEX, slot->endings);
    lua_pushvalue(L, 2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    return 0;
}

/* ---- the body ---- */

/* exchange.limit(x, bytes): how large the body of this request may be */
static int x_limit(lua_State *L)
{
    check(L)->max_body = luaL_checkinteger(L, 2);
    return 0;
}

/* exchange.detach(x): the request goes on when its client has gone */
static int x_detach(lua_State *L)
{
    check(L)->wire->on_gone = NULL;
    return 0;
}

/* exchange.endless(x): the request will last, and is cancelled as soon as the host
 * stops */
static int x_endless(lua_State *L)
{
    struct gn_request *r = check(L);
    if (r->body_done && !r->own_head)
        gn_request_keep_head(r); /* else the wire keeps more than it needs */
    gn_wire_set_endless(r->wire, true);
    return 0;
}

/* What gn_request_read() has failed with. */
static int fail_to_read(lua_State *L, ssize_t error)
{
    if (error == -EBUSY)
        return luaL_error(L, "another task is reading the body of this request");
    return fail(L, (int)error);
}

/* exchange.read(x, n) -> 1 to n bytes | nil at the end | nil, error. Waits. */
static int x_read(lua_State *L)
{
    struct gn_request *r = check(L);
    lua_Integer wanted = luaL_checkinteger(L, 2);
    luaL_argcheck(L, wanted > 0, 2, "a number of bytes above 0 was expected");
    luaL_Buffer b;
    size_t room = wanted < LUAL_BUFFERSIZE * 16 ? (size_t)wanted : LUAL_BUFFERSIZE * 16;
    ssize_t n = gn_request_read(r, luaL_buffinitsize(L, &b, room), room);
    if (n < 0)
        return fail_to_read(L, n);
    luaL_pushresultsize(&b, (size_t)n);
    if (n == 0)
        lua_pushnil(L);
    return 1;
}

/* exchange.body(x) -> the whole body | nil, error. Waits. */
static int x_body(lua_State *L)
{
    struct gn_request *r = check(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    ssize_t n;
    while ((n = gn_request_read(r, luaL_prepbuffer(&b), LUAL_BUFFERSIZE)) > 0)
        luaL_addsize(&b, (size_t)n);
    if (n < 0)
        return fail_to_read(L, n);
    luaL_pushresult(&b);
    return 1;
}

/* ---- the answer in pieces ---- */

/* exchange.start(x, status, head [, length]) -> true | nil, error. Waits for a slow
 * peer. */
static int x_start(lua_State *L)
{
    struct gn_request *r = check(L);
    size_t n;
    lua_Integer status = luaL_checkinteger(L, 2), length = luaL_optinteger(L, 4, -1);
    const char *head = luaL_checklstring(L, 3, &n);
    luaL_argcheck(L, status >= 200 && status <= 599, 2, "not a status of an answer");
    if (r->progress != GN_UNANSWERED)
        return luaL_error(L, "the answer has already been started");
    return done(L, gn_respond_start(r, (int)status, head, n, length));
}

static int x_started(lua_State *L)
{
    lua_pushboolean(L, check(L)->progress != GN_UNANSWERED);
    return 1;
}

/* exchange.write(x, data) -> true | nil, error. Waits for a slow peer. */
static int x_write(lua_State *L)
{
    struct gn_request *r = check(L);
    size_t n;
    const char *data = luaL_checklstring(L, 2, &n);
    if (r->progress != GN_STREAMING)
        return luaL_error(L, r->progress == GN_ANSWERED
                                 ? "the answer has ended"
                                 : "the answer has not been started");
    int e = gn_respond_write(r, data, n);
    if (e == -EMSGSIZE)
        return luaL_error(L,
                          "the handler writes more than its Content-Length of %I bytes",
                          (lua_Integer)r->promised);
    return done(L, e);
}

/* exchange.write_file(x, file, at, n) -> true | nil, error: n bytes of a file of
 * genet.disk, in an answer whose length has been told. Waits for the disk and a slow
 * peer. */
static int x_write_file(lua_State *L)
{
    struct gn_request *r = check(L);
    const struct gn_disk_file *f = gn_disk_check(L, 2);
    lua_Integer at = luaL_checkinteger(L, 3), n = luaL_checkinteger(L, 4);
    luaL_argcheck(L, at >= 0, 3, "an offset was expected");
    luaL_argcheck(L, n >= 0, 4, "a number of bytes was expected");
    if (r->progress != GN_STREAMING)
        return luaL_error(L, "the answer has ended or has not been started");
    int e = gn_respond_file(r, f->fd, at, n);
    if (e == -EMSGSIZE)
        return luaL_error(L, "the file is longer than the Content-Length of %I bytes",
                          (lua_Integer)r->promised);
    return done(L, e);
}

/* exchange.finish(x) -> true | nil, error */
static int x_finish(lua_State *L)
{
    struct gn_request *r = check(L);
    int e = r->progress == GN_STREAMING ? gn_respond_finish(r) : 0;
    if (e == -EMSGSIZE)
        return luaL_error(L,
                          "the handler wrote %I bytes where its Content-Length says %I",
                          (lua_Integer)r->written, (lua_Integer)r->promised);
    return done(L, e);
}

static const luaL_Reg functions[] = {
    {"current", x_current},
    {"header", x_header},
    {"is_plain", x_is_plain},
    {"headers", x_headers},
    {"lines", x_lines},
    {"query", x_query},
    {"version", x_version},
    {"remote_addr", x_remote_addr},
    {"host", x_host},
    {"scheme", x_scheme},
    {"tls", x_tls},
    {"id", x_id},
    {"observed", x_observed},
    {"count_as", x_count_as},
    {"identify", x_identify},
    {"detach", x_detach},
    {"endless", x_endless},
    {"limit", x_limit},
    {"on_end", x_on_end},
    {"read", x_read},
    {"body", x_body},
    {"start", x_start},
    {"started", x_started},
    {"write", x_write},
    {"write_file", x_write_file},
    {"finish", x_finish},
    {NULL, NULL},
};

static int open_module(lua_State *L)
{
    return gn_vm_new_module(L, functions);
}

void gn_exchanges_register(lua_State *L, struct gn_exchanges *xs)
{
    gn_vm_preload(L, "genet.exchange", open_module, xs);
}
