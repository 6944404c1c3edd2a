/* The Lua module `genet.pool`: calls of Lua functions on pool threads, each in a state
 * of its own that has nothing in common with the caller's.
 *
 * The states that have done their work are kept for the next call of the same caller's
 * state and closed with it. A call that is left behind is stopped: a signal, SIGRTMIN +
 * 1, has its thread set a hook that raises an error in whatever Lua code runs there,
 * and that state is closed. */
#ifndef GN_VM_OFFLOAD_H
#define GN_VM_OFFLOAD_H

#include <lua.h>

int luaopen_genet_pool(lua_State *L);

#endif
