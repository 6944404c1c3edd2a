#include "core.h"

#include "../log.h"
#include "../sched/sched.h"
#include "genet.h"
#include "vm.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

int64_t gn_check_deadline(lua_State *L, int arg)
{
    lua_Number seconds = luaL_checknumber(L, arg);
    luaL_argcheck(L, seconds >= 0, arg, "seconds must not be negative"); /* nor a NaN */
    return seconds < (lua_Number)(GN_NEVER / GN_SECOND)
               ? gn_after((int64_t)(seconds * GN_SECOND))
               : GN_NEVER;
}

int64_t gn_opt_deadline(lua_State *L, int arg)
{
    return lua_isnoneornil(L, arg) ? GN_NEVER : gn_check_deadline(L, arg);
}

/* Off fibers and in finalizers, where nothing may wait, the thread sleeps. */
static void block_until(int64_t deadline)
{
    deadline -= gn_clock_ahead;
    struct timespec t = {.tv_sec = deadline / GN_SECOND,
                         .tv_nsec = deadline % GN_SECOND};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        continue;
}

/* core.sleep(seconds): waits. Raises "cancelled" or "timeout" when it is interrupted.
 */
static int core_sleep(lua_State *L)
{
    int64_t deadline = gn_check_deadline(L, 1);
    if (!gn_may_park()) {
        block_until(deadline);
        return 0;
    }
    int r = gn_sleep_until(deadline);
    return r < 0 ? gn_vm_raise(L, r) : 0;
}

/* core.yield(): lets every ready fiber run once. Waits, and raises as core.sleep(). */
static int core_yield(lua_State *L)
{
    if (!gn_may_park())
        return 0;
    gn_yield();
    int cause = gn_fiber_cause(gn_fiber_self());
    return cause ? gn_vm_raise(L, cause) : 0;
}

/* core.log(level, text [, members]): `members` are for a log of JSON objects, such as
 * '"id":7' */
static int core_log(lua_State *L)
{
    size_t n, members_len;
    int level = gn_level_of(luaL_checkstring(L, 1));
    const char *text = luaL_checklstring(L, 2, &n);
    const char *members = luaL_optlstring(L, 3, "", &members_len);
    luaL_argcheck(L, level >= 0, 1, "no such level");
    gn_log_members((enum gn_level)level, text, n, members, members_len);
    return 0;
}

/* core.level() -> name of the least important level that is written */
static int core_level(lua_State *L)
{
    lua_pushstring(L, gn_level_name(gn_log_level()));
    return 1;
}

/* core.structured() -> whether the log is one of JSON objects */
static int core_structured(lua_State *L)
{
    lua_pushboolean(L, gn_log_is_json());
    return 1;
}

/* core.generation() -> number of this load of the scripts, from 1 */
static int core_generation(lua_State *L)
{
    unsigned number = gn_vm_of(L)->number;
    lua_pushinteger(L, number ? number : 1);
    return 1;
}

/* core.retiring() -> whether a later load of the scripts serves already */
static int core_retiring(lua_State *L)
{
    lua_pushboolean(L, gn_vm_of(L)->retired);
    return 1;
}

/* core.is_terminal(fd) -> whether a descriptor is one */
static int core_is_terminal(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* core.now() -> monotonic seconds */
static int core_now(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)gn_now() / (lua_Number)GN_SECOND);
    return 1;
}

/* core.skip([skips]) -> seconds that were skipped: has the scheduler skip time in which
 * everything sleeps, for tests */
static int core_skip(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        gn_sched_self()->skips = lua_toboolean(L, 1);
    lua_pushnumber(L, (lua_Number)gn_clock_ahead / (lua_Number)GN_SECOND);
    return 1;
}

static struct {
    pthread_mutex_t lock; /* protects the rest until it is made */
    unsigned char bytes[32];
    bool made;
} secret = {.lock = PTHREAD_MUTEX_INITIALIZER};

void gn_core_set_secret(const unsigned char *bytes)
{
    pthread_mutex_lock(&secret.lock);
    memcpy(secret.bytes, bytes, sizeof secret.bytes);
    secret.made = true;
    pthread_mutex_unlock(&secret.lock);
}

/* core.secret() -> 32 random bytes, the same for every state of this host */
static int core_secret(lua_State *L)
{
    pthread_mutex_lock(&secret.lock);
    if (!secret.made)
        secret.made = getrandom(secret.bytes, sizeof secret.bytes, 0) ==
                      (ssize_t)sizeof secret.bytes;
    bool good = secret.made;
    pthread_mutex_unlock(&secret.lock);
    if (!good)
        return luaL_error(L, "the system gives no random bytes");
    lua_pushlstring(L, (const char *)secret.bytes, sizeof secret.bytes);
    return 1;
}

/* core.worker() -> {mode=, index=, count=}: which of several states this is */
static int core_worker(lua_State *L)
{
    static const struct gn_role alone = {.count = 1};
    static const char *const modes[] = {"single", "threaded", "processes"};
    const struct gn_role *r = gn_vm_of(L)->role ? gn_vm_of(L)->role : &alone;
    lua_createtable(L, 0, 3);
    lua_pushstring(L, modes[r->mode]);
    lua_setfield(L, -2, "mode");
    lua_pushinteger(L, r->index);
    lua_setfield(L, -2, "index");
    lua_pushinteger(L, r->count);
    lua_setfield(L, -2, "count");
    return 1;
}

/* core.processors() -> how many this process may use */
static int core_processors(lua_State *L)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    lua_pushinteger(L, n);
    return 1;
}

/* core.loading() -> whether the running call loads the scripts */
static int core_loading(lua_State *L)
{
    const struct gn_call *c = gn_call_self();
    lua_pushboolean(L, c && c->loads);
    return 1;
}

/* core.environment() -> a list of "NAME=value" */
static int core_environment(lua_State *L)
{
    lua_newtable(L);
    for (lua_Integer i = 0; environ && environ[i]; i++) {
        lua_pushstring(L, environ[i]);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static const luaL_Reg core[] = {
    {"sleep", core_sleep},
    {"yield", core_yield},
    {"log", core_log},
    {"level", core_level},
    {"structured", core_structured},
    {"generation", core_generation},
    {"is_terminal", core_is_terminal},
    {"now", core_now},
    {"retiring", core_retiring},
    {"secret", core_secret},
    {"skip", core_skip},
    {"worker", core_worker},
    {"loading", core_loading},
    {"processors", core_processors},
    {"environment", core_environment},
    {"temporary_file", gn_core_temporary_file},
    {NULL, NULL},
};

int luaopen_genet_core(lua_State *L)
{
    luaL_newlib(L, core);
    lua_pushliteral(L, GENET_VERSION);
    lua_setfield(L, -2, "version");
    return 1;
}
