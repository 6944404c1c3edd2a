#include "script.h"

#include "console.h"
#include "log.h"
#include "sched/offload.h"
#include "site/exchange.h"
#include "site/reload.h"
#include "site/sockets.h"
#include "vm/shared.h"
#include "vm/vm.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct script {
    const char *file; /* NULL where a verb of the manager runs */
    char *const *args;
    const struct gn_script_options *options;
    struct gn_vm vm;
    struct gn_exchanges
        exchanges;     /* none: a plain script may define an app, but nobody asks it */
    struct gn_hub hub; /* for topics */
    struct gn_shared shared;
    struct gn_sockets sockets;
    char **server; /* the command line that app:run() asks for; NULL: none */
    int status;
    bool awaits; /* its tasks; a verb of the manager may leave them behind */
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

static char *copy(const char *text)
{
    char *made = strdup(text);
    return made ? made : (abort(), NULL);
}

/* Makes a command line of the list of options on top of the stack. */
static char **command_line(lua_State *L, const char *file)
{
    enum { BEFORE = 3 };
    lua_Integer n = luaL_len(L, -1);
    char **line = calloc((size_t)n + BEFORE + 1, sizeof *line);
    if (!line)
        abort();
    line[0] = copy("genet");
    line[1] = copy("runserver");
    line[2] = copy(file);
    for (lua_Integer i = 0; i < n; i++) {
        lua_geti(L, -1, i + 1);
        line[BEFORE + i] = copy(lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    return line;
}

/* The script has come to its end: has it called app:run()? */
static int ended(lua_State *L, int status, lua_KContext context)
{
    struct script *s = (struct script *)context;
    (void)status;
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    if (lua_getfield(L, -1, "genet.runner") == LUA_TNIL)
        return 0;
    lua_getfield(L, -1, "arguments");
    lua_call(L, 0, 1);
    if (!lua_isnil(L, -1))
        s->server = command_line(L, s->file);
    return 0;
}

/* What every script finds, beside what each state knows. */
static void prepare(lua_State *L, struct script *s)
{
    gn_exchanges_register(L, &s->exchanges);
    gn_sockets_register(L, &s->sockets);
    gn_generations_register(L, NULL);
    gn_shared_register(L, &s->shared);
    gn_vm_preload(L, "genet.console", luaopen_genet_console, NULL);
    if (s->options->patch) {
        gn_vm_push_function(L, "genet.patch", "patch_all");
        lua_call(L, 0, 0);
    }
}

static int run(lua_State *L)
{
    struct script *s = lua_touserdata(L, 1);
    prepare(L, s);
    gn_vm_push_function(L, "genet.loader", "search_beside");
    lua_pushstring(L, s->file);
    lua_call(L, 1, 0);
    if (luaL_loadfile(L, s->file) != LUA_OK)
        return lua_error(L);
    int n = push_args(L, s);
    lua_callk(L, n, 0, (lua_KContext)s, ended);
    return ended(L, LUA_OK, (lua_KContext)s);
}

/* ---- verbs of the manager ---- */

static int nothing(lua_State *L, int status, lua_KContext context)
{
    (void)L, (void)status, (void)context;
    return 0;
}

/* Reads the command line and loads what the verb works on. */
static int load(lua_State *L)
{
    struct script *s = lua_touserdata(L, 1);
    prepare(L, s);
    gn_vm_push_function(L, "genet.manager", "load");
    lua_newtable(L);
    for (int i = 0; s->args[i]; i++) {
        lua_pushstring(L, s->args[i]);
        lua_rawseti(L, -2, i);
    }
    lua_callk(L, 1, 0, 0, nothing);
    return 0;
}

static int finished(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    struct script *s = (struct script *)context;
    s->status = (int)lua_tointeger(L, -2);
    s->awaits = lua_toboolean(L, -1);
    return 0;
}

static int manage(lua_State *L)
{
    struct script *s = lua_touserdata(L, 1);
    gn_vm_push_function(L, "genet.manager", "run");
    lua_callk(L, 0, 2, (lua_KContext)s, finished);
    return finished(L, LUA_OK, (lua_KContext)s);
}

/* Ends what goes on in the background, for which a verb does not wait. */
static int retire(lua_State *L)
{
    gn_vm_push_function(L, "genet.manager", "retire");
    lua_callk(L, 0, 0, 0, nothing);
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
    if (gn_vm_call(&s->vm, run, s, failed) < 0)
        s->status = 1;
    if (s->status || s->server)
        gn_vm_cancel(&s->vm); /* else its timers would go on for ever */
}

static void manage_body(void *arg)
{
    struct script *s = arg;
    if (gn_vm_load(&s->vm, load, s, failed) < 0 ||
        gn_vm_call(&s->vm, manage, s, failed) < 0)
        s->status = 1;
    if (s->awaits)
        gn_vm_wait(&s->vm, GN_CALLS_WORK, GN_NEVER);
    gn_vm_call(&s->vm, retire, s, failed);
    gn_vm_cancel(&s->vm);
}

/* Runs fn(s) on a fiber, in a state and on a scheduler of their own. */
static int run_on_fiber(struct script *s, void (*fn)(void *))
{
    struct gn_sched *sched = gn_sched_new();
    gn_exchanges_init(&s->exchanges);
    gn_shared_init(&s->shared, s->options->state, s->options->shared_memory);
    gn_hub_init(&s->hub, sched, &(struct gn_hub_options){0});
    s->sockets = (struct gn_sockets){&s->exchanges, &s->hub};
    s->status = 1;
    if (sched && (sched->pool = gn_pool_new(GN_POOL_THREADS)) &&
        gn_vm_open(&s->vm) == 0 && gn_fiber_new(sched, "main", fn, s)) {
        s->status = 0;
        gn_guard_limit(&s->vm, s->options->limits);
        if (gn_guard_start(s->options->limits) < 0)
            gn_log(GN_WARN, "no timer: what computes for long is not preempted");
        gn_sched_run(sched);
    }
    gn_vm_close(&s->vm);
    gn_shared_close(&s->shared);
    gn_hub_term(&s->hub);
    if (sched) {
        gn_pool_free(sched->pool);
        gn_sched_free(sched);
    }
    return s->status;
}

int gn_script_run(const char *file, char *const *args,
                  const struct gn_script_options *o, char ***server)
{
    struct script s = {.file = file, .args = args, .options = o};
    run_on_fiber(&s, body);
    *server = s.server;
    return s.status;
}

int gn_script_manage(char *const *args, const struct gn_script_options *o)
{
    struct script s = {.args = args, .options = o};
    return run_on_fiber(&s, manage_body);
}
