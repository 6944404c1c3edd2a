/* Exchanges: the requests in progress on one Lua state, as numbers that Lua may keep.
 *
 * A number is like a file descriptor, but never given twice: used after its request has
 * ended, by a script that kept it, it raises an error. Making one allocates nothing.
 * The Lua module `genet.exchange` has the operations. */
#ifndef GN_EXCHANGE_H
#define GN_EXCHANGE_H

#include "../http/request.h"

#include <lua.h>
#include <stdint.h>

struct gn_exchange_slot {
    struct gn_request *request; /* NULL while free */
    uint64_t serial;            /* of the latest exchange here */
    int endings; /* in the registry: a list of functions, see gn_exchange_endings() */
    uint32_t next_free;
};

struct gn_exchanges {
    struct gn_exchange_slot *slots;
    uint32_t count, room, first_free;
};

void gn_exchanges_init(struct gn_exchanges *);
void gn_exchanges_term(struct gn_exchanges *);

/* Gives a request a number; borrows it until gn_exchange_end(). Returns it (positive)
 * or -ENOMEM. */
lua_Integer gn_exchange_begin(struct gn_exchanges *, struct gn_request *);

/* Pushes what `exchange.on_end` was given, a list of functions, and forgets it. Returns
 * false, and pushes nothing, when that is none. */
bool gn_exchange_endings(struct gn_exchanges *, lua_Integer, lua_State *);

/* Whether there are any. */
bool gn_exchange_has_endings(const struct gn_exchanges *, lua_Integer);

/* From now on using the number raises "the request has ended". */
void gn_exchange_end(struct gn_exchanges *, lua_Integer);

/* The request of a number; NULL when it has ended, or there never was one. */
struct gn_request *gn_exchange_find(const struct gn_exchanges *, lua_Integer);

/* Makes `genet.exchange` known to require() in a state, which borrows the exchanges.
 * May raise. */
void gn_exchanges_register(lua_State *, struct gn_exchanges *);

#endif
