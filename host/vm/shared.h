/* Dictionaries for all threads, processes and generations of a host, in Lua: the module
 * `genet.shared_store`, of which lua/genet/shared.lua is the face. */
#ifndef GN_VM_SHARED_H
#define GN_VM_SHARED_H

#include "../shared/store.h"

#include <limits.h>
#include <lua.h>
#include <pthread.h>

enum { GN_SHARED_MEMORY = 64 << 20 }; /* bytes, unless told otherwise */

/* The store of a host, opened when it is first asked for. */
struct gn_shared {
    const char *state; /* a directory on disk; NULL: in memory; borrowed */
    const char
        *private;   /* a private one that another process has made; borrowed; NULL */
    uint64_t limit; /* bytes */
    pthread_mutex_t lock; /* protects what follows */
    struct gn_store *store;
    char *made; /* a private directory of our own */
    int alive;  /* and what holds it alive */
};

void gn_shared_init(struct gn_shared *, const char *state, uint64_t limit);

/* Opens the store. Any thread. Returns 0, or a negative errno and a line in `error`. */
int gn_shared_open(struct gn_shared *, char *error, size_t room);

/* Makes the private directory, for child processes that are to set `private` to its
 * path; the store need not be opened here. Returns the path, borrowed, or NULL and a
 * line in `error`. */
const char *gn_shared_place(struct gn_shared *, char *error, size_t room);

/* Closes it, and removes what was private. No Lua state may use it any more. */
void gn_shared_close(struct gn_shared *);

/* Makes the module known to a state. May raise. */
void gn_shared_register(lua_State *, struct gn_shared *);

/* Where there is none: asking for a dictionary raises. */
int luaopen_genet_shared_store(lua_State *);

#endif
