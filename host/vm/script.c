#include "script.h"

#include "../sched/offload.h"
#include "vm.h"

#include <lauxlib.h>
#include <stdio.h>

enum { POOL_THREADS = 32 };

struct script {
    const char *file;
    char *const *args;
    struct gn_vm vm;
    int status;
};

/* The global `arg`, as the stand-alone interpreter has it. */
static int push_args(lua_State *L, const struct script *s)
{
    int n = 0;
    lua_newtable(L);
    lua_pushstring(L, s->file);
    lua_rawseti(L, -2, 0);
    for (; s->args[n]; n++) {
        lua_pushstring(L, s->args[n]);
        lua_rawseti(L, -2, n + 1);
    }
    lua_setglobal(L, "arg");
    luaL_checkstack(L, n, "too many arguments");
    for (int i = 0; i < n; i++)
        lua_pushstring(L, s->args[i]);
    return n;
}

static int run(lua_State *L)
{
    struct script *s = lua_touserdata(L, 1);
    if (luaL_loadfile(L, s->file) != LUA_OK)
        return lua_error(L);
    int n = push_args(L, s);
    lua_callk(L, n, 0, 0, NULL);
    return 0;
}

static int failed(lua_State *L)
{
    struct script *s = lua_touserdata(L, 1);
    fprintf(stderr, "genet: %s\n%s\n", luaL_tolstring(L, 2, NULL), lua_tostring(L, 3));
    s->status = 1;
    return 0;
}

static void body(void *arg)
{
    struct script *s = arg;
    if (gn_vm_call(&s->vm, run, s, failed) != 0)
        s->status = 1;
}

int gn_script_run(const char *file, char *const *args)
{
    struct script s = {.file = file, .args = args, .status = 1};
    struct gn_sched *sched = gn_sched_new();
    if (sched && (sched->pool = gn_pool_new(POOL_THREADS)) && gn_vm_open(&s.vm) == 0 &&
        gn_fiber_new(sched, "main", body, &s)) {
        s.status = 0;
        gn_sched_run(sched);
    }
    gn_vm_close(&s.vm);
    if (sched) {
        gn_pool_free(sched->pool);
        gn_sched_free(sched);
    }
    return s.status;
}
