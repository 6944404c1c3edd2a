/* The Lua module `genet.core`: what the framework in lua/ needs of the host. */
#ifndef GN_CORE_H
#define GN_CORE_H

#include <lua.h>
#include <stdint.h>

/* The deadline for the number of seconds given as an argument. */
int64_t gn_check_deadline(lua_State *, int arg);

/* core.temporary_file(directory) -> file, path of it for other processes | nil, error,
 * errno. The file has no name: it goes when it is closed, or the process ends. */
int gn_core_temporary_file(lua_State *);

/* The same, or GN_NEVER when the argument is left out or nil. */
int64_t gn_opt_deadline(lua_State *, int arg);

/* Makes this what core.secret() gives, for a process that is one of several: 32 bytes,
 * copied. Call it before there is a state. */
void gn_core_set_secret(const unsigned char *secret);

int luaopen_genet_core(lua_State *L);

#endif
