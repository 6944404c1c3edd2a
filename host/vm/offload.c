#include "offload.h"

#include "../sched/offload.h"
#include "carry.h"
#include "vm.h"

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { GARBAGE_KB = 1024 };
#define STOP_SIGNAL (SIGRTMIN + 1) /* not the one of host/sched/tick.h */

/* A Lua state for offloaded calls. Who runs a call in it has it alone. */
struct worker {
    struct gn_vm vm;
    struct worker *next; /* in shop->idle */
    bool prints_to_log;
    int kept_kb; /* what was in use when it was last cleaned */
};

/* The states of one caller's state; outlives it while calls still run. */
struct shop {
    pthread_mutex_t lock; /* protects `idle` and `closed` */
    struct worker *idle;
    bool closed;   /* the caller's state is */
    unsigned refs; /* of its module and of jobs; the scheduler's thread only */
    sigset_t mask; /* of signals, which offloaded code and its children have */
};

/* One call. The caller and the pool each have a reference. */
struct job {
    struct gn_job job;
    unsigned refs; /* the scheduler's thread only */
    struct shop *shop;
    struct gn_packer in, out;
    atomic_int thread; /* that runs it; 0: none */
    atomic_bool stop;  /* nobody waits for it any more */
};

/* ---- life ---- */

static void worker_free(struct worker *w)
{
    gn_vm_close(&w->vm);
    free(w);
}

static struct shop *shop_new(void)
{
    struct shop *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    pthread_mutex_init(&s->lock, NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
    sigdelset(&s->mask, STOP_SIGNAL);
    s->refs = 1;
    return s;
}

static void shop_unref(struct shop *s)
{
    if (--s->refs > 0)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void shop_close(struct shop *s)
{
    pthread_mutex_lock(&s->lock);
    struct worker *idle = s->idle;
    s->idle = NULL;
    s->closed = true;
    pthread_mutex_unlock(&s->lock);
    for (struct worker *w = idle, *next; w; w = next) {
        next = w->next;
        worker_free(w);
    }
    shop_unref(s);
}

static void job_unref(struct job *j)
{
    if (--j->refs > 0)
        return;
    gn_packer_term(&j->in);
    gn_packer_term(&j->out);
    shop_unref(j->shop);
    free(j);
}

static void drop(struct gn_job *job)
{
    job_unref(gn_container_of(job, struct job, job));
}

/* ---- stopping: on the pool thread ---- */

/* A Lua thread that runs here, and the one that has resumed it. */
struct frame {
    lua_State *L;
    struct frame *outer;
};

static _Thread_local struct job *volatile running;  /* NULL: no call runs here */
static _Thread_local struct frame *volatile frames; /* innermost first */

/* Raises again and again, so that no pcall() goes on for long. */
static void on_hook(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    if (running && running->stop)
        luaL_error(L, "cancelled");
    lua_sethook(L, NULL, 0, 0);
}

static void on_stop_signal(int sig)
{
    (void)sig;
    if (!running || !running->stop)
        return;
    for (struct frame *f = frames; f; f = f->outer)
        lua_sethook(f->L, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT, 1);
}

/* The stock function in upvalue 1, which lets the Lua thread in argument 1 run. */
static int run_coroutine(lua_State *L)
{
    struct frame self = {lua_tothread(L, 1), frames};
    if (self.L)
        frames = &self; /* else it will complain */
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    int r = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    frames = self.outer;
    return r == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* What `coroutine.wrap` returns; upvalues: the Lua thread, our `coroutine.resume`. */
static int resume_wrapped(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_rotate(L, 1, 2);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    if (lua_toboolean(L, 1))
        return lua_gettop(L) - 1;
    lua_resetthread(lua_tothread(L, lua_upvalueindex(1)));
    if (lua_type(L, -1) == LUA_TSTRING) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
    }
    return lua_error(L);
}

/* coroutine.wrap; upvalue: our `coroutine.resume` */
static int wrap(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, resume_wrapped, 2);
    return 1;
}

static void replace(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, run_coroutine, 1);
    lua_setfield(L, -2, name);
}

static int push_table(lua_State *L)
{
    lua_newtable(L);
    return 1;
}

/* Modules of the server, of which there is none here. */
static const luaL_Reg absent[] = {{"genet.exchange", push_table},
                                  {"genet.generations", push_table},
                                  {"genet.sockets", push_table},
                                  {NULL, NULL}};

/* Makes every way to run a coroutine leave a frame; and lets the framework be required,
 * where there are no requests. */
static int prepare(lua_State *L)
{
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, absent, 0);
    lua_getglobal(L, "coroutine");
    replace(L, "close");
    replace(L, "resume");
    lua_getfield(L, -1, "resume");
    lua_pushcclosure(L, wrap, 1);
    lua_setfield(L, -2, "wrap");
    return 0;
}

/* ---- running: on the pool thread ---- */

static struct worker *worker_new(void)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    if (gn_vm_open(&w->vm) == 0) {
        lua_pushcfunction(w->vm.L, prepare);
        if (lua_pcall(w->vm.L, 0, 0, 0) == LUA_OK)
            return w;
    }
    worker_free(w);
    return NULL;
}

static struct worker *borrow(struct shop *s)
{
    pthread_mutex_lock(&s->lock);
    struct worker *w = s->idle;
    if (w)
        s->idle = w->next;
    pthread_mutex_unlock(&s->lock);
    return w ? w : worker_new();
}

/* Garbage would lie there until the next call. */
static void clean(struct worker *w)
{
    lua_settop(w->vm.L, 0);
    if (lua_gc(w->vm.L, LUA_GCCOUNT) < 2 * w->kept_kb + GARBAGE_KB)
        return;
    lua_gc(w->vm.L, LUA_GCCOLLECT);
    w->kept_kb = lua_gc(w->vm.L, LUA_GCCOUNT);
}

static void give_back(struct shop *s, struct worker *w, bool sound)
{
    if (sound)
        clean(w);
    pthread_mutex_lock(&s->lock);
    bool keep = sound && !s->closed;
    if (keep) {
        w->next = s->idle;
        s->idle = w;
    }
    pthread_mutex_unlock(&s->lock);
    if (!keep)
        worker_free(w);
}

static void set_path(lua_State *L, struct gn_unpacker *u, const char *name)
{
    lua_getglobal(L, "package");
    gn_unpack(L, u);
    lua_setfield(L, -2, name);
    lua_pop(L, 1);
}

/* What is outside of the call: where modules are found, and where `print` goes. */
static void set_up(lua_State *L, struct gn_unpacker *u, struct worker *w)
{
    set_path(L, u, "path");
    set_path(L, u, "cpath");
    if (gn_unpack_integer(L, u) && !w->prints_to_log) {
        gn_vm_push_function(L, "genet.log", "capture_print");
        lua_call(L, 0, 0);
        w->prints_to_log = true;
    }
}

static void begin_answer(lua_State *L, struct gn_packer *out, bool ok, int count)
{
    gn_packer_term(out);
    if (gn_packer_init(out) < 0 || gn_pack_integer(out, ok) < 0 ||
        gn_pack_integer(out, count) < 0)
        luaL_error(L, "not enough memory");
}

/* (job, worker): makes the call, and packs its results. */
static int work(lua_State *L)
{
    struct job *j = lua_touserdata(L, 1);
    struct gn_unpacker u;
    char what[32];
    gn_unpack_begin(L, &u, j->in.data, j->in.size);
    set_up(L, &u, lua_touserdata(L, 2));
    gn_uncarry(L, &u);
    int base = lua_gettop(L), args = (int)gn_unpack_integer(L, &u);
    for (int i = 0; i < args; i++)
        gn_unpack(L, &u);
    lua_call(L, args, LUA_MULTRET);
    int results = lua_gettop(L) - base + 1;
    begin_answer(L, &j->out, true, results);
    for (int i = 1; i <= results; i++) {
        snprintf(what, sizeof what, "result %d", i);
        gn_carry_data(L, &j->out, base + i - 1, what);
    }
    return 0;
}

/* Packs the error on top of the stack, as a text unless it is plain. */
static void pack_error(lua_State *L, struct gn_packer *out)
{
    begin_answer(L, out, false, 2);
    if (luaL_getmetafield(L, -1, "__tostring") != LUA_TNIL || gn_pack(out, L, -1) < 0) {
        lua_settop(L, 1);
        luaL_tolstring(L, 1, NULL);
        begin_answer(L, out, false, 2);
        gn_carry_data(L, out, -1, "the error");
    }
}

/* The message handler: packs the error and the traceback. */
static int failed(lua_State *L)
{
    struct gn_packer *out = &running->out;
    lua_settop(L, 1);
    pack_error(L, out);
    luaL_traceback(L, L, NULL, 1);
    gn_carry_data(L, out, -1, "the traceback");
    lua_settop(L, 1);
    return 1;
}

/* For what has failed where no handler runs: without memory, or in the handler. */
static void answer_plainly(struct job *j, lua_State *L)
{
    struct gn_packer *out = &j->out;
    size_t n;
    const char *text = lua_tolstring(L, -1, &n);
    gn_packer_term(out);
    if (gn_packer_init(out) < 0 || gn_pack_integer(out, false) < 0 ||
        gn_pack_integer(out, 1) < 0 ||
        gn_pack_string(out, text ? text : "", text ? n : 0) < 0)
        gn_packer_term(out);
}

static void call(struct job *j, struct worker *w)
{
    lua_State *L = w->vm.L;
    lua_pushcfunction(L, failed);
    lua_pushcfunction(L, work);
    lua_pushlightuserdata(L, j);
    lua_pushlightuserdata(L, w);
    int r = lua_pcall(L, 2, 0, 1);
    if (r != LUA_OK && r != LUA_ERRRUN)
        answer_plainly(j, L);
}

/* Whoever asks to stop either is seen here or sees the thread. */
static void run(struct gn_job *job)
{
    struct job *j = gn_container_of(job, struct job, job);
    struct worker *w = borrow(j->shop);
    if (!w)
        return; /* without an answer: no memory */
    sigset_t old;
    struct frame first = {w->vm.L, NULL};
    pthread_sigmask(SIG_SETMASK, &j->shop->mask, &old);
    frames = &first;
    running = j;
    j->thread = gettid();
    if (!j->stop)
        call(j, w);
    j->thread = 0;
    running = NULL;
    frames = NULL;
    give_back(j->shop, w, !j->stop);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* ---- the caller ---- */

static void stop(struct job *j)
{
    j->stop = true;
    int thread = j->thread;
    if (thread)
        tgkill(getpid(), thread, STOP_SIGNAL);
}

static struct job *job_new(struct shop *s)
{
    struct job *j = calloc(1, sizeof *j);
    if (!j)
        return NULL;
    j->job = (struct gn_job){.run = run, .drop = drop, .heavy = true};
    j->shop = s;
    s->refs++;
    j->refs = 1;
    return j;
}

static void pack_field(lua_State *L, struct gn_packer *p, const char *name)
{
    lua_getfield(L, -1, name);
    gn_carry_data(L, p, -1, name);
    lua_pop(L, 1);
}

static void pack_surroundings(lua_State *L, struct gn_packer *p)
{
    lua_getglobal(L, "package");
    pack_field(L, p, "path");
    pack_field(L, p, "cpath");
    lua_getglobal(L, "print");
    if (gn_pack_integer(p, !lua_iscfunction(L, -1)) < 0)
        luaL_error(L, "not enough memory");
    lua_pop(L, 2);
}

/* (job, function or module, name, ...): packs the call. */
static int pack_call(lua_State *L)
{
    struct gn_packer *p = &((struct job *)lua_touserdata(L, 1))->in;
    int args = lua_gettop(L) - 3;
    char what[32];
    luaL_checkstack(L, 10, NULL);
    if (gn_packer_init(p) < 0)
        luaL_error(L, "not enough memory");
    pack_surroundings(L, p);
    if (lua_isfunction(L, 2))
        gn_carry(L, p, 2);
    else
        gn_carry_name(L, p, luaL_checkstring(L, 2), luaL_optstring(L, 3, NULL));
    if (gn_pack_integer(p, args) < 0)
        luaL_error(L, "not enough memory");
    for (int i = 1; i <= args; i++) {
        snprintf(what, sizeof what, "argument %d", i);
        gn_carry_data(L, p, i + 3, what);
    }
    return 0;
}

/* (job): what came back. */
static int unpack_answer(lua_State *L)
{
    const struct gn_packer *out = &((struct job *)lua_touserdata(L, 1))->out;
    struct gn_unpacker u;
    if (!out->data)
        return luaL_error(L, "not enough memory");
    gn_unpack_begin(L, &u, out->data, out->size);
    int base = lua_gettop(L);
    lua_pushboolean(L, (int)gn_unpack_integer(L, &u));
    lua_Integer count = gn_unpack_integer(L, &u);
    for (lua_Integer i = 0; i < count; i++)
        gn_unpack(L, &u);
    return lua_gettop(L) - base;
}

/* Returns how many values fn(job, what is on the stack...) gives, in place of that; or
 * -1 and an error. */
static int protected(lua_State *L, lua_CFunction fn, struct job *j)
{
    lua_pushcfunction(L, fn);
    lua_insert(L, 1);
    lua_pushlightuserdata(L, j);
    lua_insert(L, 2);
    int r = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    return r == LUA_OK ? lua_gettop(L) : -1;
}

/* pool.run(fn, nil, ...) or pool.run(module, name, ...) -> true, results... | false,
 * error, traceback | nil, why it cannot be called. `name` is nil when the module is
 * itself the function. Waits. Raises "cancelled" or "timeout" when it is interrupted.
 */
static int p_run(lua_State *L)
{
    struct shop **s = lua_touserdata(L, lua_upvalueindex(1));
    if (running || !gn_may_park()) {
        lua_pushnil(L);
        lua_pushstring(L, running ? "offloaded work cannot be offloaded again"
                                  : "nothing may wait here");
        return 2;
    }
    luaL_checkstack(L, 5, NULL);
    struct job *j = job_new(*s);
    if (!j)
        return luaL_error(L, "not enough memory");
    if (protected(L, pack_call, j) < 0) {
        job_unref(j);
        lua_pushnil(L);
        lua_insert(L, -2);
        return 2;
    }
    j->refs++;
    int r = gn_offload(&j->job);
    if (r == 0 || r == -ENOMEM)
        job_unref(j); /* the pool does not have it */
    else
        stop(j);
    lua_settop(L, 0);
    int results = r == 0 ? protected(L, unpack_answer, j) : 0;
    job_unref(j);
    if (r < 0)
        return gn_vm_raise(L, r);
    return results < 0 ? lua_error(L) : results;
}

/* ---- the module ---- */

static int shop_gc(lua_State *L)
{
    struct shop **s = lua_touserdata(L, 1);
    if (*s)
        shop_close(*s);
    *s = NULL;
    return 0;
}

/* Before the first call that could be stopped. */
static void listen_to_stop_signal(void)
{
    struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    sigaction(STOP_SIGNAL, &action, NULL);
}

int luaopen_genet_pool(lua_State *L)
{
    listen_to_stop_signal();
    lua_newtable(L);
    struct shop **s = lua_newuserdatauv(L, sizeof *s, 0);
    *s = NULL;
    lua_newtable(L);
    lua_pushcfunction(L, shop_gc);
    lua_setfield(L, -2, "__gc");
    lua_setmetatable(L, -2);
    *s = shop_new();
    if (!*s)
        return luaL_error(L, "not enough memory");
    lua_pushcclosure(L, p_run, 1);
    lua_setfield(L, -2, "run");
    return 1;
}
