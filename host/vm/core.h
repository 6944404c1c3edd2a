/* The Lua module `genet.core`: what the framework in lua/ needs of the host. */
#ifndef GN_CORE_H
#define GN_CORE_H

#include <lua.h>

int luaopen_genet_core(lua_State *L);

#endif
