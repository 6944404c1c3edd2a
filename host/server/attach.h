/* Consoles in a running host: `genet attach`.
 *
 * A client of the control socket that says "attach N", N the number of a worker from 0
 * on, or "attach", gets "ok", and both sides speak frames from then on: a line "KIND
 * LENGTH", and so many bytes. Where workers are processes, the parent says "moved" and
 * a line with the path of the worker's own socket. A console is served on the thread of
 * its worker.
 *
 *     client:  run         a command, or Lua code
 *              interrupt   ends what runs
 *     host:    out, err    some of what that prints
 *              done        "ok", "failed", or "more": the code is not complete
 *
 * One command runs at a time. When the client goes, what it has started is cancelled.
 */
#ifndef GN_ATTACH_H
#define GN_ATTACH_H

#include "control.h"

/* Serves a console of a worker, by its number or "", on an accepted socket until either
 * side ends it. May wait. */
void gn_attach_serve(struct gn_control *, int fd, const char *worker);

/* Ends all consoles. */
void gn_attach_end(struct gn_control *);

/* What a client needs. */
struct gn_attach_options {
    const char *target; /* the path of a socket or a PID; NULL: the only host */
    const char *worker; /* a number; "": whichever answers */
    char **commands;    /* to be run instead of reading some, ended by NULL; or NULL */
    /* Reads a line after a prompt; returns owned, NULL at the end. */
    char *(*read)(void *arg, const char *prompt);
    void *arg;
};

/* The client: runs commands on a host and prints what they print. Ctrl-C interrupts
 * what runs. Returns the exit status. */
int gn_attach(const struct gn_attach_options *);

#endif
