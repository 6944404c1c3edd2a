/* The follower: a host that is one of several processes does what its parent says.
 *
 * It loads when it is told to, answers how that went, and lets the new generation serve
 * only when all of them can; what asks it for a reload, it passes on. */
#ifndef GN_FOLLOWER_H
#define GN_FOLLOWER_H

#include "../processes/worker.h"
#include "../site/generations.h"

struct gn_follower {
    struct gn_worker *worker; /* borrowed */
    struct gn_generations *generations;
    struct gn_generations_peers peers; /* for the generations' options */
    struct gn_role role;               /* the same */
    struct gn_order order;             /* the latest to load; turn 0: none has come */
    enum { GN_UNDECIDED, GN_COMMITTED, GN_ABORTED } verdict; /* on that */
    char *why;               /* it was aborted; owned; or NULL */
    bool serves, stopped;    /* it may take connections; it is to end */
    struct gn_fiber *waiter; /* for a change of these; or NULL */
    void (*on_load)(void *); /* something else is to be read again as well */
    void (*on_stop)(void *);
    void *arg; /* of these two; neither may wait */
};

/* Fills it in and listens to the parent. `on_load`, `on_stop` and `arg` are the
 * caller's to set before it waits. Returns 0 or a negative errno. */
int gn_follower_open(struct gn_follower *, struct gn_worker *, struct gn_generations *);

/* Tells the parent that the first generation has loaded, and waits until it may serve.
 * Returns 0, or -ECANCELED when it is to end instead. May wait. */
int gn_follower_await(struct gn_follower *);

/* Tells the parent why this process cannot begin to serve. */
void gn_follower_fail(struct gn_follower *, const char *why);

void gn_follower_close(struct gn_follower *);

#endif
