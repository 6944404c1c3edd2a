/* Looking at calls into Lua that run or wait: what `genet attach` lists. Never waits,
 * runs no Lua code, and leaves the calls as they are. */
#ifndef GN_INSPECT_H
#define GN_INSPECT_H

#include "vm.h"

#include <stdio.h>

/* The first call of a state whose id is above `id`; NULL when there is none. To go
 * through all of them while they come and go. */
struct gn_call *gn_inspect_next(const struct gn_vm *, unsigned long id);

/* The call of this id; NULL when it has ended. */
struct gn_call *gn_inspect_find(const struct gn_vm *, unsigned long id);

/* Writes a line that says what a call is and does, and one for each function of the
 * script that it is in, the innermost first. */
void gn_inspect_brief(const struct gn_call *, FILE *);

/* The same with every function, and the local variables of each. */
void gn_inspect_full(const struct gn_call *, FILE *);

#endif
