/* The parent of several processes, as the server sees it: it opens the listeners and
 * the control socket, and has the supervisor do the rest. No request comes here. */
#ifndef GN_PARENT_H
#define GN_PARENT_H

#include "../http/acceptor.h"
#include "../processes/supervisor.h"
#include "control.h"

struct gn_parent {
    struct gn_supervisor supervisor;
    struct gn_acceptor *acceptor; /* borrowed; never started */
    struct gn_listening listening[GN_LISTENERS];
    struct gn_control control;
    const char *urls; /* borrowed */
};

/* Starts the processes for an acceptor that has been opened, and the control socket at
 * `control`, or NULL; `o` need not tell of these. Returns 0, or -1 with the reason in
 * `error`. May wait. */
int gn_parent_open(struct gn_parent *, struct gn_acceptor *, const char *urls,
                   const struct gn_supervisor_options *o, const char *control,
                   char *error, size_t room);

/* Ends all in order. Returns how many processes did not end well. May wait. */
unsigned gn_parent_close(struct gn_parent *);

#endif
