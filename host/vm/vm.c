#include "vm.h"

#include "../log.h"
#include "../sched/sched.h"
#include "core.h"

#include <errno.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE_MOST = 256 };

struct gn_lua {
    lua_State *L;
    int anchor; /* in the registry */
    struct gn_lua *next;
};

/* ---- life ---- */

/* Puts the framework's directory in front of package.path. */
static void add_framework(lua_State *L)
{
    const char *dir = getenv("GENET_LUA_DIR");
    if (!dir || !*dir)
        dir = GN_LUA_DIR;
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", dir, dir, lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pop(L, 2);
}

static int set_up(lua_State *L)
{
    luaL_openlibs(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_genet_core);
    lua_setfield(L, -2, "genet.core");
    add_framework(L);
    return 0;
}

/* Memory by the host's own calls, so that tests can make it fail. */
static void *allocate(void *unused, void *p, size_t old, size_t n)
{
    (void)unused, (void)old;
    if (n > 0)
        return realloc(p, n);
    free(p);
    return NULL;
}

/* An error where nobody can catch one: what the state holds is lost, and so is the
 * process. */
static int panic(lua_State *L)
{
    const char *why = lua_tostring(L, -1);
    gn_log(GN_ERROR, "Lua error outside of any call: %s", why ? why : "(no message)");
    return 0;
}

/* luaL_newstate() with our allocator. */
static lua_State *new_state(void)
{
    lua_State *L = lua_newstate(allocate, NULL);
    if (L)
        lua_atpanic(L, panic);
    return L;
}

int gn_vm_open(struct gn_vm *vm)
{
    *vm = (struct gn_vm){.L = new_state()};
    if (!vm->L)
        return -ENOMEM;
    lua_pushcfunction(vm->L, set_up);
    if (lua_pcall(vm->L, 0, 0, 0) == LUA_OK)
        return 0;
    gn_vm_close(vm);
    return -ENOMEM;
}

void gn_vm_close(struct gn_vm *vm)
{
    if (vm->L)
        lua_close(vm->L);
    for (struct gn_lua *t = vm->idle, *next; t; t = next) {
        next = t->next;
        free(t);
    }
    *vm = (struct gn_vm){0};
}

/* ---- Lua threads ---- */

static int make_thread(lua_State *L)
{
    struct gn_lua *t = lua_touserdata(L, 1);
    t->L = lua_newthread(L);
    t->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static struct gn_lua *borrow(struct gn_vm *vm)
{
    struct gn_lua *t = vm->idle;
    if (t) {
        vm->idle = t->next;
        vm->idle_count--;
        return t;
    }
    t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    lua_pushcfunction(vm->L, make_thread);
    lua_pushlightuserdata(vm->L, t);
    if (lua_pcall(vm->L, 1, 0, 0) == LUA_OK)
        return t;
    lua_pop(vm->L, 1);
    free(t);
    return NULL;
}

static void give_back(struct gn_vm *vm, struct gn_lua *t)
{
    lua_settop(t->L, 0);
    if (vm->idle_count < IDLE_MOST) {
        t->next = vm->idle;
        vm->idle = t;
        vm->idle_count++;
    } else {
        luaL_unref(vm->L, LUA_REGISTRYINDEX, t->anchor);
        free(t);
    }
}

/* ---- running ---- */

/* The collector is marked busy while a finalizer runs: another fiber that allocated
 * meanwhile would never collect. lua_gc() answers -1 exactly then. */
static bool may_park(struct gn_fiber *f)
{
    lua_State *L = f->slot[GN_SLOT_LUA];
    return !L || lua_gc(L, LUA_GCCOUNT) >= 0;
}

/* Resumes until the function on the stack of `L` has ended. A yield lets the other
 * fibers run. */
static int resume(lua_State *L, int args)
{
    int status, results;
    while ((status = lua_resume(L, NULL, args, &results)) == LUA_YIELD) {
        lua_pop(L, results);
        gn_yield();
        args = 0;
    }
    return status;
}

struct dead {
    lua_State *L;
    int traceback; /* in the registry */
};

/* On the main Lua thread, because a stack that has overflown has no room. */
static int make_traceback(lua_State *L)
{
    struct dead *dead = lua_touserdata(L, 1);
    luaL_traceback(L, dead->L, NULL, 0);
    dead->traceback = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* Takes the traceback of what lies dead on `L`, closes its variables (they may wait),
 * and calls failed(arg, error, traceback) on the revived thread. */
static void report(struct gn_vm *vm, lua_State *L, void *arg, lua_CFunction failed)
{
    struct dead dead = {.L = L, .traceback = LUA_REFNIL};
    lua_pushcfunction(vm->L, make_traceback);
    lua_pushlightuserdata(vm->L, &dead);
    if (lua_pcall(vm->L, 1, 0, 0) != LUA_OK)
        lua_pop(vm->L, 1);
    lua_resetthread(L); /* leaves the error alone on the stack */
    lua_pushcfunction(L, failed);
    lua_pushlightuserdata(L, arg);
    lua_rotate(L, 1, 2);
    lua_rawgeti(L, LUA_REGISTRYINDEX, dead.traceback);
    luaL_unref(L, LUA_REGISTRYINDEX, dead.traceback);
    if (resume(L, 3) == LUA_OK)
        return;
    const char *why = lua_tostring(L, -1);
    gn_log(GN_ERROR, "error while an error was handled: %s",
           why ? why : "(no message)");
    lua_resetthread(L);
}

int gn_vm_call(struct gn_vm *vm, lua_CFunction fn, void *arg, lua_CFunction failed)
{
    struct gn_fiber *f = gn_fiber_self();
    struct gn_lua *t = borrow(vm);
    if (!t)
        return -ENOMEM;
    lua_State *outer = f->slot[GN_SLOT_LUA];
    f->slot[GN_SLOT_LUA] = t->L;
    f->may_park = may_park;
    lua_pushcfunction(t->L, fn);
    lua_pushlightuserdata(t->L, arg);
    int r = resume(t->L, 1) == LUA_OK ? 0 : -1;
    if (r < 0)
        report(vm, t->L, arg, failed);
    f->slot[GN_SLOT_LUA] = outer;
    give_back(vm, t);
    return r;
}

void gn_vm_push_function(lua_State *L, const char *module, const char *name)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}
