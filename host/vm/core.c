#include "core.h"

#include "../log.h"
#include "../sched/sched.h"
#include "genet.h"
#include "vm.h"

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <pthread.h>
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

/* core.secret() -> 32 random bytes, the same for every state of this process */
static int core_secret(lua_State *L)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char secret[32];
    static bool made;
    pthread_mutex_lock(&lock);
    if (!made)
        made = getrandom(secret, sizeof secret, 0) == sizeof secret;
    bool good = made;
    pthread_mutex_unlock(&lock);
    if (!good)
        return luaL_error(L, "the system gives no random bytes");
    lua_pushlstring(L, secret, sizeof secret);
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
