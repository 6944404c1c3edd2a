/* The Lua module `genet.tasks`: what lua/genet/task.lua and its kin are made of. Calls
 * on fibers of their own, lists of those who wait, and scopes. Policy is theirs. */
#ifndef GN_TASKS_H
#define GN_TASKS_H

#include "vm.h"

int luaopen_genet_tasks(lua_State *L);

/* The handle of a call that has ended says so from now on. */
void gn_tasks_forget(struct gn_call *);

#endif
