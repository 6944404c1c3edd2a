/* The Lua module `genet.subprocess`: what lua/genet/process.lua is made of. A child,
 * and Lua file handles on our ends of its pipes. */
#ifndef GN_SUBPROCESS_H
#define GN_SUBPROCESS_H

#include <lua.h>

int luaopen_genet_subprocess(lua_State *);

#endif
