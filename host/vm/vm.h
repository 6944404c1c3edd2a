/* A Lua state, and how C code runs Lua on fibers.
 *
 * Each call into Lua runs on a Lua thread of its own, which rides on the calling fiber.
 * It is resumed, not called, so that coroutine.yield() at its top level lets other
 * fibers run; a C function that waits parks the fiber and needs no continuation. The
 * main Lua thread never runs code that may wait. */
#ifndef GN_VM_H
#define GN_VM_H

#include "../sched/sched.h"
#include "guard.h"
#include "role.h"

#include <lauxlib.h>
#include <lua.h>

/* What a call is for, which says how long it may go on when its state is to be closed.
 */
enum gn_call_kind {
    GN_CALL_HOST, /* of the host's own: loading, requests; whoever made it waits */
    GN_CALL_TASK, /* started by another call; ends by itself */
    GN_CALL_BACKGROUND, /* a timer, or a task started while scripts load: serves them */
    GN_CALL_KINDS
};

struct gn_vm {
    lua_State *L;         /* the main Lua thread */
    struct gn_call *idle; /* with Lua threads to reuse, warmest first */
    unsigned idle_count;
    struct gn_list calls;          /* that run */
    unsigned count[GN_CALL_KINDS]; /* of them */
    unsigned held;                 /* by the host, see gn_vm_hold() */
    struct gn_fiber *waiter;       /* in gn_vm_wait(), or NULL */
    bool closing;                  /* gn_vm_cancel() has been called */
    int on_end; /* in the registry: what to tell of ended calls that had a `current` */
    int on_failure;  /* in the registry: who looks at each Lua thread that has failed */
    unsigned number; /* of the generation it is; 0: a plain script's */
    bool retired;    /* a later one serves; this one ends what it has begun */
    const struct gn_role
        *role; /* which of several it is; borrowed; NULL: the only one */
    struct gn_guard_state guard;
    const char *framework; /* where the files of the framework are; its own string */
    /* Names a call of the host's, for the log; NULL: there is only one */
    void (*describe)(const struct gn_call *, char *out, size_t room);
    /* The id of the request that a call is about, or NULL; NULL: there are none */
    const char *(*identify)(const struct gn_call *);
};

/* Sets of kinds. */
enum {
    GN_CALLS_WORK = 1 << GN_CALL_HOST | 1 << GN_CALL_TASK,
    GN_CALLS_ALL = GN_CALLS_WORK | 1 << GN_CALL_BACKGROUND
};

/* A call into Lua that runs, or the Lua thread of one that did. */
struct gn_call {
    lua_State *L; /* its Lua thread; anchored in the registry */
    int anchor;
    struct gn_vm *vm;
    union {
        struct gn_list link;  /* in vm->calls */
        struct gn_call *next; /* in vm->idle */
    };
    enum gn_call_kind kind;
    struct gn_guard guard;
    void *arg;  /* of one of the host's */
    bool keeps; /* an error and its traceback, {error, traceback} in the registry by the
                   address of the call */
    bool loads; /* scripts: tasks it starts are GN_CALL_BACKGROUND */
    struct gn_fiber *fiber; /* it runs on */
    struct gn_call
        *outer; /* whose C function made this call on the same fiber, or NULL */
    struct gn_scope scope;    /* interrupting it cancels the call */
    struct gn_handle *handle; /* what Lua knows it by, see tasks.c; or NULL */
    int current; /* in the registry: what `core.current` gives in it; LUA_NOREF */
    lua_Integer exchange; /* of the request it is for, or was started for; 0 */
    int args;             /* of one that has not begun: how many stand on its stack */
    unsigned long id;     /* of its scheduler's calls, from 1 */
    int64_t born;         /* when it began; monotonic ns */
};

/* Makes a state with the standard libraries, `genet.core`, and the framework on
 * package.path. Returns 0 or -ENOMEM. */
int gn_vm_open(struct gn_vm *);

/* Closes the state; no fiber may run on it any more. Runs finalizers. Any fiber or
 * none. */
void gn_vm_close(struct gn_vm *);

/* Runs fn(L) with `arg` as a light userdata at index 1, protected, on the calling
 * fiber. May wait. When it raises, runs failed(L) in the same way with (arg, error,
 * traceback) at indices 1 to 3, after the to-be-closed variables of the failed call
 * have been closed. Returns 0, -1 when fn raised, or -ENOMEM. An error in `failed`
 * itself is logged. */
int gn_vm_call(struct gn_vm *, lua_CFunction fn, void *arg, lua_CFunction failed);

/* gn_vm_call() of what loads scripts. */
int gn_vm_load(struct gn_vm *, lua_CFunction fn, void *arg, lua_CFunction failed);

/* Starts a call on a fiber of its own: pops `args` arguments and the function below
 * them from `L`. It first runs when the caller waits. Returns it, borrowed until it
 * ends; NULL when out of memory, with the stack as it was. */
struct gn_call *gn_vm_spawn(lua_State *L, int args, enum gn_call_kind);

/* The state that a Lua thread belongs to. */
struct gn_vm *gn_vm_of(lua_State *);

/* Shows a Lua thread that has failed, with its error on top, to who has asked for that:
 * on_failure(thread, error, owner), on the main Lua thread. The owner is the Lua thread
 * of the call that a coroutine runs in; NULL for a call's own. */
void gn_vm_show_failure(struct gn_vm *, lua_State *failed, lua_State *owner);

/* The innermost call that runs on this fiber; NULL outside Lua. */
struct gn_call *gn_call_self(void);

/* Interrupts what runs on a fiber, see gn_scope_cancel(); does nothing where no Lua
 * runs. */
void gn_vm_interrupt(struct gn_fiber *, int cause);

/* Between the two the state counts as in use by a call of the host's. */
void gn_vm_hold(struct gn_vm *);
void gn_vm_release(struct gn_vm *);

/* Waits until no call of these kinds runs any more, or the deadline. Returns how many
 * do. May wait; it is no cancellation point. */
unsigned gn_vm_wait(struct gn_vm *, unsigned kinds, int64_t deadline);

/* Cancels every call that runs, and each that is started from then on. */
void gn_vm_cancel(struct gn_vm *);

/* Pushes the function `name` of a Lua module, which it requires first. May raise. */
void gn_vm_push_function(lua_State *, const char *module, const char *name);

/* Makes a module known to require(): open(L) returns it, with `arg` as a light userdata
 * at its first upvalue. May raise. */
void gn_vm_preload(lua_State *, const char *module, lua_CFunction open, void *arg);

/* For such an `open`: returns a module of functions that each have the same at their
 * first upvalue. May raise. */
int gn_vm_new_module(lua_State *, const luaL_Reg *functions);

/* For gn_log_set_speaker(): the generation of the running call, and its request. */
struct gn_speaker;
void gn_vm_speaker(struct gn_speaker *);

/* Raises what a wait that returned `error` means to Lua: "cancelled", "timeout", or the
 * errno's text. */
int gn_vm_raise(lua_State *, int error);

#endif
