/* Lua that runs under the scheduler without a server: `genet run FILE`, and the verbs
 * that lua/genet/manager.lua knows. */
#ifndef GN_SCRIPT_H
#define GN_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

struct gn_limits;

struct gn_script_options {
    const struct gn_limits *limits; /* of each call into it */
    bool patch;                     /* io and os wait cooperatively */
    const char *state;              /* a directory for genet.shared; NULL: in memory */
    size_t shared_memory;           /* bytes of that */
};

/* Runs a script with `args` (argv-like, ended by NULL) as its arguments and in the
 * global `arg`, until it and everything it started has ended. Returns 0, or 1 when it
 * failed; the error is on stderr. When the script wants to be served, by app:run(),
 * what it has started is cancelled at its end, and *server is the command line for
 * that: {"genet", "runserver", file, options ..., NULL}, owned with its strings. */
int gn_script_run(const char *file, char *const *args, const struct gn_script_options *,
                  char ***server);

/* Runs a verb that is written in Lua, the first of `args`, until it has ended, and the
 * tasks it started too if it is one of the site's. Returns the exit status. */
int gn_script_manage(char *const *args, const struct gn_script_options *);

#endif
