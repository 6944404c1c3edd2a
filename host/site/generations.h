/* The generations of an app: the scripts as they were loaded for the first, second,
 * third time. One serves new requests; one more may still be ending what it had begun.
 *
 * A load builds a Lua state aside, on a fiber of its own, while the current generation
 * serves on. Only when all of it has succeeded is one pointer swapped. What fails
 * changes nothing. Everything is called on the scheduler's own thread, except where
 * said. */
#ifndef GN_GENERATIONS_H
#define GN_GENERATIONS_H

#include "../processes/worker.h"
#include "app.h"

struct gn_generations;
struct gn_shared;
struct gn_telemetry;
struct gn_watcher;

/* Where the generations of several hosts change together: what those of one ask and
 * tell. */
struct gn_generations_peers {
    /* A reload has been wished for, so often by now: gn_generations_load() is to be
     * called. Must not wait. */
    void (*want)(unsigned wish, void *arg);
    /* A load that was ordered is over; `error` says why it has failed, or is NULL.
     * Returns 0 when it shall serve, else a negative errno, with the reason in *why,
     * owned. May wait. */
    int (*agree)(unsigned turn, const char *error, char **why, void *arg);
    /* It serves. Must not wait. */
    void (*swapped)(unsigned turn, void *arg);
    void *arg;
};

struct gn_generations_options {
    /* Makes the module of reload.h known to a new state */
    void (*prepare)(lua_State *, struct gn_generations *);
    struct gn_shared *shared; /* for genet.shared; borrowed */
    struct gn_hub *hub;       /* of the host's WebSockets; borrowed */
    const char *path;         /* a script, or a directory of them; borrowed */
    char **config;            /* "NAME=VALUE" for the app, ended by NULL; borrowed */
    int64_t drain;            /* ns that a generation may take to end */
    int64_t load_timeout;     /* ns that loading may take */
    bool patch;               /* io and os wait cooperatively */
    struct gn_limits limits;  /* of each call into the app */
    struct gn_telemetry *telemetry; /* for app:metrics(); borrowed */
    bool record;                    /* the sources are kept for other threads */
    bool debug; /* for who writes scripts: errors and changes show in pages */
    /* Called before the scripts are loaded again, and, with `done`, after it; may wait;
     * NULL */
    void (*on_load)(struct gn_generations *, bool done);
    struct gn_watcher *watcher; /* is told what has been loaded; borrowed; or NULL */
    /* Called once another generation serves; may wait; NULL: nobody wants to know */
    void (*swapped)(struct gn_generations *, void *arg);
    void *arg;
    struct gn_generations *leader; /* on another thread, whose generations these follow;
                                      NULL: they follow nobody's */
    const struct gn_role *role; /* which of several states it has; borrowed; or NULL */
    unsigned first;             /* the number of the first; 0: 1 */
    const struct gn_generations_peers *peers; /* borrowed; NULL: it changes alone */
    _Atomic uint64_t *requests;               /* counts them; borrowed; or NULL */
};

struct gn_kept; /* what app:persist() hands to the next generation, by name */

struct gn_generations {
    struct gn_sched *sched;
    struct gn_generations_options options;
    struct gn_app *current;  /* serves new requests; NULL until the first has loaded */
    struct gn_app *retiring; /* ends what it has begun; NULL when none does */
    unsigned last;           /* the number of the latest that has loaded */
    struct gn_order order;   /* what is to be loaded next; turn 0: nothing */
    /* Of the next to be loaded, where these follow a leader: */
    unsigned next;              /* its number; 0: one more than the last */
    struct gn_sources *sources; /* what it is loaded from; borrowed; NULL: the files */
    struct gn_fiber *loader;    /* loads at present, or NULL */
    unsigned asked, answered;   /* for how many reloads; how many of them are over */
    unsigned loaded, failed;    /* how many loads, after the first */
    char *error;                /* why the latest load failed; NULL when it did not */
    struct gn_list waiters;     /* for a change of any of these */
    struct gn_kept *kept;
};

void gn_generations_init(struct gn_generations *, struct gn_sched *,
                         const struct gn_generations_options *);

/* Loads the first. Returns 0, or -1 with the reason in `error`. May wait. */
int gn_generations_open(struct gn_generations *);

/* Lets what is loaded end until the deadline, then cancels it. Returns how many calls
 * into Lua do not end. May wait. */
unsigned gn_generations_drain(struct gn_generations *, int64_t deadline);

/* Closes what has ended. */
void gn_generations_close(struct gn_generations *);

/* Answers a request with the current generation. */
void gn_generations_handle(struct gn_generations *, struct gn_request *);

/* Asks for the scripts to be loaded again, from their present state. Returns a ticket
 * for gn_generations_await(); does not wait. */
unsigned gn_generations_reload(struct gn_generations *);

/* Loads the scripts as the generation of this number, from these sources. Returns as
 * gn_generations_await(). May wait. */
int gn_generations_follow(struct gn_generations *, unsigned number,
                          struct gn_sources *);
/* Where there are peers: loads what is ordered. Does not wait. Returns 0 or -ENOMEM. */
int gn_generations_load(struct gn_generations *, const struct gn_order *);

/* Waits for the outcome of a reload, but no longer than until `caller` is retired: then
 * it would wait for its own end. NULL: nobody's. Returns the number of the generation
 * that serves since, -EBADMSG when the load has failed (see `error`), or another
 * negative errno. May wait.
 */
int gn_generations_await(struct gn_generations *, unsigned ticket,
                         const struct gn_vm *caller);

/* Waits until something changes: a load has ended, a generation has. Returns 0, or a
 * negative errno. May wait. */
int gn_generations_wait(struct gn_generations *, int64_t deadline);

/* Keeps bytes of gn_pack() under a name, instead of what was there. Takes them, from
 * malloc(). Returns 0 or -ENOMEM. */
int gn_generations_keep(struct gn_generations *, const char *name, char *data,
                        size_t n);

/* What is kept under a name, borrowed; NULL when nothing is. */
const char *gn_generations_kept(const struct gn_generations *, const char *name,
                                size_t *n);

#endif
