/* The app: the Lua scripts, loaded, and the way of a request into them and back. */
#ifndef GN_APP_H
#define GN_APP_H

#include "../vm/vm.h"
#include "exchange.h"
#include "sockets.h"

enum { GN_ABORT_SECONDS = 2 }; /* in which what has been cancelled must clean up */

struct gn_app {
    struct gn_vm vm;
    struct gn_exchanges exchanges;
    struct gn_sockets sockets;
    int app, dispatch, failed; /* in the registry: the object, and two of its methods */
    char error[512];           /* why the scripts could not be loaded */
};

/* Loads a script or a directory into a new state, which borrows the hub. On a fiber;
 * may wait, as scripts may. Returns 0, or -1 with the reason, which names file and
 * line, in a->error. */
int gn_app_open(struct gn_app *, const char *path, struct gn_hub *);

/* Lets the tasks of the app go on until the deadline, then cancels them, its timers and
 * what it runs in the background. Returns how many of them do not end. May wait. */
unsigned gn_app_drain(struct gn_app *, int64_t deadline);

/* Closes its state, after cancelling what still runs on it. May wait. */
void gn_app_close(struct gn_app *);

/* Answers a request, whatever the script does: an error becomes a traceback in the log
 * and a 500. */
void gn_app_handle(struct gn_app *, struct gn_request *);

#endif
