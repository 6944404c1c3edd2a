#include "guard.h"

#include "../log.h"
#include "vm.h"

#include <dlfcn.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    TICKS_PER_SLICE = 4,
    GRACE_SLICES = 4,
    STALL_SLICES = 4,
    LATE_TICKS = 2,     /* a C function that holds the thread so long is named */
    STEPS_ASIDE = 100,  /* instructions between two looks at framework code */
    QUIET_SECONDS = 60, /* between two log lines of one place */
    PLACES_TRIED = 8
};
static const int64_t LONGEST_SLICE = 3600 * GN_SECOND;
static const double NO_SLICE = 0.1; /* ticks for the limit alone */

/* ---- hooks: set and taken away, at any instruction ---- */

static void on_hook(lua_State *, lua_Debug *);

static void disarm(struct gn_guard *g)
{
    lua_State *L = g->armed;
    if (L && lua_gethook(L) == on_hook)
        lua_sethook(L, g->theirs.fn, g->theirs.mask, g->theirs.count);
    g->armed = NULL;
}

/* Has on_hook() called at the next instruction of `L`, and when the C function that it
 * is in returns. Async-signal-safe, as lua_sethook() is. */
static void arm(struct gn_guard *g, lua_State *L, int steps)
{
    if (g->armed != L)
        disarm(g);
    lua_Hook now = lua_gethook(L);
    if (now != on_hook) {
        g->theirs.fn = now;
        g->theirs.mask = lua_gethookmask(L);
        g->theirs.count = lua_gethookcount(L);
    } else if (g->armed != L)
        g->theirs.fn = NULL; /* inherited by a new coroutine */
    g->armed = L;
    lua_sethook(L, on_hook, LUA_MASKCOUNT | LUA_MASKRET, steps);
}

/* No hook runs in a hook, in the message handler and, for ever after, on the Lua thread
 * of an error that a hook has raised, nor in a finalizer. What is over its limit must
 * not hide there, and Lua has no call for that. Async-signal-safe. */
static void allow_hooks(const struct gn_vm *vm, lua_State *L)
{
    if (vm->guard.allowhook)
        ((unsigned char *)L)[vm->guard.allowhook] = 1;
}

/* Between the two the signal handler leaves the hooks alone. */
static void hold_off(struct gn_guard *g)
{
    g->busy = true;
    atomic_signal_fence(memory_order_seq_cst);
}

static void let_in(struct gn_guard *g)
{
    atomic_signal_fence(memory_order_seq_cst);
    g->busy = false;
}

/* A count hook of the program's own has a right to every instruction: a Lua thread with
 * one is not preempted. */
static bool has_own_count(lua_State *L)
{
    return lua_gethook(L) != on_hook && lua_gethookmask(L) & LUA_MASKCOUNT;
}

/* ---- ticks ---- */

/* Those of a call that serves for as long as the app does count from its last wait. */
static void count(struct gn_call *c, const struct gn_fiber *f, unsigned ticks)
{
    struct gn_guard *g = &c->guard;
    if (g->waits != f->waits) {
        g->waits = f->waits;
        g->hog = false;
        if (c->kind == GN_CALL_BACKGROUND)
            g->ticks = 0;
    }
    g->ticks += ticks;
}

/* In the signal handler. */
static void on_tick(struct gn_fiber *f, unsigned ticks, unsigned held)
{
    struct gn_call *c = f->slot[GN_SLOT_LUA];
    if (!c)
        return;
    struct gn_guard *g = &c->guard;
    unsigned slice = c->vm->guard.slice;
    count(c, f, ticks);
    bool over = g->most && g->ticks >= g->most;
    bool long_turn = slice && (held >= slice || g->hog) &&
                     !(g->running && has_own_count(g->running));
    if (!over && !long_turn)
        return;
    g->late = g->wanted && g->turn == f->sched->turn ? g->late + ticks : 0;
    g->turn = f->sched->turn;
    g->held = held;
    g->wanted = true;
    lua_State *L = g->running;
    if (!L || g->busy)
        return;
    bool armed = g->armed == L && lua_gethook(L) == on_hook;
    if (!armed) /* which takes long in deep recursion: not twice */
        arm(g, L, 1);
    if (over)
        allow_hooks(c->vm, L);
}

/* ---- which Lua thread runs ---- */

static int (*real_resume)(lua_State *, lua_State *, int, int *);
static int (*real_reset)(lua_State *);

/* The hook goes where the call goes. */
static __attribute__((noinline)) void follow(struct gn_guard *g, lua_State *L)
{
    hold_off(g);
    if (!L)
        disarm(g);
    else if (g->killed || !has_own_count(L))
        arm(g, L, 1);
    let_in(g);
}

static inline lua_State *enter(struct gn_guard *g, lua_State *L)
{
    lua_State *outer = g->running;
    g->running = L;
    atomic_signal_fence(memory_order_seq_cst);
    if (g->wanted)
        follow(g, L);
    return outer;
}

static __attribute__((noinline)) void failed(struct gn_call *c, lua_State *L)
{
    allow_hooks(c->vm, L);
    if (L != c->L && lua_status(L) > LUA_YIELD)
        gn_vm_show_failure(c->vm, L, c->L);
}

static inline int resume(struct gn_call *c, lua_State *L, lua_State *from, int args,
                         int *results)
{
    lua_State *outer = enter(&c->guard, L);
    int status = real_resume(L, from, args, results);
    enter(&c->guard, outer);
    if (status > LUA_YIELD)
        failed(c, L);
    return status;
}

int gn_guard_resume(struct gn_call *c, int args, int *results)
{
    return resume(c, c->L, NULL, args, results);
}

int lua_resume(lua_State *L, lua_State *from, int args, int *results)
{
    struct gn_call *c = gn_call_self();
    return c ? resume(c, L, from, args, results) : real_resume(L, from, args, results);
}

int lua_resetthread(lua_State *L)
{
    struct gn_call *c = gn_call_self();
    if (!c)
        return real_reset(L);
    lua_State *outer = enter(&c->guard, L);
    int status = real_reset(L);
    enter(&c->guard, outer);
    return status;
}

/* ---- what is told of a call ---- */

/* The name of a task: the one it was given, else the place of its function. */
static void name_task(lua_State *L, const struct gn_call *c, char *out, size_t room)
{
    lua_Debug where;
    snprintf(out, room, "a task");
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->current);
    if (lua_istable(L, -1)) {
        lua_pushliteral(L, "name");
        if (lua_rawget(L, -2) == LUA_TSTRING)
            snprintf(out, room, "task %s", lua_tostring(L, -1));
        lua_pushliteral(L, "fn");
        if (lua_isnil(L, -2) && lua_rawget(L, -3) == LUA_TFUNCTION &&
            lua_getinfo(L, ">S", &where))
            snprintf(out, room, "task %s:%d", where.short_src, where.linedefined);
    }
}

static void name_call(lua_State *L, const struct gn_call *c, char *out, size_t room)
{
    int top = lua_gettop(L);
    if (c->kind != GN_CALL_HOST)
        name_task(L, c, out, room);
    else if (c->loads)
        snprintf(out, room, "loading the scripts");
    else if (c->vm->describe)
        c->vm->describe(c, out, room);
    else
        snprintf(out, room, "the script");
    lua_settop(L, top);
}

static uint64_t hash(const char *text, int line)
{
    uint64_t h = 14695981039346656037u + (uint64_t)line;
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h | 1;
}

/* Whether a place has not been logged for a while; notes that it is now. When many are
 * noted, one of those is forgotten. */
static bool is_news(struct gn_guard_state *s, uint64_t place)
{
    enum { ROOM = sizeof s->logged / sizeof *s->logged };
    int64_t now = gn_now();
    size_t oldest = place % ROOM;
    for (size_t i = 0; i < PLACES_TRIED; i++) {
        size_t at = (place + i) % ROOM;
        if (s->logged[at].place == place && s->logged[at].until > now)
            return false;
        if (s->logged[at].until < s->logged[oldest].until)
            oldest = at;
    }
    s->logged[oldest].place = place;
    s->logged[oldest].until = now + QUIET_SECONDS * GN_SECOND;
    return true;
}

/* Finds the innermost Lua function from `level` on. */
static bool find_lua(lua_State *L, int level, lua_Debug *ar)
{
    for (; lua_getstack(L, level, ar); level++)
        if (lua_getinfo(L, "Sl", ar) && ar->currentline >= 0)
            return true;
    return false;
}

static uint64_t place_of(lua_State *L, lua_Debug *ar)
{
    return find_lua(L, 0, ar) ? hash(ar->source, ar->currentline) : 1;
}

static int milliseconds(const struct gn_call *c, unsigned ticks)
{
    return (int)(ticks * c->vm->guard.tick / GN_MS);
}

/* Pushes where `at` stands, and if that is a coroutine also where its call does. */
static const char *push_traceback(lua_State *L, const struct gn_call *c, lua_State *at)
{
    luaL_traceback(L, at, NULL, 0);
    if (at != c->L)
        luaL_traceback(L, c->L, lua_tostring(L, -1), 0);
    return lua_tostring(L, -1);
}

static enum gn_level importance(const struct gn_call *c)
{
    return c->vm->guard.limits.quiet ? GN_DEBUG : GN_WARN;
}

/* May raise when out of memory. */
static void log_hog(struct gn_call *c, lua_State *L, const char *what)
{
    lua_Debug ar;
    char who[160];
    if (!is_news(&c->vm->guard, place_of(L, &ar)))
        return;
    int top = lua_gettop(L);
    name_call(L, c, who, sizeof who);
    gn_log(importance(c), "%s: %s for %d ms\n%s", who, what,
           milliseconds(c, c->guard.held), push_traceback(L, c, L));
    lua_settop(L, top);
}

/* ---- the hook ---- */

/* The framework's own code relies on not being left between two waits. A function that
 * is about to return has done its work. */
static bool in_framework(lua_State *L, const struct gn_vm *vm, const lua_Debug *event)
{
    lua_Debug ar;
    int level = event->event == LUA_HOOKCOUNT ? 0 : 1;
    return find_lua(L, level, &ar) && ar.source[0] == '@' &&
           strncmp(ar.source + 1, vm->framework, strlen(vm->framework)) == 0;
}

/* "the C function 'rep' held the thread" when that is what returns now. */
static void tell(struct gn_call *c, lua_State *L, lua_Debug *ar, unsigned late)
{
    char what[96] = "has computed without waiting";
    if (late >= LATE_TICKS && ar->event == LUA_HOOKRET && lua_getinfo(L, "Sn", ar) &&
        *ar->what == 'C')
        snprintf(what, sizeof what, "the C function '%s' has held the thread",
                 ar->name ? ar->name : "?");
    else if (c->guard.hog)
        return; /* has been told of when it began */
    log_hog(c, L, what);
}

/* Who computes for so long might never come to a wait that tells it. It is told once:
 * what cleans up may compute too. */
static void end_if_cancelled(struct gn_call *c, lua_State *L)
{
    int cause = gn_fiber_cause(c->fiber);
    if (!cause || c->guard.told)
        return;
    c->guard.told = true;
    allow_hooks(c->vm, L);
    gn_vm_raise(L, cause);
}

static void give_way(struct gn_call *c, lua_State *L, lua_Debug *ar, unsigned late)
{
    tell(c, L, ar, late);
    if (c->guard.held_on || !gn_may_park())
        return;
    c->guard.hog = true;
    c->fiber->sched->preemptions++;
    gn_give_way();
    end_if_cancelled(c, L);
}

/* Over the limit: an error, once; what cleans up after it may use a little more time.
 * Then an error at every instruction, so that no pcall holds it up. */
static void end_call(struct gn_call *c, lua_State *L)
{
    struct gn_guard *g = &c->guard;
    struct gn_guard_state *s = &c->vm->guard;
    g->killed = g->ended;
    g->ended = true;
    g->most = g->ticks + s->grace;
    if (g->killed) {
        g->most = 1;
        g->wanted = true;
        arm(g, L, 1);
    }
    let_in(g);
    char text[80];
    snprintf(text, sizeof text, "more than %g s of processor time", s->limits.cpu);
    luaL_where(L, 0);
    lua_pushstring(L, text);
    lua_concat(L, 2);
    allow_hooks(c->vm, L);
    lua_error(L);
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
    struct gn_call *c = gn_call_self();
    if (!c || c->guard.armed != L) { /* of a coroutine made while its maker had one */
        lua_sethook(L, NULL, 0, 0);
        return;
    }
    struct gn_guard *g = &c->guard;
    hold_off(g);
    if (!g->killed && in_framework(L, c->vm, ar)) {
        arm(g, L, STEPS_ASIDE);
        g->late = 0;
        let_in(g);
        return;
    }
    unsigned late = g->late;
    bool stale = g->turn != c->fiber->sched->turn;
    g->wanted = false;
    disarm(g);
    if (g->most && g->ticks >= g->most)
        end_call(c, L);
    let_in(g);
    if (!stale && c->vm->guard.slice)
        give_way(c, L, ar, late);
}

/* ---- the thread is blocked ---- */

struct stall {
    struct gn_call *call;
    int64_t ns;
};

static int log_stall(lua_State *L)
{
    const struct stall *s = lua_touserdata(L, 1);
    struct gn_call *c = s->call;
    lua_State *at = c->guard.running ? c->guard.running : c->L;
    lua_Debug ar;
    char who[160];
    if (!is_news(&c->vm->guard, ~place_of(at, &ar)))
        return 0;
    name_call(L, c, who, sizeof who);
    gn_log(importance(c),
           "%s: has blocked the thread for %d ms without computing, before it came "
           "here\n%s",
           who, (int)(s->ns / GN_MS), push_traceback(L, c, at));
    return 0;
}

static void on_stall(struct gn_fiber *f, int64_t ns)
{
    struct stall s = {f->slot[GN_SLOT_LUA], ns};
    if (!s.call) {
        gn_log(GN_WARN, "fiber '%s' has blocked the thread for %d ms", f->name,
               (int)(ns / GN_MS));
        return;
    }
    lua_State *L = s.call->vm->L;
    lua_pushcfunction(L, log_stall);
    lua_pushlightuserdata(L, &s);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK)
        lua_pop(L, 1);
}

/* ---- life ---- */

static int64_t tick_of(const struct gn_limits *limits)
{
    double ns = (limits->slice > 0 ? limits->slice : NO_SLICE) * (double)GN_SECOND;
    int64_t slice = ns < (double)LONGEST_SLICE ? (int64_t)ns : LONGEST_SLICE;
    return slice / TICKS_PER_SLICE > GN_MS ? slice / TICKS_PER_SLICE : GN_MS;
}

int gn_guard_start(const struct gn_limits *limits)
{
    struct gn_tick_options o = {
        .ns = tick_of(limits), .on_tick = on_tick, .on_stall = on_stall};
    o.patience = o.ns * TICKS_PER_SLICE * STALL_SLICES;
    if (limits->slice <= 0 && limits->cpu <= 0)
        return 0;
    return gn_tick_start(gn_sched_self(), &o);
}

void gn_guard_limit(struct gn_vm *vm, const struct gn_limits *limits)
{
    struct gn_guard_state *s = &vm->guard;
    s->limits = *limits;
    s->tick = tick_of(limits);
    s->slice = limits->slice > 0 ? TICKS_PER_SLICE : 0;
    s->grace = GRACE_SLICES * TICKS_PER_SLICE;
    double cpu = limits->cpu * (double)GN_SECOND / (double)s->tick;
    s->cpu = cpu <= 0 ? 0 : cpu < INT32_MAX ? (unsigned)cpu + 1 : INT32_MAX;
}

/* Called by the hook of a chunk that does nothing: the one byte that is 1 outside of
 * hooks and 0 in one. */
static void find_allowhook(lua_State *L, lua_Debug *ar)
{
    struct gn_guard_state *s = &gn_vm_of(L)->guard;
    (void)ar;
    size_t found = 0, count_found = 0;
    for (size_t i = sizeof(void *); i < sizeof s->sample; i++)
        if (s->sample[i] == 1 && ((const unsigned char *)L)[i] == 0) {
            found = i;
            count_found++;
        }
    s->allowhook = count_found == 1 ? found : 0;
    lua_sethook(L, NULL, 0, 0);
}

int gn_guard_open(struct gn_vm *vm)
{
    lua_State *L = vm->L;
    if (!real_resume) {
        *(void **)&real_reset = dlsym(RTLD_NEXT, "lua_resetthread");
        *(void **)&real_resume = dlsym(RTLD_NEXT, "lua_resume");
    }
    if (luaL_loadstring(L, "local _ = 1") != LUA_OK)
        return -1;
    memcpy(vm->guard.sample, L, sizeof vm->guard.sample);
    lua_sethook(L, find_allowhook, LUA_MASKCOUNT, 1);
    return lua_pcall(L, 0, 0, 0) == LUA_OK ? 0 : -1;
}

bool gn_guard_ended(void)
{
    const struct gn_call *c = gn_call_self();
    return c && c->guard.ended;
}

/* What has been used up stays 0 between calls, see gn_guard_rest(). */
void gn_guard_begin(struct gn_call *c)
{
    c->guard.most = c->vm->guard.cpu;
    c->guard.waits = c->fiber->waits;
    c->guard.told = c->guard.ended = false;
}

static __attribute__((noinline)) void clean(struct gn_call *c)
{
    struct gn_guard *g = &c->guard;
    bool ended = g->ended;
    hold_off(g);
    disarm(g);
    lua_sethook(c->L, NULL, 0, 0); /* nor does the program's own outlive its call */
    *g = (struct gn_guard){.busy = true};
    gn_guard_begin(c);
    g->ended = ended;
    let_in(g);
}

void gn_guard_rest(struct gn_call *c)
{
    if (c->guard.ticks || c->guard.held_on || lua_gethook(c->L))
        clean(c);
}
