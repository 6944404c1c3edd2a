/* `genet run FILE`: a plain Lua script under the scheduler. */
#ifndef GN_SCRIPT_H
#define GN_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

struct gn_limits;

/* Runs a script with `args` (argv-like, ended by NULL) as its arguments and in the
 * global `arg`, until it and everything it started has ended. The limits are those of
 * each call into it; with `patch`, io and os wait cooperatively; `state` (or NULL) and
 * `shared_memory` are for genet.shared. Returns 0, or 1 when
 * it failed; the error is on stderr. */
int gn_script_run(const char *file, char *const *args, const struct gn_limits *,
                  bool patch, const char *state, size_t shared_memory);

#endif
