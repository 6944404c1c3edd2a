/* The Lua module `genet.sockets`: WebSockets and topics, for lua/genet/websocket.lua.
 *
 * A socket has the number of its exchange. One that has ended is "closed", whoever kept
 * the number. */
#ifndef GN_SOCKETS_H
#define GN_SOCKETS_H

#include "../http/websocket.h"
#include "exchange.h"

/* What the module's functions work on. */
struct gn_sockets {
    struct gn_exchanges *exchanges;
    struct gn_hub *hub;
};

/* Makes the module known to require() in a state, which borrows both. May raise. */
void gn_sockets_register(lua_State *, const struct gn_sockets *);

#endif
