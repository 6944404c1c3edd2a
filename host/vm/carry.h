/* Lua functions on their way from one state to another of the same process.
 *
 * What a loaded module has, a function or the module itself, goes by its name and is
 * required on the other side. Any other Lua function goes as its code and a copy of
 * each of its upvalues, which must be plain data (see copy.h), of a module, or
 * functions that can be carried themselves. Globals are those of the other state. */
#ifndef GN_CARRY_H
#define GN_CARRY_H

#include "copy.h"

enum { GN_CARRY_FUNCTIONS = 64 }; /* that one function may refer to, with itself */

/* Appends the function at a stack index. Raises a Lua error that names what cannot be
 * carried, or when memory is short. */
void gn_carry(lua_State *, struct gn_packer *, int index);

/* Appends a module by name, or its function `name` unless that is NULL. Raises a Lua
 * error when memory is short. */
void gn_carry_name(lua_State *, struct gn_packer *, const char *module,
                   const char *name);

/* Appends the value at a stack index, as gn_pack(). Raises a Lua error that names what
 * cannot be carried, or when memory is short. `what` says what it is. */
void gn_carry_data(lua_State *, struct gn_packer *, int index, const char *what);

/* Pushes what gn_carry() or gn_carry_name() has appended; may run modules. Raises a Lua
 * error when a module cannot be had, memory is short, or the bytes are damaged. */
void gn_uncarry(lua_State *, struct gn_unpacker *);

#endif
