/* The exchange: a request and its answer as a Lua object, for the framework. */
#ifndef GN_EXCHANGE_H
#define GN_EXCHANGE_H

#include "request.h"

#include <lua.h>

struct gn_exchange {
    struct gn_request *request; /* NULL once the request has ended: every method raises then */
};

/* Pushes an exchange. Whoever ends the request must set `request` to NULL, since Lua may keep the
 * object. May raise for lack of memory. */
struct gn_exchange *gn_exchange_push(lua_State *, struct gn_request *);

/* Makes the class; once for each state. May raise. */
void gn_exchange_open(lua_State *);

#endif
