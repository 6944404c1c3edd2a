#include "shared.h"

#include "../shared/home.h"
#include "../shared/watch.h"
#include "copy.h"
#include "vm.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the store of a host ---- */

void gn_shared_init(struct gn_shared *s, const char *state, uint64_t limit)
{
    *s = (struct gn_shared){.state = state, .limit = limit, .alive = -1};
    pthread_mutex_init(&s->lock, NULL);
}

/* What a process that calls exit() would leave behind: its private directory. */
static struct {
    pthread_mutex_t lock; /* protects the rest */
    char path[GN_HOME_ROOM];
    pid_t maker;
    bool registered;
} leftover = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void remove_leftover(void)
{
    if (leftover.path[0] && leftover.maker == getpid())
        gn_home_remove(leftover.path, -1);
}

static void note_leftover(const char *path)
{
    pthread_mutex_lock(&leftover.lock);
    snprintf(leftover.path, sizeof leftover.path, "%s", path);
    leftover.maker = getpid();
    if (path[0] && !leftover.registered)
        leftover.registered = atexit(remove_leftover) == 0;
    pthread_mutex_unlock(&leftover.lock);
}

static int make_place(struct gn_shared *s, char *error, size_t room)
{
    char path[GN_HOME_ROOM];
    int r = gn_home_make(NULL, path, sizeof path, &s->alive);
    if (r == 0 && !(s->made = strdup(path))) {
        gn_home_remove(path, s->alive);
        r = -ENOMEM;
    }
    if (r < 0)
        snprintf(error, room, "there is no place for the shared store: %s",
                 strerror(-r));
    else
        note_leftover(path);
    return r;
}

/* Called with the lock held. */
static int open_store(struct gn_shared *s, char *error, size_t room)
{
    int r = 0;
    if (!s->state && !s->private && !s->made)
        r = make_place(s, error, room);
    if (r < 0)
        return r;
    struct gn_store_options o = {
        .path = s->state     ? s->state
                : s->private ? s->private
                             : s->made,
        .limit = s->limit,
        .in_memory = !s->state,
    };
    return gn_store_open(&s->store, &o, error, room);
}

int gn_shared_open(struct gn_shared *s, char *error, size_t room)
{
    pthread_mutex_lock(&s->lock);
    int r = s->store ? 0 : open_store(s, error, room);
    pthread_mutex_unlock(&s->lock);
    return r;
}

const char *gn_shared_place(struct gn_shared *s, char *error, size_t room)
{
    pthread_mutex_lock(&s->lock);
    int r = s->made ? 0 : make_place(s, error, room);
    pthread_mutex_unlock(&s->lock);
    return r < 0 ? NULL : s->made;
}

void gn_shared_close(struct gn_shared *s)
{
    gn_store_close(s->store);
    if (s->made) {
        gn_home_remove(s->made, s->alive);
        note_leftover("");
    }
    free(s->made);
    pthread_mutex_destroy(&s->lock);
    *s = (struct gn_shared){.alive = -1};
}

/* ---- dictionaries, as Lua holds them ---- */

static const char DICT[] = "genet.shared";

struct dict {
    struct gn_store *store;
    unsigned number;
    bool strict;
    struct gn_scratch scratch; /* what was read last */
    char name[];
};

static int dict_gc(lua_State *L)
{
    struct dict *d = luaL_checkudata(L, 1, DICT);
    free(d->scratch.data);
    d->scratch = (struct gn_scratch){0};
    return 0;
}

static int dict_tostring(lua_State *L)
{
    const struct dict *d = luaL_checkudata(L, 1, DICT);
    lua_pushfstring(L, "genet.shared: %s", d->name);
    return 1;
}

/* ---- arguments ---- */

static const char *described(lua_State *L, int arg)
{
    int type = lua_type(L, arg);
    if (type == LUA_TNONE || type == LUA_TNIL)
        return "nothing";
    if (type == LUA_TNUMBER)
        return lua_tostring(L, arg);
    return lua_pushfstring(L, "a %s", luaL_typename(L, arg));
}

static int refuse(lua_State *L, const char *method, const char *name,
                  const char *expected, int arg)
{
    return luaL_error(L, "shared:%s: argument '%s': %s was expected, not %s", method,
                      name, expected, described(L, arg));
}

static struct dict *check_dict(lua_State *L, const char *method)
{
    struct dict *d = luaL_testudata(L, 1, DICT);
    if (!d)
        luaL_error(L,
                   "shared:%s: a dictionary was expected: write shared:%s, not "
                   "shared.%s",
                   method, method, method);
    return d;
}

/* The dictionary and key at indices 1 and 2. */
static struct dict *check(lua_State *L, const char *method, struct gn_key *k)
{
    struct dict *d = check_dict(L, method);
    int type = lua_type(L, 2);
    if (type != LUA_TSTRING && type != LUA_TNUMBER)
        refuse(L, method, "key", "a string", 2);
    k->dict = d->number;
    k->name = lua_tolstring(L, 2, &k->size);
    return d;
}

/* When what lives for so many seconds expires; 0 for nil and infinity. */
static int64_t check_ttl(lua_State *L, const struct dict *d, int arg,
                         const char *method)
{
    if (lua_isnoneornil(L, arg))
        return 0;
    lua_Number seconds = lua_tonumber(L, arg);
    if (lua_type(L, arg) != LUA_TNUMBER || !(seconds > 0))
        refuse(L, method, "ttl", "a number of seconds above 0", arg);
    if (seconds > 1e12)
        return 0;
    int64_t ms = (int64_t)(seconds * 1000 + 0.999);
    return gn_store_now(d->store) + ms;
}

/* A number or string in place; anything else packed, to be freed: `packed`. */
static void check_value(lua_State *L, int arg, const char *method, struct gn_value *v,
                        char **packed)
{
    char why[200];
    *packed = NULL;
    *v = (struct gn_value){0};
    switch (lua_type(L, arg)) {
    case LUA_TNONE:
    case LUA_TNIL:
        return;
    case LUA_TNUMBER:
        v->kind = lua_isinteger(L, arg) ? GN_INTEGER : GN_NUMBER;
        if (v->kind == GN_INTEGER)
            v->integer = lua_tointeger(L, arg);
        else
            v->number = lua_tonumber(L, arg);
        return;
    case LUA_TSTRING:
        v->kind = GN_BYTES;
        v->data = lua_tolstring(L, arg, &v->size);
        return;
    }
    int r = gn_pack_one(L, arg, "argument 'value'", packed, &v->size, why, sizeof why);
    if (r < 0)
        luaL_error(L, "shared:%s: %s", method, why);
    v->kind = GN_PACKED;
    v->data = *packed;
}

static void check_number(lua_State *L, int arg, const char *method, const char *name,
                         struct gn_value *v)
{
    char *packed;
    if (lua_type(L, arg) != LUA_TNUMBER)
        refuse(L, method, name, "a number", arg);
    check_value(L, arg, method, v, &packed);
}

/* ---- results ---- */

static int fail(lua_State *L, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

/* nil and why; `invalid` is what -EINVAL means. */
static int failed(lua_State *L, int r, const char *invalid)
{
    switch (r) {
    case -ENOMEM:
        return fail(L, "no memory");
    case -ENOENT:
        return fail(L, "not found");
    case -EEXIST:
        return fail(L, "exists");
    case -EAGAIN:
        return fail(L, "changed");
    case -ERANGE:
        return fail(L, "out of range");
    case -EINVAL:
        return fail(L, invalid);
    case -ENAMETOOLONG:
        return fail(L, "key too long");
    case -ETIMEDOUT:
        return fail(L, "timeout");
    }
    return fail(L, "the shared store is damaged");
}

static int done(lua_State *L, int r)
{
    if (r < 0)
        return failed(L, r, "");
    lua_pushboolean(L, true);
    return 1;
}

/* What was packed is copied first: finalizers that run meanwhile may use the same
 * scratch. */
static void push_packed(lua_State *L, const struct gn_value *v)
{
    struct gn_unpacker u;
    lua_pushlstring(L, v->data, v->size);
    int at = lua_gettop(L);
    gn_unpack_begin(L, &u, lua_tostring(L, at), v->size);
    gn_unpack(L, &u);
    lua_replace(L, at);
    lua_settop(L, at);
}

static void push_value(lua_State *L, const struct gn_value *v)
{
    luaL_checkstack(L, 4, NULL);
    switch (v->kind) {
    case GN_INTEGER:
        lua_pushinteger(L, v->integer);
        break;
    case GN_NUMBER:
        lua_pushnumber(L, v->number);
        break;
    case GN_BYTES:
        lua_pushlstring(L, v->data, v->size);
        break;
    case GN_PACKED:
        push_packed(L, v);
        break;
    default:
        lua_pushnil(L);
    }
}

/* ---- one entry ---- */

/* dict:get(key) -> value | nil | nil, why */
static int d_get(lua_State *L)
{
    struct gn_key k;
    struct gn_item e;
    struct dict *d = check(L, "get", &k);
    int r = gn_store_get(d->store, &k, &e, &d->scratch);
    if (r < 0)
        return failed(L, r, "");
    if (e.value.kind == GN_LIST)
        return fail(L, "is a list");
    push_value(L, &e.value);
    return 1;
}

/* dict:entry(key) -> value, version | nil, version (0: there is none) | nil, why */
static int d_entry(lua_State *L)
{
    struct gn_key k;
    struct gn_item e;
    struct dict *d = check(L, "entry", &k);
    int r = gn_store_get(d->store, &k, &e, &d->scratch);
    if (r < 0)
        return failed(L, r, "");
    if (e.value.kind == GN_LIST)
        return fail(L, "is a list");
    push_value(L, &e.value);
    lua_pushinteger(L, (lua_Integer)e.version);
    return 2;
}

/* Sets argument `at`, with a ttl behind it. */
static int set(lua_State *L, const char *method, int at, enum gn_when when,
               int64_t without_ttl, uint64_t version)
{
    struct gn_key k;
    struct gn_value v;
    char *packed;
    struct dict *d = check(L, method, &k);
    int64_t expires = check_ttl(L, d, at + 1, method);
    if (lua_isnoneornil(L, at + 1))
        expires = without_ttl;
    check_value(L, at, method, &v, &packed);
    if (v.kind == GN_NONE && (when == GN_IF_ABSENT || when == GN_PRESENT))
        return refuse(L, method, "value", "a value", at);
    int r = gn_store_set(d->store, &k, &v, expires, when, version);
    free(packed);
    return done(L, r);
}

/* dict:set(key, value, [ttl]) -> true | nil, why */
static int d_set(lua_State *L)
{
    return set(L, "set", 3, GN_ALWAYS, 0, 0);
}

static int d_add(lua_State *L)
{
    return set(L, "add", 3, GN_IF_ABSENT, 0, 0);
}

static int d_replace(lua_State *L)
{
    return set(L, "replace", 3, GN_PRESENT, 0, 0);
}

/* dict:swap(key, version, value, [ttl]) -> true | nil, "changed" | nil, why */
static int d_swap(lua_State *L)
{
    if (!lua_isinteger(L, 3))
        return refuse(L, "swap", "version", "an integer", 3);
    uint64_t version = (uint64_t)lua_tointeger(L, 3);
    return set(L, "swap", 4, GN_VERSION, GN_KEEP_EXPIRY, version);
}

/* dict:incr(key, [by], [init], [ttl]) -> sum | nil, why */
static int d_incr(lua_State *L)
{
    struct gn_key k;
    struct gn_value by = {.kind = GN_INTEGER, .integer = 1}, init = {0}, sum;
    struct dict *d = check(L, "incr", &k);
    if (!lua_isnoneornil(L, 3))
        check_number(L, 3, "incr", "by", &by);
    if (!lua_isnoneornil(L, 4))
        check_number(L, 4, "incr", "init", &init);
    int64_t expires = check_ttl(L, d, 5, "incr");
    int r = gn_store_incr(d->store, &k, &by, &init, expires, &sum);
    if (r < 0)
        return failed(L, r, "not a number");
    push_value(L, &sum);
    return 1;
}

/* dict:delete(key) -> whether it was there | nil, why */
static int d_delete(lua_State *L)
{
    struct gn_key k;
    const struct dict *d = check(L, "delete", &k);
    int r = gn_store_delete(d->store, &k);
    if (r < 0)
        return failed(L, r, "");
    lua_pushboolean(L, r);
    return 1;
}

/* dict:expire(key, [ttl]) -> true | nil, why */
static int d_expire(lua_State *L)
{
    struct gn_key k;
    const struct dict *d = check(L, "expire", &k);
    return done(L, gn_store_expire(d->store, &k, check_ttl(L, d, 3, "expire")));
}

/* dict:ttl(key) -> seconds | nil, why */
static int d_ttl(lua_State *L)
{
    struct gn_key k;
    struct gn_item e;
    struct dict *d = check(L, "ttl", &k);
    int r = gn_store_get(d->store, &k, &e, &d->scratch);
    if (r == 0 && !e.version)
        r = -ENOENT;
    if (r < 0)
        return failed(L, r, "");
    int64_t left = e.expires - gn_store_now(d->store);
    lua_pushnumber(L, e.expires == 0 ? HUGE_VAL : left > 0 ? (double)left / 1000 : 0);
    return 1;
}

/* ---- lists ---- */

static int push(lua_State *L, const char *method, bool front)
{
    struct gn_key k;
    struct gn_value v;
    char *packed;
    const struct dict *d = check(L, method, &k);
    check_value(L, 3, method, &v, &packed);
    if (v.kind == GN_NONE)
        return refuse(L, method, "value", "a value", 3);
    int64_t n = gn_store_push(d->store, &k, &v, front);
    free(packed);
    if (n < 0)
        return failed(L, (int)n, "not a list");
    lua_pushinteger(L, n);
    return 1;
}

static int pop(lua_State *L, const char *method, bool front)
{
    struct gn_key k;
    struct gn_value v;
    struct dict *d = check(L, method, &k);
    int r = gn_store_pop(d->store, &k, front, &v, &d->scratch);
    if (r < 0)
        return failed(L, r, "not a list");
    push_value(L, &v);
    return 1;
}

static int d_lpush(lua_State *L)
{
    return push(L, "lpush", true);
}

static int d_rpush(lua_State *L)
{
    return push(L, "rpush", false);
}

static int d_lpop(lua_State *L)
{
    return pop(L, "lpop", true);
}

static int d_rpop(lua_State *L)
{
    return pop(L, "rpop", false);
}

/* dict:llen(key) -> how many elements | nil, why */
static int d_llen(lua_State *L)
{
    struct gn_key k;
    struct gn_item e;
    struct dict *d = check(L, "llen", &k);
    int r = gn_store_get(d->store, &k, &e, &d->scratch);
    if (r == 0 && e.version && e.value.kind != GN_LIST)
        r = -EINVAL;
    if (r < 0)
        return failed(L, r, "not a list");
    lua_pushinteger(L, e.version ? e.value.integer : 0);
    return 1;
}

/* ---- all of them ---- */

enum { KEYS_ROOM = 64 << 10 };

/* Keys of one step, each after its length. */
struct keys {
    const char *prefix;
    size_t prefix_size, used;
    lua_Integer left;
    char data[KEYS_ROOM];
};

static bool collect(const char *key, size_t n, void *arg)
{
    struct keys *ks = arg;
    uint16_t size = (uint16_t)n;
    if (n < ks->prefix_size || memcmp(key, ks->prefix, ks->prefix_size) != 0)
        return true;
    if (ks->left == 0 || KEYS_ROOM - ks->used < n + sizeof size)
        return false;
    memcpy(ks->data + ks->used, &size, sizeof size);
    memcpy(ks->data + ks->used + sizeof size, key, n);
    ks->used += sizeof size + n;
    ks->left--;
    return true;
}

static void append_keys(lua_State *L, const struct keys *ks, lua_Integer *count)
{
    for (size_t at = 0; at < ks->used;) {
        uint16_t size;
        memcpy(&size, ks->data + at, sizeof size);
        lua_pushlstring(L, ks->data + at + sizeof size, size);
        lua_rawseti(L, -2, ++*count);
        at += sizeof size + size;
    }
}

static void breathe(void)
{
    if (gn_may_park())
        gn_yield();
}

/* dict:keys([prefix], [most]) -> keys. Waits, when there are many. */
static int d_keys(lua_State *L)
{
    struct gn_walk walk = {0};
    lua_Integer count = 0;
    int more = 1;
    const struct dict *d = check_dict(L, "keys");
    if (!lua_isnoneornil(L, 2) && lua_type(L, 2) != LUA_TSTRING)
        return refuse(L, "keys", "prefix", "a string", 2);
    if (!lua_isnoneornil(L, 3) && !(lua_isinteger(L, 3) && lua_tointeger(L, 3) > 0))
        return refuse(L, "keys", "most", "a whole number from 1", 3);
    lua_settop(L, 3);
    struct keys *ks = lua_newuserdatauv(L, sizeof *ks, 0);
    ks->prefix = luaL_optlstring(L, 2, "", &ks->prefix_size);
    ks->left = luaL_optinteger(L, 3, LUA_MAXINTEGER);
    lua_newtable(L);
    while (more > 0 && ks->left > 0) {
        ks->used = 0;
        more = gn_store_walk(d->store, d->number, &walk, collect, ks);
        append_keys(L, ks, &count);
        if (more > 0)
            breathe();
    }
    return more < 0 ? failed(L, more, "") : 1;
}

/* dict:flush() -> true | nil, why. Waits, when there is much. */
static int d_flush(lua_State *L)
{
    struct gn_walk walk = {0};
    int more;
    const struct dict *d = check_dict(L, "flush");
    while ((more = gn_store_flush(d->store, d->number, &walk)) > 0)
        breathe();
    return done(L, more);
}

static void set_count(lua_State *L, const char *name, long long n)
{
    lua_pushinteger(L, n > 0 ? n : 0);
    lua_setfield(L, -2, name);
}

/* dict:stats() -> a table */
static int d_stats(lua_State *L)
{
    const struct dict *d = check_dict(L, "stats");
    struct gn_marks *b = gn_store_board(d->store);
    struct gn_tally *t = &b->dicts[d->number];
    lua_createtable(L, 0, 8);
    set_count(L, "entries", atomic_load(&t->entries));
    set_count(L, "bytes", atomic_load(&t->bytes));
    set_count(L, "evicted", (long long)atomic_load(&t->evicted));
    set_count(L, "expired", (long long)atomic_load(&t->expired));
    set_count(L, "used", atomic_load(&b->bytes));
    set_count(L, "limit", (long long)b->limit);
    lua_pushstring(L, atomic_load(&t->strict) ? "error" : "lru");
    lua_setfield(L, -2, "eviction");
    return 1;
}

/* ---- watching ---- */

static int64_t check_deadline(lua_State *L, int arg)
{
    lua_Number seconds = lua_tonumber(L, arg);
    if (lua_isnoneornil(L, arg))
        return GN_NEVER;
    if (lua_type(L, arg) != LUA_TNUMBER || !(seconds >= 0))
        refuse(L, "watch", "timeout", "a number of seconds from 0", arg);
    return seconds > 1e9 ? GN_NEVER : gn_after((int64_t)(seconds * GN_SECOND));
}

/* dict:watch(key, [timeout], [version]) -> true, value, version | nil, why. Waits. */
static int d_watch(lua_State *L)
{
    struct gn_key k;
    struct gn_item e;
    struct dict *d = check(L, "watch", &k);
    int64_t deadline = check_deadline(L, 3);
    if (!lua_isnoneornil(L, 4) && !lua_isinteger(L, 4))
        return refuse(L, "watch", "version", "an integer", 4);
    if (!gn_may_park())
        return luaL_error(L, "shared:watch: nothing may wait here");
    int r = 0;
    if (lua_isnoneornil(L, 4))
        r = gn_store_get(d->store, &k, &e, &d->scratch);
    else
        e.version = (uint64_t)lua_tointeger(L, 4);
    if (r == 0)
        r = gn_store_watch(d->store, &k, e.version, deadline, &e, &d->scratch);
    if (r < 0 && r == gn_fiber_cause(gn_fiber_self()))
        return gn_vm_raise(L, r);
    if (r < 0)
        return failed(L, r, "");
    lua_pushboolean(L, true);
    push_value(L, &e.value);
    lua_pushinteger(L, (lua_Integer)e.version);
    return 3;
}

/* ---- the module ---- */

static const luaL_Reg methods[] = {
    {"get", d_get},     {"entry", d_entry},     {"set", d_set},
    {"add", d_add},     {"replace", d_replace}, {"swap", d_swap},
    {"incr", d_incr},   {"delete", d_delete},   {"expire", d_expire},
    {"ttl", d_ttl},     {"lpush", d_lpush},     {"rpush", d_rpush},
    {"lpop", d_lpop},   {"rpop", d_rpop},       {"llen", d_llen},
    {"keys", d_keys},   {"flush", d_flush},     {"stats", d_stats},
    {"watch", d_watch}, {NULL, NULL},
};

/* store.open(name, strict) -> dictionary | nil, why. Opens the store, if need be. */
static int s_open(lua_State *L)
{
    struct gn_shared *s = lua_touserdata(L, lua_upvalueindex(1));
    char error[GN_HOME_ROOM + 100];
    size_t n;
    const char *name = luaL_checklstring(L, 1, &n);
    bool strict = lua_toboolean(L, 2);
    if (!s)
        return fail(L, "there is no store here: it is for the scripts of a host, not "
                       "for offloaded work");
    if (gn_shared_open(s, error, sizeof error) < 0)
        return fail(L, error);
    struct dict *d = lua_newuserdatauv(L, sizeof *d + n + 1, 0);
    memset(d, 0, sizeof *d);
    memcpy(d->name, name, n + 1);
    luaL_setmetatable(L, DICT);
    int number = gn_store_dict(s->store, name, n, strict);
    if (number == -EMFILE)
        return fail(L, "too many dictionaries");
    if (number < 0)
        return failed(L, number, "");
    d->store = s->store;
    d->number = (unsigned)number;
    return 1;
}

/* The methods stand in `methods`, to which Lua adds some. */
int luaopen_genet_shared_store(lua_State *L)
{
    void *shared = lua_islightuserdata(L, lua_upvalueindex(1))
                       ? lua_touserdata(L, lua_upvalueindex(1))
                       : NULL;
    lua_newtable(L);
    lua_pushlightuserdata(L, shared);
    lua_pushcclosure(L, s_open, 1);
    lua_setfield(L, -2, "open");
    luaL_newmetatable(L, DICT);
    lua_pushcfunction(L, dict_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, dict_tostring);
    lua_setfield(L, -2, "__tostring");
    luaL_newlib(L, methods);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index");
    lua_setfield(L, -3, "methods");
    lua_pop(L, 1);
    return 1;
}

void gn_shared_register(lua_State *L, struct gn_shared *s)
{
    gn_vm_preload(L, "genet.shared_store", luaopen_genet_shared_store, s);
}
