/* The guard: Lua code that computes for too long is preempted, so that others run, and
 * ended once it has used up its processor time.
 *
 * The ticks of the scheduler (sched/tick.h) say which call into Lua has the thread. One
 * that has had it for a slice gets a debug hook, on the Lua thread that runs: the hook
 * function logs where that is and yields the fiber. As long as no call has, there is no
 * hook, and nothing is slower for it.
 *
 * This file defines lua_resume() and lua_resetthread(), which the dynamic linker gives
 * to Lua's own coroutine library too: so the guard knows which Lua thread of a call is
 * running. */
#ifndef GN_GUARD_H
#define GN_GUARD_H

#include "../sched/sched.h"

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gn_call;
struct gn_vm;

/* What a call may use. */
struct gn_limits {
    double slice; /* seconds that it may compute before others run; 0: it is not
                     preempted */
    double cpu;   /* seconds of processor time in all; 0: no limit */
    bool quiet;   /* who takes longer is not worth a warning */
};

/* Of a call into Lua, which embeds it. Shared with a signal handler on its thread. */
struct gn_guard {
    lua_State *running; /* the innermost Lua thread of the call; NULL in between */
    lua_State *armed;   /* which has our hook; NULL: none */
    struct {
        lua_Hook fn;
        int mask, count;
    } theirs;         /* the hook that it had before */
    unsigned turn;    /* of the loop in which the hook was last asked for */
    unsigned held;    /* ticks of that turn */
    unsigned late;    /* of them, since it was asked for and did not run */
    unsigned ticks;   /* that the call has used, as far as they count */
    unsigned most;    /* that it may use, see below; 0: no limit */
    unsigned waits;   /* of its fiber, at the last tick */
    unsigned held_on; /* nested genet.uninterrupted() */
    bool wanted;      /* the hook is asked for */
    bool busy;        /* the handler must leave the hooks alone */
    bool hog;         /* it was preempted and has not waited since */
    bool told;        /* that it is cancelled */
    bool ended;       /* it has been told that it is over its limit: it may use a
                         little more to clean up in */
    bool killed;      /* that is over too: nothing but errors from now on */
};

/* What all calls of a state share. */
struct gn_guard_state {
    struct gn_limits limits;
    unsigned slice, cpu, grace; /* the same in ticks, and what is left to clean up in */
    int64_t tick;               /* ns; 0: there are none */
    size_t
        allowhook; /* where in a lua_State it says whether hooks may run; 0: unknown */
    unsigned char sample[16]; /* of the beginning of one */
    struct {
        uint64_t place; /* hash of a source and line */
        int64_t until;  /* it is not logged again */
    } logged[64];
};

/* Starts the ticks of the calling thread's scheduler, told to the calls that run on its
 * fibers. Returns 0 or a negative errno, where this system has no such timers. */
int gn_guard_start(const struct gn_limits *);

/* For vm.c: what a new state needs. Returns 0 or -1 when out of memory. */
int gn_guard_open(struct gn_vm *);

/* Limits the calls of a state that begin from now on. */
void gn_guard_limit(struct gn_vm *, const struct gn_limits *);

/* Whether the running call was ended, or is about to be, for its use of the processor.
 */
bool gn_guard_ended(void);

/* For vm.c: a call begins on its fiber. */
void gn_guard_begin(struct gn_call *);

/* For vm.c: lua_resume() of a call's own Lua thread. */
int gn_guard_resume(struct gn_call *, int args, int *results);

/* For vm.c: the function of a call has ended; what the host does about that is not
 * measured against what the call has used. */
void gn_guard_rest(struct gn_call *);

#endif
