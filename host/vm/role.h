/* Which of several Lua states that serve the same scripts one is. */
#ifndef GN_ROLE_H
#define GN_ROLE_H

enum gn_mode { GN_MODE_SINGLE, GN_MODE_THREADED, GN_MODE_PROCESSES };

/* What genet.worker() tells. Whoever fills it in may change `count` later, on the
 * thread of the state. */
struct gn_role {
    enum gn_mode mode;
    unsigned index; /* from 0; number 0 does what is to be done once */
    unsigned count; /* of them; 1 in GN_MODE_SINGLE */
};

#endif
