/* What a store on disk keeps against a power cut: a copy of the database, made every
 * ten seconds while there are changes, or less often where a copy takes longer than a
 * second.
 *
 * The database itself is written without waiting for the disk, in whatever order the
 * kernel likes, so after a power cut it cannot be trusted. The file `boot` says in
 * which boot of the machine it was last opened, or that it was closed well and is all
 * on the disk. Where that is another boot the copy takes its place. So what is lost
 * with the power is what was written since the last copy began; and it is always a
 * state that there was. Waiting for the disk at each change (fdatasync(2)) costs 200
 * times as much as the change, and all writers wait for it. */
#ifndef GN_CHECKPOINT_H
#define GN_CHECKPOINT_H

#include "home.h"
#include "store.h"

enum gn_past { GN_PAST_CLEAN, GN_PAST_SAME_BOOT, GN_PAST_RESTORED, GN_PAST_SET_ASIDE };

/* For the first that opens a place, before the database is opened: puts the copy in its
 * place when it cannot be trusted; where there is no copy the database is renamed to
 * `data.mdb.old`. Notes the present boot. Returns an enum gn_past or a negative errno.
 */
int gn_checkpoint_restore(const struct gn_home *);

/* Notes that the database is closed and on the disk. */
void gn_checkpoint_clean(const struct gn_home *);

/* Makes a copy now, by the calling thread. Returns 0 or a negative errno. */
int gn_checkpoint_make(struct gn_store *, bool compact);

struct gn_keeper;

/* Notes a change of the database; the first one in a process starts the thread that
 * makes copies. Any thread. */
void gn_keeper_note(struct gn_store *);

/* Ends the thread. NULL is allowed. */
void gn_keeper_free(struct gn_keeper *);

#endif
