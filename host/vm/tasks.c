#include "tasks.h"

#include "core.h"

#include <errno.h>
#include <lauxlib.h>

/* ---- handles: a call, as Lua holds it ---- */

struct gn_handle {
    struct gn_call *call; /* NULL once it has ended */
};

static const char HANDLE[] = "genet.handle";

static struct gn_handle *check_handle(lua_State *L)
{
    return luaL_checkudata(L, 1, HANDLE);
}

static struct gn_handle *push_handle(lua_State *L)
{
    struct gn_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->call = NULL;
    luaL_setmetatable(L, HANDLE);
    return h;
}

static void tie(struct gn_handle *h, struct gn_call *c)
{
    h->call = c;
    c->handle = h;
}

void gn_tasks_forget(struct gn_call *c)
{
    if (c->handle)
        c->handle->call = NULL;
    c->handle = NULL;
}

static int handle_gc(lua_State *L)
{
    struct gn_handle *h = check_handle(L);
    if (h->call)
        h->call->handle = NULL;
    return 0;
}

/* handle:cancel() -> whether the call was still going on and not cancelled yet */
static int handle_cancel(lua_State *L)
{
    struct gn_handle *h = check_handle(L);
    lua_pushboolean(L, h->call && !h->call->scope.cause);
    if (h->call)
        gn_scope_cancel(&h->call->scope, -ECANCELED);
    return 1;
}

/* handle:state() -> "running" | "waiting" | "ended"; who is ready to run counts as
 * running */
static int handle_state(lua_State *L)
{
    const struct gn_call *c = check_handle(L)->call;
    lua_pushstring(L, !c ? "ended" : c->fiber->parked ? "waiting" : "running");
    return 1;
}

/* handle:traceback() -> where it stands | nil once it has ended */
static int handle_traceback(lua_State *L)
{
    const struct gn_call *c = check_handle(L)->call;
    if (!c)
        return 0;
    luaL_traceback(L, c->L, NULL, 0);
    return 1;
}

static const luaL_Reg handle_methods[] = {
    {"cancel", handle_cancel},
    {"state", handle_state},
    {"traceback", handle_traceback},
    {NULL, NULL},
};

/* ---- calls ---- */

static struct gn_call *check_call(lua_State *L)
{
    struct gn_call *c = gn_call_self();
    if (!c)
        luaL_error(L, "there are no tasks outside the host's scheduler");
    return c;
}

/* tasks.spawn(current, background, fn, ...) -> handle. `current` is what
 * tasks.current() gives in the new call. What loads scripts, and what runs in the
 * background, starts background calls only. */
static int t_spawn(lua_State *L)
{
    const struct gn_call *self = check_call(L);
    bool background =
        lua_toboolean(L, 2) || self->loads || self->kind == GN_CALL_BACKGROUND;
    luaL_checktype(L, 3, LUA_TFUNCTION);
    int count = lua_gettop(L);
    struct gn_handle *h = push_handle(L);
    lua_pushvalue(L, 1);
    int current = lua_isnil(L, 1) ? LUA_NOREF : luaL_ref(L, LUA_REGISTRYINDEX);
    lua_settop(L, count + 1);
    lua_replace(L, 1); /* the handle */
    struct gn_call *c =
        gn_vm_spawn(L, count - 3, background ? GN_CALL_BACKGROUND : GN_CALL_TASK);
    if (!c) {
        luaL_unref(L, LUA_REGISTRYINDEX, current);
        return luaL_error(L, "no memory for a task");
    }
    c->current = current;
    tie(h, c);
    lua_settop(L, 1);
    return 1;
}

/* tasks.self() -> handle of the running call, which can have one only */
static int t_self(lua_State *L)
{
    struct gn_call *c = check_call(L);
    if (c->handle)
        return luaL_error(L, "this call has a handle already");
    tie(push_handle(L), c);
    return 1;
}

/* tasks.current() -> what the running call was given, or has set | nil */
static int t_current(lua_State *L)
{
    const struct gn_call *c = gn_call_self();
    if (!c || c->current == LUA_NOREF)
        return 0;
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->current);
    return 1;
}

/* tasks.set_current(value): once in a call; on_end is told of it */
static int t_set_current(lua_State *L)
{
    struct gn_call *c = check_call(L);
    luaL_checkany(L, 1);
    luaL_argcheck(L, c->current == LUA_NOREF, 1, "this call has a current value");
    lua_settop(L, 1);
    c->current = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* tasks.on_end(fn): fn(current, failed, cancelled, error, traceback) is called when a
 * call with a current value has ended, on its fiber. The last two are those of a
 * spawned one that has failed. It should not wait. */
static int t_on_end(lua_State *L)
{
    struct gn_vm *vm = gn_vm_of(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, vm->on_end);
    vm->on_end = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* tasks.on_failure(fn): fn(thread, error, owner) is called when a call or a coroutine
 * has failed, before anything on its Lua thread is closed; see gn_vm_show_failure(). It
 * must not wait. */
static int t_on_failure(lua_State *L)
{
    struct gn_vm *vm = gn_vm_of(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, vm->on_failure);
    vm->on_failure = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* Whether a traceback is kept of the error at index 1. */
static bool is_kept(lua_State *L, const struct gn_call *c)
{
    if (!c->keeps)
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, c);
    lua_rawgeti(L, -1, 1);
    bool same = lua_rawequal(L, -1, 1);
    lua_pop(L, 2);
    return same;
}

/* tasks.keep_traceback(err, traceback): for an error that is caught and raised again:
 * if the call ends by it, this is its traceback. The first of an error stays: it goes
 * deepest. */
static int t_keep_traceback(lua_State *L)
{
    struct gn_call *c = check_call(L);
    lua_settop(L, 2);
    if (is_kept(L, c))
        return 0;
    lua_createtable(L, 2, 0);
    lua_rotate(L, 1, 1);
    lua_rawseti(L, 1, 2);
    lua_rawseti(L, 1, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, c);
    c->keeps = true;
    return 0;
}

/* ---- lists of those who wait ---- */

struct gn_waits {
    struct gn_list list;
};

struct waiter {
    struct gn_list link;
    struct gn_fiber *fiber;
};

static const char WAITS[] = "genet.waits";

static struct gn_waits *check_waits(lua_State *L)
{
    return luaL_checkudata(L, 1, WAITS);
}

/* tasks.waits() -> an empty list */
static int t_waits(lua_State *L)
{
    struct gn_waits *w = lua_newuserdatauv(L, sizeof *w, 0);
    gn_list_init(&w->list);
    luaL_setmetatable(L, WAITS);
    return 1;
}

/* waits:wait([seconds]) -> true when woken | false when the time is over. Waits, first
 * come first served; with 0 seconds it does not. Raises "cancelled" or "timeout" when
 * it is interrupted. */
static int waits_wait(lua_State *L)
{
    struct gn_waits *w = check_waits(L);
    int64_t deadline = gn_opt_deadline(L, 2);
    bool at_once = lua_tonumber(L, 2) == 0 && deadline != GN_NEVER;
    if (!gn_may_park())
        return luaL_error(L, "nothing may wait here");
    struct waiter self = {.fiber = gn_fiber_self()};
    int r = gn_fiber_cause(self.fiber);
    if (r == 0 && at_once)
        r = -ETIMEDOUT;
    if (r == 0) {
        gn_prepare(); /* else the wake that ends its waits would be lost */
        gn_list_append(&w->list, &self.link);
        r = gn_park(deadline);
        gn_list_del(&self.link);
    }
    if (r < 0 && r != -ETIMEDOUT)
        return gn_vm_raise(L, r);
    lua_pushboolean(L, r == 0);
    return 1;
}

/* waits:wake([most]) -> how many were woken, the first unless told. Each has been taken
 * out of the list, and its wait returns true whatever happens to it meanwhile. */
static int waits_wake(lua_State *L)
{
    struct gn_waits *w = check_waits(L);
    lua_Integer most = luaL_optinteger(L, 2, 1), woken = 0;
    for (struct gn_list *l; woken < most && (l = gn_list_pop(&w->list));) {
        struct gn_fiber *f = gn_container_of(l, struct waiter, link)->fiber;
        woken += f->parked; /* else its time was over a moment ago */
        gn_wake(f);
    }
    lua_pushinteger(L, woken);
    return 1;
}

/* waits:count() -> how many wait */
static int waits_count(lua_State *L)
{
    const struct gn_waits *w = check_waits(L);
    lua_Integer n = 0;
    for (const struct gn_list *l = w->list.next; l != &w->list; l = l->next)
        n++;
    lua_pushinteger(L, n);
    return 1;
}

static const luaL_Reg waits_methods[] = {
    {"wait", waits_wait},
    {"wake", waits_wake},
    {"count", waits_count},
    {NULL, NULL},
};

/* ---- scopes ---- */

/* A scope that a Lua thread has begun, which its user value keeps. */
struct lua_scope {
    struct gn_scope scope;
    lua_State *L;
};

static const char SCOPE[] = "genet.scope";

static struct gn_scope *check_scope(lua_State *L)
{
    struct lua_scope *s = luaL_checkudata(L, 1, SCOPE);
    return &s->scope;
}

/* A coroutine that has yielded in the middle of a scope takes it along. */
static bool applies(const struct gn_scope *scope)
{
    const struct lua_scope *s = gn_container_of(scope, struct lua_scope, scope);
    return lua_status(s->L) != LUA_YIELD;
}

static struct gn_scope *push_scope(lua_State *L)
{
    struct lua_scope *s = lua_newuserdatauv(L, sizeof *s, 1);
    *s = (struct lua_scope){.scope.applies = applies, .L = L};
    lua_pushthread(L);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, SCOPE);
    return &s->scope;
}

/* tasks.scope([seconds [, shield]]) -> a scope of the running fiber that begins here
 * and ends by scope:leave() or its __close. Waits inside are interrupted after so many
 * seconds; with `shield`, by nothing else. */
static int t_scope(lua_State *L)
{
    int64_t deadline = gn_opt_deadline(L, 1);
    bool shield = lua_toboolean(L, 2);
    check_call(L);
    struct gn_scope *s = push_scope(L);
    s->shield = shield;
    gn_scope_enter(s, gn_fiber_self());
    if (deadline != GN_NEVER && gn_scope_expire(s, deadline) < 0) {
        gn_scope_remove(s);
        return luaL_error(L, "no memory for a deadline");
    }
    return 1;
}

/* scope:leave() -> whether its time was over */
static int scope_leave(lua_State *L)
{
    struct gn_scope *s = check_scope(L);
    gn_scope_remove(s);
    lua_pushboolean(L, s->cause == -ETIME);
    return 1;
}

static int scope_end(lua_State *L)
{
    gn_scope_remove(check_scope(L));
    return 0;
}

/* ---- stretches without preemption ---- */

static const char HOLD[] = "genet.hold";

/* tasks.hold() -> for a `<close>` variable: until that is closed, the running call is
 * not preempted */
static int t_hold(lua_State *L)
{
    struct gn_call *c = check_call(L);
    lua_newuserdatauv(L, 0, 0);
    luaL_setmetatable(L, HOLD);
    c->guard.held_on++;
    return 1;
}

static int hold_end(lua_State *L)
{
    struct gn_call *c = check_call(L);
    luaL_checkudata(L, 1, HOLD);
    if (c->guard.held_on > 0)
        c->guard.held_on--;
    return 0;
}

static const luaL_Reg scope_methods[] = {{"leave", scope_leave}, {NULL, NULL}};

/* ---- the module ---- */

static const luaL_Reg functions[] = {
    {"spawn", t_spawn},
    {"self", t_self},
    {"current", t_current},
    {"set_current", t_set_current},
    {"on_end", t_on_end},
    {"on_failure", t_on_failure},
    {"keep_traceback", t_keep_traceback},
    {"waits", t_waits},
    {"scope", t_scope},
    {"hold", t_hold},
    {NULL, NULL},
};

/* Leaves a new metatable on the stack. */
static void new_class(lua_State *L, const char *name, const luaL_Reg *methods)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
}

static void set_method(lua_State *L, const char *name, lua_CFunction fn)
{
    lua_pushcfunction(L, fn);
    lua_setfield(L, -2, name);
}

int luaopen_genet_tasks(lua_State *L)
{
    new_class(L, HANDLE, handle_methods);
    set_method(L, "__gc", handle_gc);
    new_class(L, WAITS, waits_methods);
    new_class(L, SCOPE, scope_methods);
    set_method(L, "__gc", scope_end);
    set_method(L, "__close", scope_end);
    new_class(L, HOLD, scope_methods + 1);
    set_method(L, "__close", hold_end);
    lua_pop(L, 4);
    luaL_newlib(L, functions);
    return 1;
}
