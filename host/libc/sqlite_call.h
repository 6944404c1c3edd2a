/* Calls on an SQLite connection, run by a pool thread while the fiber waits.
 *
 * A connection stands in a table from when it was opened until it is closed; one that
 * does not is never used from another thread. Its gate lets one fiber at a time have a
 * call offloaded, so that those who share a connection queue up as fibers and not as
 * pool threads.
 *
 * No pool thread sleeps for a lock of a database file: all of them might, and the call
 * that would release the lock find none. Where SQLite would sleep (busy_timeout), the
 * call says SQLITE_BUSY and the fiber sleeps as long and repeats it. SQLite asks before
 * it sleeps, and does not ask where waiting cannot help (a reader that wants to write
 * while another writer waits for it, a snapshot that is too old), so those errors come
 * at once, as ever. What is asked for, and why repeating equals sleeping there:
 *  - to begin a transaction: nothing is done yet; the statement stays where it was and
 *    goes on from there;
 *  - to end an explicit one (COMMIT, RELEASE): SQLite keeps the transaction, and the
 *    claim that holds off further readers, and goes on from there too;
 *  - to end a statement that is its own transaction, or a checkpoint: repeating would
 *    do the work again. These sleep on the pool thread. Of the former there is at most
 *    one for each file; and no more than half of the pool's threads sleep so. The rest
 *    is rolled back by SQLite and done again, or fails with SQLITE_BUSY. */
#ifndef GN_SQLITE_CALL_H
#define GN_SQLITE_CALL_H

#include "../sched/offload.h"
#include "sqlite_real.h"

#include <stdatomic.h>

struct gn_sqlite_connection;

/* One call; its caller embeds it among the arguments. */
struct gn_sqlite_call {
    struct gn_job job; /* private */
    const struct gn_sqlite *real;
    struct gn_sqlite_connection *connection; /* entered; NULL for opening one */
    void (*make)(struct gn_sqlite_call *);   /* makes the real call, sets `result` */
    int result;
    int64_t took;    /* nanoseconds of the real call */
    bool repeatable; /* may be made again after SQLITE_BUSY to begin a transaction */
    bool restarts;   /* and after it was rolled back */
    bool cancels;    /* a cancellation point, by sqlite3_interrupt() */
    bool closes;     /* the connection may be gone when it comes back */
    int timeout;     /* private from here on: of the connection, in milliseconds */
    int pauses;      /* times that the fiber slept for a lock */
    bool explicit;   /* began inside an explicit transaction */
    bool refused;    /* SQLite would have slept for a lock */
    atomic_bool stop;
};

/* Notes a connection that has just been opened. Without memory it stays unknown. */
void gn_sqlite_connection_add(const struct gn_sqlite *, struct sqlite3 *);

/* Takes a connection out of the table before it is closed, since its address may then
 * be another's at once; and tells what became of it. Returns NULL for an unknown one,
 * which the latter ignores. */
struct gn_sqlite_connection *gn_sqlite_connection_take(struct sqlite3 *);
void gn_sqlite_connection_taken(struct gn_sqlite_connection *, bool closed);

/* Lets the running fiber have calls offloaded on the connection, one fiber at a time.
 * May wait; no cancellation point. Returns NULL where calls must be plain: unknown, or
 * bound to its thread. */
struct gn_sqlite_connection *gn_sqlite_enter(const struct gn_sqlite *,
                                             struct sqlite3 *);
void gn_sqlite_leave(struct gn_sqlite_connection *);

/* Keeps a connection on its thread: for ever, or until released. NULL does nothing. */
void gn_sqlite_bind(struct gn_sqlite_connection *);
void gn_sqlite_release(struct gn_sqlite_connection *);

/* The same for ever, from where gn_sqlite_enter() is of no use. Any thread. */
void gn_sqlite_bind_unentered(struct sqlite3 *);

/* Notes the busy time-out of a connection. Any thread. */
void gn_sqlite_set_timeout(struct sqlite3 *, int ms);

/* Has the call made by a pool thread, as often as needed; by this one when no other can
 * be had. May wait. Returns its result, or, if it is a cancellation point, the cause
 * when the fiber was cancelled before it ran. */
int gn_sqlite_offload(struct gn_sqlite_call *);

#endif
