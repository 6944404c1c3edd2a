/* What a prompt needs: to wait for keys and for Ctrl-C while others run. One per
 * process. */
#ifndef GN_CONSOLE_H
#define GN_CONSOLE_H

#include <lua.h>

/* Opens the module `genet.console`. */
int luaopen_genet_console(lua_State *);

#endif
