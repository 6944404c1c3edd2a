/* A Lua state, and how C code runs Lua on fibers.
 *
 * Each call into Lua runs on a Lua thread of its own, which rides on the calling fiber.
 * It is resumed, not called, so that coroutine.yield() at its top level lets other
 * fibers run; a C function that waits parks the fiber and needs no continuation. The
 * main Lua thread never runs code that may wait. */
#ifndef GN_VM_H
#define GN_VM_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

struct gn_lua; /* one Lua thread, reused by one call after another */

struct gn_vm {
    lua_State *L;        /* the main Lua thread */
    struct gn_lua *idle; /* Lua threads to reuse, warmest first */
    unsigned idle_count;
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

/* Pushes the function `name` of a Lua module, which it requires first. May raise. */
void gn_vm_push_function(lua_State *, const char *module, const char *name);

#endif
