/* `genet run FILE`: a plain Lua script under the scheduler. */
#ifndef GN_SCRIPT_H
#define GN_SCRIPT_H

#include <stdbool.h>

/* Runs a script with `args` (argv-like, ended by NULL) as its arguments and in the
 * global `arg`, until it and everything it started has ended; with `patch`, io and os
 * wait cooperatively. Returns 0, or 1 when it failed; the error is on stderr. */
int gn_script_run(const char *file, char *const *args, bool patch);

#endif
