/* The real SQLite behind the entry points that this layer defines, whoever loaded it.
 *
 * A module brings its own SQLite: Debian's library among its dependencies, or a copy
 * compiled into it. So the caller's return address decides which one is meant. A call
 * that comes out of SQLite itself is `inside`: its connection is locked, and it must be
 * the plain call. Needs neither SQLite's headers nor the library. Any thread. */
#ifndef GN_SQLITE_REAL_H
#define GN_SQLITE_REAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sqlite3;
struct sqlite3_stmt;
struct sqlite3_mutex;

typedef void gn_sqlite_callback(void); /* of whatever type */
typedef int gn_sqlite_row(void *, int, char **, char **);

enum {
    GN_SQLITE_OK = 0,
    GN_SQLITE_BUSY = 5,
    GN_SQLITE_NOMEM = 7,
    GN_SQLITE_INTERRUPT = 9,
    GN_SQLITE_ROW = 100
};

/* GN_SQLITE_NAMES(X) calls X(return type, name, parameters, what it does on a fiber).
 */
#define GN_SQLITE_NAMES(X)                                                            \
    X(int, sqlite3_open, (const char *, struct sqlite3 **), "offloaded")              \
    X(int, sqlite3_open_v2, (const char *, struct sqlite3 **, int, const char *),     \
      "offloaded")                                                                    \
    X(int, sqlite3_close, (struct sqlite3 *), "offloaded")                            \
    X(int, sqlite3_close_v2, (struct sqlite3 *), "offloaded")                         \
    X(int, sqlite3_prepare,                                                           \
      (struct sqlite3 *, const char *, int, struct sqlite3_stmt **, const char **),   \
      "offloaded until quick")                                                        \
    X(int, sqlite3_prepare_v2,                                                        \
      (struct sqlite3 *, const char *, int, struct sqlite3_stmt **, const char **),   \
      "offloaded until quick")                                                        \
    X(int, sqlite3_prepare_v3,                                                        \
      (struct sqlite3 *, const char *, int, unsigned, struct sqlite3_stmt **,         \
       const char **),                                                                \
      "offloaded until quick")                                                        \
    X(int, sqlite3_step, (struct sqlite3_stmt *), "offloaded; plain for quick rows")  \
    X(int, sqlite3_exec,                                                              \
      (struct sqlite3 *, const char *, gn_sqlite_row *, void *, char **),             \
      "offloaded; plain with a callback")                                             \
    X(int, sqlite3_reset, (struct sqlite3_stmt *), "offloaded where it may write")    \
    X(int, sqlite3_finalize, (struct sqlite3_stmt *), "offloaded where it may write") \
    X(int, sqlite3_busy_timeout, (struct sqlite3 *, int), "makes such waits park")    \
    X(int, sqlite3_auto_extension, (gn_sqlite_callback *),                            \
      "plain; keeps later connections on their thread")

/* Those that register a callback, which may be Lua and must not run on a pool thread:
 * GN_SQLITE_LISTENERS(X) calls X(return type, name, parameters, arguments); the
 * connection comes first. */
#define GN_SQLITE_LISTENERS(X)                                                         \
    X(int, sqlite3_busy_handler,                                                       \
      (struct sqlite3 * db, gn_sqlite_callback * f, void *p), (db, f, p))              \
    X(int, sqlite3_collation_needed,                                                   \
      (struct sqlite3 * db, void *p, gn_sqlite_callback *f), (db, p, f))               \
    X(int, sqlite3_collation_needed16,                                                 \
      (struct sqlite3 * db, void *p, gn_sqlite_callback *f), (db, p, f))               \
    X(void *, sqlite3_commit_hook,                                                     \
      (struct sqlite3 * db, gn_sqlite_callback * f, void *p), (db, f, p))              \
    X(int, sqlite3_create_collation,                                                   \
      (struct sqlite3 * db, const char *name, int text, void *p,                       \
       gn_sqlite_callback *f),                                                         \
      (db, name, text, p, f))                                                          \
    X(int, sqlite3_create_collation16,                                                 \
      (struct sqlite3 * db, const void *name, int text, void *p,                       \
       gn_sqlite_callback *f),                                                         \
      (db, name, text, p, f))                                                          \
    X(int, sqlite3_create_collation_v2,                                                \
      (struct sqlite3 * db, const char *name, int text, void *p,                       \
       gn_sqlite_callback *f, gn_sqlite_callback *destroy),                            \
      (db, name, text, p, f, destroy))                                                 \
    X(int, sqlite3_create_function,                                                    \
      (struct sqlite3 * db, const char *name, int args, int text, void *p,             \
       gn_sqlite_callback *f, gn_sqlite_callback *step, gn_sqlite_callback *final),    \
      (db, name, args, text, p, f, step, final))                                       \
    X(int, sqlite3_create_function16,                                                  \
      (struct sqlite3 * db, const void *name, int args, int text, void *p,             \
       gn_sqlite_callback *f, gn_sqlite_callback *step, gn_sqlite_callback *final),    \
      (db, name, args, text, p, f, step, final))                                       \
    X(int, sqlite3_create_function_v2,                                                 \
      (struct sqlite3 * db, const char *name, int args, int text, void *p,             \
       gn_sqlite_callback *f, gn_sqlite_callback *step, gn_sqlite_callback *final,     \
       gn_sqlite_callback *destroy),                                                   \
      (db, name, args, text, p, f, step, final, destroy))                              \
    X(int, sqlite3_create_module,                                                      \
      (struct sqlite3 * db, const char *name, const void *module, void *p),            \
      (db, name, module, p))                                                           \
    X(int, sqlite3_create_module_v2,                                                   \
      (struct sqlite3 * db, const char *name, const void *module, void *p,             \
       gn_sqlite_callback *destroy),                                                   \
      (db, name, module, p, destroy))                                                  \
    X(int, sqlite3_create_window_function,                                             \
      (struct sqlite3 * db, const char *name, int args, int text, void *p,             \
       gn_sqlite_callback *step, gn_sqlite_callback *final, gn_sqlite_callback *value, \
       gn_sqlite_callback *inverse, gn_sqlite_callback *destroy),                      \
      (db, name, args, text, p, step, final, value, inverse, destroy))                 \
    X(void *, sqlite3_preupdate_hook,                                                  \
      (struct sqlite3 * db, gn_sqlite_callback * f, void *p), (db, f, p))              \
    X(void *, sqlite3_profile, (struct sqlite3 * db, gn_sqlite_callback * f, void *p), \
      (db, f, p))                                                                      \
    X(void, sqlite3_progress_handler,                                                  \
      (struct sqlite3 * db, int steps, gn_sqlite_callback *f, void *p),                \
      (db, steps, f, p))                                                               \
    X(void *, sqlite3_rollback_hook,                                                   \
      (struct sqlite3 * db, gn_sqlite_callback * f, void *p), (db, f, p))              \
    X(int, sqlite3_set_authorizer,                                                     \
      (struct sqlite3 * db, gn_sqlite_callback * f, void *p), (db, f, p))              \
    X(void *, sqlite3_trace, (struct sqlite3 * db, gn_sqlite_callback * f, void *p),   \
      (db, f, p))                                                                      \
    X(int, sqlite3_trace_v2,                                                           \
      (struct sqlite3 * db, unsigned events, gn_sqlite_callback *f, void *p),          \
      (db, events, f, p))                                                              \
    X(int, sqlite3_unlock_notify,                                                      \
      (struct sqlite3 * db, gn_sqlite_callback * f, void *p), (db, f, p))              \
    X(void *, sqlite3_update_hook,                                                     \
      (struct sqlite3 * db, gn_sqlite_callback * f, void *p), (db, f, p))              \
    X(void *, sqlite3_wal_hook,                                                        \
      (struct sqlite3 * db, gn_sqlite_callback * f, void *p), (db, f, p))

#define GN_SQLITE_LISTENS "plain; keeps the connection on its thread"

/* What this layer itself asks of SQLite. */
#define GN_SQLITE_HELPERS(X)                                               \
    X(int, sqlite3_threadsafe, (void), "")                                 \
    X(int, sqlite3_stmt_busy, (struct sqlite3_stmt *), "")                 \
    X(int, sqlite3_stmt_readonly, (struct sqlite3_stmt *), "")             \
    X(int, sqlite3_column_count, (struct sqlite3_stmt *), "")              \
    X(const char *, sqlite3_column_name, (struct sqlite3_stmt *, int), "") \
    X(const char *, sqlite3_sql, (struct sqlite3_stmt *), "")              \
    X(struct sqlite3 *, sqlite3_db_handle, (struct sqlite3_stmt *), "")    \
    X(struct sqlite3_mutex *, sqlite3_db_mutex, (struct sqlite3 *), "")    \
    X(void, sqlite3_mutex_enter, (struct sqlite3_mutex *), "")             \
    X(void, sqlite3_mutex_leave, (struct sqlite3_mutex *), "")             \
    X(int, sqlite3_get_autocommit, (struct sqlite3 *), "")                 \
    X(int, sqlite3_txn_state, (struct sqlite3 *, const char *), "")        \
    X(void, sqlite3_interrupt, (struct sqlite3 *), "")                     \
    X(const char *, sqlite3_errmsg, (struct sqlite3 *), "")                \
    X(char *, sqlite3_mprintf, (const char *, ...), "")

#define GN_SQLITE_MEMBER(ret, name, params, what) ret(*name) params;
struct gn_sqlite {
    GN_SQLITE_NAMES(GN_SQLITE_MEMBER)
    GN_SQLITE_LISTENERS(GN_SQLITE_MEMBER)
    GN_SQLITE_HELPERS(GN_SQLITE_MEMBER)
    bool offloads; /* thread-safe, and has all that this layer needs */
};
#undef GN_SQLITE_MEMBER

/* A program or library that has called SQLite. */
struct gn_sqlite_image {
    const struct gn_sqlite_image *next;
    uintptr_t low, high;          /* where it lies in memory */
    const struct gn_sqlite *real; /* what its calls would be bound to without us */
    bool inside;                  /* it is, or contains, that SQLite */
};

/* The image that holds this return address. It is kept loaded from then on. Ends the
 * process when there is no SQLite to be found, as no caller could go on. */
const struct gn_sqlite_image *gn_sqlite_image(const void *caller);

#endif
