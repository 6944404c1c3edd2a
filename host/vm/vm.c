#include "vm.h"

#include "../log.h"
#include "core.h"
#include "disk.h"
#include "files.h"
#include "gzip.h"
#include "offload.h"
#include "shared.h"
#include "subprocess.h"
#include "tasks.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IDLE_MOST = 256 };

static const char BESIDE[] = "/../share/genet/lua"; /* from where the program is */

/* ---- life ---- */

/* Where the framework's files are: as the environment says; beside the program where
 * that was installed; in the source tree. The result is in `room` or static. */
static const char *framework_dir(char room[PATH_MAX])
{
    const char *told = getenv("GENET_LUA_DIR");
    if (told && *told)
        return told;
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof BESIDE);
    char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
    if (slash)
        strcpy(slash, BESIDE);
    return slash && realpath(path, room) ? room : GN_LUA_DIR;
}

/* Puts the framework's directory in front of package.path. */
static void add_framework(lua_State *L)
{
    char room[PATH_MAX];
    const char *dir = framework_dir(room);
    gn_vm_of(L)->framework = lua_pushfstring(L, "%s/genet/", dir);
    luaL_ref(L, LUA_REGISTRYINDEX); /* for as long as the state is there */
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", dir, dir, lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pop(L, 2);
}

/* The C modules that every state knows. */
static const luaL_Reg modules[] = {
    {"genet.core", luaopen_genet_core},
    {"genet.zlib", luaopen_genet_zlib},
    {"genet.disk", luaopen_genet_disk},
    {"genet.pool", luaopen_genet_pool},
    {"genet.shared_store", luaopen_genet_shared_store}, /* without one */
    {"genet.stdio", luaopen_genet_stdio},
    {"genet.subprocess", luaopen_genet_subprocess},
    {"genet.tasks", luaopen_genet_tasks},
    {NULL, NULL},
};

static int set_up(lua_State *L)
{
    luaL_openlibs(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, modules, 0);
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
    *vm =
        (struct gn_vm){.L = new_state(), .on_end = LUA_NOREF, .on_failure = LUA_NOREF};
    gn_list_init(&vm->calls);
    if (!vm->L)
        return -ENOMEM;
    *(struct gn_vm **)lua_getextraspace(vm->L) = vm; /* every Lua thread has a copy */
    lua_pushcfunction(vm->L, set_up);
    if (lua_pcall(vm->L, 0, 0, 0) == LUA_OK && gn_guard_open(vm) == 0)
        return 0;
    gn_vm_close(vm);
    return -ENOMEM;
}

void gn_vm_close(struct gn_vm *vm)
{
    if (vm->L)
        lua_close(vm->L);
    for (struct gn_call *c = vm->idle, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    *vm = (struct gn_vm){0};
}

/* ---- Lua threads ---- */

static int make_thread(lua_State *L)
{
    struct gn_call *c = lua_touserdata(L, 1);
    c->L = lua_newthread(L);
    c->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static struct gn_call *borrow(struct gn_vm *vm)
{
    struct gn_call *c = vm->idle;
    if (c) {
        vm->idle = c->next;
        vm->idle_count--;
        return c;
    }
    c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->vm = vm;
    c->current = LUA_NOREF;
    lua_pushcfunction(vm->L, make_thread);
    lua_pushlightuserdata(vm->L, c);
    if (lua_pcall(vm->L, 1, 0, 0) == LUA_OK)
        return c;
    lua_pop(vm->L, 1);
    free(c);
    return NULL;
}

static void give_back(struct gn_call *c)
{
    struct gn_vm *vm = c->vm;
    lua_settop(c->L, 0);
    if (vm->idle_count < IDLE_MOST) {
        c->next = vm->idle;
        vm->idle = c;
        vm->idle_count++;
    } else {
        luaL_unref(vm->L, LUA_REGISTRYINDEX, c->anchor);
        free(c);
    }
}

/* ---- running ---- */

/* The collector is marked busy while a finalizer runs: another fiber that allocated
 * meanwhile would never collect. lua_gc() answers -1 exactly then. */
static bool may_park(struct gn_fiber *f)
{
    struct gn_call *c = f->slot[GN_SLOT_LUA];
    return !c || lua_gc(c->L, LUA_GCCOUNT) >= 0;
}

/* Resumes a call until the function on its stack has ended. A yield lets the other
 * fibers run. */
static int resume(struct gn_call *c, int args)
{
    int status, results;
    while ((status = gn_guard_resume(c, args, &results)) == LUA_YIELD) {
        lua_pop(c->L, results);
        gn_yield();
        args = 0;
    }
    return status;
}

struct failure {
    lua_State *L, *owner;
};

/* A slot beyond the top of a stack is always there, see EXTRA_STACK in Lua. */
static void push_thread_of(lua_State *L, lua_State *thread)
{
    if (thread == NULL) {
        lua_pushnil(L);
        return;
    }
    lua_pushthread(thread);
    lua_xmove(thread, L, 1);
}

static int show_failure(lua_State *L)
{
    const struct failure *f = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, gn_vm_of(L)->on_failure);
    push_thread_of(L, f->L);
    lua_pushvalue(f->L, -1);
    lua_xmove(f->L, L, 1);
    push_thread_of(L, f->owner);
    lua_call(L, 3, 0);
    return 0;
}

void gn_vm_show_failure(struct gn_vm *vm, lua_State *failed, lua_State *owner)
{
    struct failure f = {failed, owner};
    if (vm->on_failure == LUA_NOREF || lua_gettop(failed) == 0)
        return;
    lua_pushcfunction(vm->L, show_failure);
    lua_pushlightuserdata(vm->L, &f);
    if (lua_pcall(vm->L, 1, 0, 0) == LUA_OK)
        return;
    gn_log(GN_DEBUG, "no picture of a failure: %s", lua_tostring(vm->L, -1));
    lua_pop(vm->L, 1);
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

static void log_nested(lua_State *L)
{
    const char *why = lua_tostring(L, -1);
    gn_log(GN_ERROR, "error while an error was handled: %s",
           why ? why : "(no message)");
    lua_resetthread(L);
    lua_settop(L, 0);
}

/* An error that was caught and raised again brings its own traceback. */
static void recall_traceback(struct gn_call *c)
{
    lua_State *L = c->L;
    lua_rawgetp(L, LUA_REGISTRYINDEX, c);
    lua_rawgeti(L, -1, 1);
    bool same = lua_rawequal(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    if (same)
        lua_replace(L, 2);
    lua_settop(L, 2);
}

/* Takes the traceback of what lies dead on `L` and closes its variables (they may
 * wait). Leaves the error and the traceback on the revived thread. */
static void bury(struct gn_call *c)
{
    struct gn_vm *vm = c->vm;
    lua_State *L = c->L;
    struct dead dead = {.L = L, .traceback = LUA_REFNIL};
    lua_pushcfunction(vm->L, make_traceback);
    lua_pushlightuserdata(vm->L, &dead);
    if (lua_pcall(vm->L, 1, 0, 0) != LUA_OK)
        lua_pop(vm->L, 1);
    gn_vm_show_failure(vm, L, NULL);
    lua_resetthread(L); /* leaves the error alone on the stack */
    lua_rawgeti(L, LUA_REGISTRYINDEX, dead.traceback);
    luaL_unref(L, LUA_REGISTRYINDEX, dead.traceback);
    if (c->keeps)
        recall_traceback(c);
    gn_guard_rest(c);
}

/* Calls failed(arg, error, traceback) with what bury() has left. */
static void report(struct gn_call *c, void *arg, lua_CFunction failed)
{
    lua_State *L = c->L;
    lua_pushcfunction(L, failed);
    lua_pushlightuserdata(L, arg);
    lua_rotate(L, 1, 2);
    if (resume(c, 3) != LUA_OK)
        log_nested(L);
}

static void enrol(struct gn_call *c, enum gn_call_kind kind)
{
    c->kind = kind;
    c->id = ++c->fiber->sched->calls;
    c->born = c->fiber->sched->now;
    gn_list_append(&c->vm->calls, &c->link);
    c->vm->count[kind]++;
}

static void begin(struct gn_call *c)
{
    struct gn_fiber *f = c->fiber;
    c->outer = f->slot[GN_SLOT_LUA];
    f->slot[GN_SLOT_LUA] = c;
    f->may_park = may_park;
    gn_scope_enter(&c->scope, f);
    gn_guard_begin(c);
}

/* Nothing that Lua holds leads to the call from now on. */
static void forget(struct gn_call *c)
{
    gn_tasks_forget(c);
    luaL_unref(c->L, LUA_REGISTRYINDEX, c->current);
    c->current = LUA_NOREF;
}

/* Tells the framework that a call which had a `current` has ended:
 * on_end(current, failed, cancelled, error, traceback), the latter two when they are on
 * the stack. */
static void tell(struct gn_call *c, bool failed)
{
    lua_State *L = c->L;
    int above = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->vm->on_end);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->current);
    lua_pushboolean(L, failed);
    lua_pushboolean(L, c->scope.cause != 0 || gn_fiber_cause(c->fiber) != 0);
    lua_rotate(L, 1, 4);
    forget(c);
    c->scope.cause = 0;
    gn_scope_enter(&c->scope, c->fiber);
    if (resume(c, 3 + above) != LUA_OK)
        log_nested(L);
    gn_scope_leave(&c->scope);
}

static void drop_kept(struct gn_call *c)
{
    if (!c->keeps)
        return;
    c->keeps = false;
    lua_pushnil(c->L);
    lua_rawsetp(c->L, LUA_REGISTRYINDEX, c);
}

static void end(struct gn_call *c, bool failed)
{
    struct gn_vm *vm = c->vm;
    gn_guard_rest(c);
    gn_scope_leave(&c->scope);
    if (c->current != LUA_NOREF && vm->on_end != LUA_NOREF)
        tell(c, failed);
    forget(c);
    drop_kept(c);
    c->scope.cause = 0;
    c->fiber->slot[GN_SLOT_LUA] = c->outer;
    gn_list_del(&c->link);
    vm->count[c->kind]--;
    if (vm->waiter)
        gn_wake(vm->waiter);
    give_back(c);
}

static int call(struct gn_vm *vm, lua_CFunction fn, void *arg, lua_CFunction failed,
                bool loads)
{
    struct gn_call *c = borrow(vm);
    if (!c)
        return -ENOMEM;
    c->fiber = gn_fiber_self();
    c->loads = loads;
    c->arg = arg;
    enrol(c, GN_CALL_HOST);
    begin(c);
    c->exchange = c->outer ? c->outer->exchange : 0;
    lua_pushcfunction(c->L, fn);
    lua_pushlightuserdata(c->L, arg);
    int r = resume(c, 1) == LUA_OK ? 0 : -1;
    if (r < 0) {
        bury(c);
        report(c, arg, failed);
    }
    lua_settop(c->L, 0);
    end(c, r < 0);
    return r;
}

int gn_vm_call(struct gn_vm *vm, lua_CFunction fn, void *arg, lua_CFunction failed)
{
    return call(vm, fn, arg, failed, false);
}

int gn_vm_load(struct gn_vm *vm, lua_CFunction fn, void *arg, lua_CFunction failed)
{
    return call(vm, fn, arg, failed, true);
}

/* ---- calls on fibers of their own ---- */

/* One that was cancelled before it began does not begin; one that is started while the
 * state is about to be closed gets as far as its first wait. */
static void run_spawned(void *arg)
{
    struct gn_call *c = arg;
    begin(c);
    bool failed = c->scope.cause != 0;
    if (c->vm->closing)
        gn_scope_cancel(&c->scope, -ECANCELED);
    if (failed)
        lua_settop(c->L, 0);
    else if (resume(c, c->args) == LUA_OK)
        lua_settop(c->L, 0);
    else {
        failed = true;
        bury(c);
    }
    end(c, failed);
}

struct gn_vm *gn_vm_of(lua_State *L)
{
    return *(struct gn_vm **)lua_getextraspace(L);
}

struct gn_call *gn_vm_spawn(lua_State *L, int args, enum gn_call_kind kind)
{
    struct gn_call *c = borrow(gn_vm_of(L));
    if (!c)
        return NULL;
    c->loads = false;
    c->args = args;
    c->fiber = NULL;
    const struct gn_call *self = gn_call_self();
    c->exchange = self ? self->exchange : 0;
    if (lua_checkstack(c->L, args + 1))
        c->fiber = gn_fiber_new(gn_sched_self(), "task", run_spawned, c);
    if (!c->fiber) {
        give_back(c);
        return NULL;
    }
    lua_xmove(L, c->L, args + 1);
    enrol(c, kind);
    return c;
}

struct gn_call *gn_call_self(void)
{
    struct gn_fiber *f = gn_fiber_self();
    return f ? f->slot[GN_SLOT_LUA] : NULL;
}

void gn_vm_interrupt(struct gn_fiber *f, int cause)
{
    struct gn_call *c = f->slot[GN_SLOT_LUA];
    while (c && c->outer)
        c = c->outer;
    if (c)
        gn_scope_cancel(&c->scope, cause);
}

void gn_vm_hold(struct gn_vm *vm)
{
    vm->held++;
}

void gn_vm_release(struct gn_vm *vm)
{
    vm->held--;
    if (vm->waiter)
        gn_wake(vm->waiter);
}

static unsigned left(const struct gn_vm *vm, unsigned kinds)
{
    unsigned n = kinds & 1 << GN_CALL_HOST ? vm->held : 0;
    for (int k = 0; k < GN_CALL_KINDS; k++)
        n += kinds & 1u << k ? vm->count[k] : 0;
    return n;
}

unsigned gn_vm_wait(struct gn_vm *vm, unsigned kinds, int64_t deadline)
{
    vm->waiter = gn_fiber_self();
    for (int r = 0; r == 0 && left(vm, kinds) > 0;)
        r = gn_park_shielded(deadline);
    vm->waiter = NULL;
    return left(vm, kinds);
}

void gn_vm_cancel(struct gn_vm *vm)
{
    vm->closing = true;
    for (struct gn_list *l = vm->calls.next; l != &vm->calls; l = l->next)
        gn_scope_cancel(&gn_container_of(l, struct gn_call, link)->scope, -ECANCELED);
}

void gn_vm_preload(lua_State *L, const char *module, lua_CFunction open, void *arg)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushlightuserdata(L, arg);
    lua_pushcclosure(L, open, 1);
    lua_setfield(L, -2, module);
    lua_pop(L, 1);
}

int gn_vm_new_module(lua_State *L, const luaL_Reg *functions)
{
    lua_newtable(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    luaL_setfuncs(L, functions, 1);
    return 1;
}

void gn_vm_speaker(struct gn_speaker *s)
{
    const struct gn_call *c = gn_call_self();
    if (!c || c->vm->number == 0)
        return;
    s->generation = c->vm->number;
    s->request = c->vm->identify ? c->vm->identify(c) : NULL;
}

int gn_vm_raise(lua_State *L, int error)
{
    const char *text = error == -ECANCELED ? "cancelled"
                       : error == -ETIME   ? "timeout"
                                           : strerror(-error);
    lua_pushstring(L, text);
    return lua_error(L);
}

void gn_vm_push_function(lua_State *L, const char *module, const char *name)
{
    lua_getglobal(L, "require");
    lua_pushstring(L, module);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, name);
    lua_remove(L, -2);
}
