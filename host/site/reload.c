#include "reload.h"

#include "../sched/errand.h"
#include "../telemetry/stats.h"
#include "../vm/copy.h"
#include "../vm/core.h"
#include "watcher.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct gn_generations *self(lua_State *L)
{
    struct gn_generations *gs = lua_touserdata(L, lua_upvalueindex(1));
    return gs ? gs : (luaL_error(L, "no app is served here"), NULL);
}

/* NULL where nothing is watched. */
static struct gn_watcher *watcher(lua_State *L)
{
    const struct gn_generations *gs = lua_touserdata(L, lua_upvalueindex(1));
    return gs ? gs->options.watcher : NULL;
}

static int fail(lua_State *L, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

/* What the leader of a thread's generations is asked for. */
struct wish {
    struct gn_generations *leader;
    int outcome;
    char error[1024];
};

static void reload_leader(void *arg)
{
    struct wish *w = arg;
    struct gn_generations *gs = w->leader;
    w->outcome = gn_generations_await(gs, gn_generations_reload(gs), NULL);
    if (w->outcome == -EBADMSG)
        snprintf(w->error, sizeof w->error, "%s", gs->error);
}

static int reload_elsewhere(lua_State *L, struct gn_generations *leader)
{
    struct wish w = {.leader = leader};
    int r = gn_elsewhere(leader->sched, "reload", reload_leader, &w);
    if (r == 0)
        r = w.outcome;
    if (r == -EBADMSG)
        return fail(L, w.error);
    if (r < 0)
        return gn_vm_raise(L, r);
    lua_pushinteger(L, r);
    return 1;
}

/* generations.reload() -> number of the generation that serves since | nil, why not.
 * Waits.
 */
static int g_reload(lua_State *L)
{
    struct gn_generations *gs = self(L);
    if (!gs->current)
        return luaL_error(L, "the scripts are being loaded already");
    if (gs->options.leader)
        return reload_elsewhere(L, gs->options.leader);
    int r = gn_generations_await(gs, gn_generations_reload(gs), gn_vm_of(L));
    if (r == -EBADMSG)
        return fail(L, gs->error);
    if (r < 0)
        return gn_vm_raise(L, r);
    lua_pushinteger(L, r);
    return 1;
}

/* generations.latest() -> number of the one that serves, why the latest load failed |
 * nil
 */
static int g_latest(lua_State *L)
{
    const struct gn_generations *gs = self(L);
    lua_pushinteger(L, gs->last);
    lua_pushstring(L, gs->error);
    return 2;
}

/* generations.change([seconds]) -> true once a load or a generation has ended | false
 * when the time is over. Waits. */
static int g_change(lua_State *L)
{
    int64_t deadline = gn_opt_deadline(L, 1);
    int r = gn_generations_wait(self(L), deadline);
    if (r < 0 && r != -ETIMEDOUT)
        return gn_vm_raise(L, r);
    lua_pushboolean(L, r == 0);
    return 1;
}

/* A file that the leader is to watch. */
struct far_file {
    struct gn_errand errand;
    struct gn_watcher *watcher;
    bool directory;
    char path[];
};

static void watch_far(void *arg)
{
    struct far_file *f = arg;
    if (f->directory)
        gn_watcher_add_directory(f->watcher, f->path);
    else
        gn_watcher_add_file(f->watcher, f->path);
}

static void drop_far(struct gn_errand *e)
{
    free(gn_container_of(e, struct far_file, errand));
}

/* Waits until it is watched, where it may: who reads the file after that misses no
 * change. What cannot be had in memory is not watched. */
static void watch_elsewhere(struct gn_generations *leader, const char *path,
                            bool directory)
{
    size_t size = strlen(path) + 1;
    struct far_file *f = malloc(sizeof *f + size);
    if (!f)
        return;
    f->watcher = leader->options.watcher;
    f->directory = directory;
    memcpy(f->path, path, size);
    gn_errand_send(&f->errand, leader->sched, "watch", watch_far, f);
    if (!gn_may_park()) {
        f->errand.drop = drop_far;
        return;
    }
    gn_errand_await(&f->errand);
    free(f);
}

/* Has a path watched on whichever thread the watcher is, if there is one. */
static void watch(lua_State *L, const char *path, bool directory)
{
    const struct gn_generations *gs = lua_touserdata(L, lua_upvalueindex(1));
    struct gn_generations *leader = gs ? gs->options.leader : NULL;
    if (leader && leader->options.watcher)
        watch_elsewhere(leader, path, directory);
    else if (watcher(L) && directory)
        gn_watcher_add_directory(watcher(L), path);
    else if (watcher(L))
        gn_watcher_add_file(watcher(L), path);
}

/* generations.watch(file): a change of it reloads, where changes are watched for; may
 * wait */
static int g_watch(lua_State *L)
{
    watch(L, luaL_checkstring(L, 1), false);
    return 0;
}

/* generations.watch_scripts(directory): the same for every *.lua in it */
static int g_watch_scripts(lua_State *L)
{
    watch(L, luaL_checkstring(L, 1), true);
    return 0;
}

/* generations.keep(name, value): for the next generation. Raises when it is not plain
 * data.
 */
static int g_keep(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    struct gn_generations *gs = self(L);
    char why[256], *data;
    size_t n;
    if (gn_pack_one(L, 2, "it", &data, &n, why, sizeof why) < 0)
        return luaL_error(L, "'%s' cannot be kept: %s", name, why);
    if (gn_generations_keep(gs, name, data, n) < 0)
        return luaL_error(L, "'%s' cannot be kept: out of memory", name);
    return 0;
}

/* generations.kept(name) -> the value that the generation before has kept | nil */
static int g_kept(lua_State *L)
{
    struct gn_generations *gs = lua_touserdata(L, lua_upvalueindex(1));
    struct gn_unpacker u;
    size_t n = 0;
    const char *data = gs ? gn_generations_kept(gs, luaL_checkstring(L, 1), &n) : NULL;
    if (!data)
        return 0;
    gn_unpack_begin(L, &u, data, n);
    gn_unpack(L, &u);
    return 1;
}

/* Of the generation that the state is; NULL where no app is served. */
static struct gn_sources *sources(lua_State *L)
{
    if (!lua_touserdata(L, lua_upvalueindex(1)))
        return NULL;
    return gn_container_of(gn_vm_of(L), struct gn_app, vm)->sources;
}

/* generations.record(name, text): for the states of other threads that are made of this
 * generation */
static int g_record(lua_State *L)
{
    size_t n;
    const char *name = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &n);
    struct gn_sources *s = sources(L);
    if (s && gn_sources_record(s, name, text, n) < 0)
        return luaL_error(L, "not enough memory");
    return 0;
}

/* generations.recall(name) -> what has been recorded for this generation | nil */
static int g_recall(lua_State *L)
{
    size_t n;
    struct gn_sources *s = sources(L);
    const char *text = s ? gn_sources_recall(s, luaL_checkstring(L, 1), &n) : NULL;
    if (!text)
        return 0;
    lua_pushlstring(L, text, n);
    return 1;
}

/* generations.debug() -> whether the host was started for who writes scripts */
static int g_debug(lua_State *L)
{
    const struct gn_generations *gs = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushboolean(L, gs && gs->options.debug);
    return 1;
}

/* generations.served() -> whether these scripts are */
static int g_served(lua_State *L)
{
    lua_pushboolean(L, lua_touserdata(L, lua_upvalueindex(1)) != NULL);
    return 1;
}

static const luaL_Reg functions[] = {
    {"reload", g_reload},
    {"latest", g_latest},
    {"change", g_change},
    {"watch", g_watch},
    {"watch_scripts", g_watch_scripts},
    {"keep", g_keep},
    {"kept", g_kept},
    {"record", g_record},
    {"recall", g_recall},
    {"debug", g_debug},
    {"served", g_served},
    {NULL, NULL},
};

static int open_module(lua_State *L)
{
    return gn_vm_new_module(L, functions);
}

void gn_generations_register(lua_State *L, struct gn_generations *gs)
{
    gn_vm_preload(L, "genet.generations", open_module, gs);
    gn_stats_register(L, gs ? gs->options.telemetry : NULL);
}
