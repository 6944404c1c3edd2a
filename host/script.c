#include "script.h"

#include "http/exchange.h"
#include "http/reload.h"
#include "http/sockets.h"
#include "log.h"
#include "sched/offload.h"
#include "vm/shared.h"
#include "vm/vm.h"

#include <lauxlib.h>
#include <stdio.h>

struct script {
    const char *file;
    char *const *args;
    bool patch;
    struct gn_vm vm;
    struct gn_exchanges
        exchanges;     /* none: a plain script may define an app, but nobody asks it */
    struct gn_hub hub; /* for topics */
    struct gn_shared shared;
    struct gn_sockets sockets;
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

/* Where a script that has yielded goes on. */
static int ended(lua_State *L, int status, lua_KContext context)
{
    (void)L, (void)status, (void)context;
    return 0;
}

static int run(lua_State *L)
{
    struct script *s = lua_touserdata(L, 1);
    gn_exchanges_register(L, &s->exchanges);
    gn_sockets_register(L, &s->sockets);
    gn_generations_register(L, NULL);
    gn_shared_register(L, &s->shared);
    if (s->patch) {
        gn_vm_push_function(L, "genet.patch", "patch_all");
        lua_call(L, 0, 0);
    }
    gn_vm_push_function(L, "genet.loader", "search_beside");
    lua_pushstring(L, s->file);
    lua_call(L, 1, 0);
    if (luaL_loadfile(L, s->file) != LUA_OK)
        return lua_error(L);
    int n = push_args(L, s);
    lua_callk(L, n, 0, 0, ended);
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
    if (gn_vm_call(&s->vm, run, s, failed) == 0)
        return;
    s->status = 1;
    gn_vm_cancel(&s->vm); /* else its timers would go on for ever */
}

int gn_script_run(const char *file, char *const *args, const struct gn_limits *limits,
                  bool patch, const char *state, size_t shared_memory)
{
    struct script s = {.file = file, .args = args, .patch = patch, .status = 1};
    struct gn_sched *sched = gn_sched_new();
    gn_exchanges_init(&s.exchanges);
    gn_shared_init(&s.shared, state, shared_memory);
    gn_hub_init(&s.hub, sched, &(struct gn_hub_options){0});
    s.sockets = (struct gn_sockets){&s.exchanges, &s.hub};
    if (sched && (sched->pool = gn_pool_new(GN_POOL_THREADS)) &&
        gn_vm_open(&s.vm) == 0 && gn_fiber_new(sched, "main", body, &s)) {
        s.status = 0;
        gn_guard_limit(&s.vm, limits);
        if (gn_guard_start(limits) < 0)
            gn_log(GN_WARN, "no timer: what computes for long is not preempted");
        gn_sched_run(sched);
    }
    gn_vm_close(&s.vm);
    gn_shared_close(&s.shared);
    gn_hub_term(&s.hub);
    if (sched) {
        gn_pool_free(sched->pool);
        gn_sched_free(sched);
    }
    return s.status;
}
