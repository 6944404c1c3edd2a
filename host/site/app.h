/* An app: the Lua scripts as they were loaded once, and the way of a request into them
 * and back. */
#ifndef GN_APP_H
#define GN_APP_H

#include "../vm/vm.h"
#include "exchange.h"
#include "sockets.h"
#include "sources.h"

enum { GN_ABORT_SECONDS = 2 }; /* in which what has been cancelled must clean up */

struct gn_app_options {
    const char *path;           /* a script, or a directory of them */
    char **config;              /* "NAME=VALUE", ended by NULL; NULL: none */
    unsigned number;            /* of this generation */
    const struct gn_role *role; /* which of several states it is; borrowed; or NULL */
    int64_t load_timeout;       /* ns */
    struct gn_hub *hub;         /* of the host's WebSockets; borrowed */
    struct gn_sources *sources; /* where texts are kept, and taken from if they are
                                   there; borrowed; NULL: only the files count */
    bool patch;                 /* io and os wait cooperatively */
    struct gn_limits limits;    /* of each call into the app */
    void (*prepare)(lua_State *, void *arg); /* makes the modules of who loads known to
                                                the state; may raise */
    void *arg;
};

struct gn_app {
    struct gn_vm vm;
    struct gn_exchanges exchanges;
    struct gn_sockets sockets;
    struct gn_sources *sources; /* a reference, or NULL */
    int app, dispatch, failed; /* in the registry: the object, and two of its methods */
    int64_t born;              /* when it had loaded */
    uint64_t requests;         /* that it was given */
};

/* Loads a script or a directory into a new state. On a fiber; may wait, as scripts may.
 * Returns owned; NULL with the reason, which names file and line, in *error: owned too,
 * or NULL when out of memory. */
struct gn_app *gn_app_load(const struct gn_app_options *, char **error);

/* Has the app hand what app:persist() gave it to the generations. May wait. */
void gn_app_keep(struct gn_app *);

/* Tells the app that it is to end: its timers stop, what was given to app:on_unload()
 * is called. May wait. */
void gn_app_retire(struct gn_app *);

/* Lets what runs go on until the deadline, then cancels it and what runs in the
 * background. Returns how many calls do not end. May wait. */
unsigned gn_app_drain(struct gn_app *, int64_t deadline);

/* Closes its state, on which nothing runs any more. NULL is allowed. */
void gn_app_free(struct gn_app *);

/* Cancels what runs on it, waits until all of it has ended, and frees it. May wait. */
void gn_app_end(struct gn_app *);

/* Lua code that somebody types, for gn_app_eval(). */
struct gn_eval {
    const char *text;
    void (*write)(void *arg, const char *, size_t); /* what it prints; may wait */
    void *arg;
    enum { GN_EVAL_OK, GN_EVAL_FAILED, GN_EVAL_MORE } outcome;
    int box; /* private */
};

/* Runs it, as a call of the host's; sets the outcome, GN_EVAL_MORE when the code is not
 * complete. May wait. */
void gn_app_eval(struct gn_app *, struct gn_eval *);

/* Answers a request, whatever the script does: an error becomes a traceback in the log
 * and a 500. A WebSocket that is to have another handler is left open: r->ws. */
void gn_app_handle(struct gn_app *, struct gn_request *);

#endif
