/* The Lua module `genet.zlib`: gzip by zlib, long texts on a thread of the offload
 * pool. */
#ifndef GN_VM_GZIP_H
#define GN_VM_GZIP_H

#include <lua.h>

int luaopen_genet_zlib(lua_State *);

#endif
