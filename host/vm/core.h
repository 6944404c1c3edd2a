/* The Lua module `genet.core`: what the framework in lua/ needs of the host. */
#ifndef GN_CORE_H
#define GN_CORE_H

#include <lua.h>
#include <stdint.h>

/* The deadline for the number of seconds given as an argument. */
int64_t gn_check_deadline(lua_State *, int arg);

int luaopen_genet_core(lua_State *L);

#endif
