/* The Lua module `genet.generations`: what a script, and the framework, may ask of the
 * host that reloads it. */
#ifndef GN_RELOAD_H
#define GN_RELOAD_H

#include "generations.h"

/* Makes the module known to require() in a state; with NULL nothing is served there.
 * May raise. */
void gn_generations_register(lua_State *, struct gn_generations *);

#endif
