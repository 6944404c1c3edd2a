/* SQLite's entry points. It waits for disks and locks without any descriptor, so a
 * fiber has a pool thread make the calls that may take long; see sqlite_call.h.
 *
 * A hop to another thread costs more than a row. So the first step of a statement is
 * offloaded, and further rows are fetched in place as long as the last one was quick.
 * All that writes goes to the pool. Calls from SQLite itself, off a fiber and on
 * connections with callbacks are plain: they park at locks, as all code on a fiber
 * does. */
#include "real.h"
#include "sqlite_call.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HERE gn_sqlite_image(__builtin_return_address(0))

typedef const struct gn_sqlite_image image;

static atomic_bool unknown_extensions;

/* Whether calls from this image may be offloaded, here and at all. */
static bool may_offload(image *i)
{
    return !i->inside && i->real->offloads && gn_may_park() && gn_sched_self()->pool;
}

static struct gn_sqlite_connection *enter(image *i, struct sqlite3 *db)
{
    return db && may_offload(i) ? gn_sqlite_enter(i->real, db) : NULL;
}

/* ---- what was quick on this thread ---- */

enum { QUICK_NS = 100000, NOTES = 1024 };

/* Notes about objects, dropped when an object begins or ends. They are hints: one may
 * push out another. */
struct notes {
    const void *about[NOTES];
};

static _Thread_local struct notes quick_statements, quick_parsers;

static const void **note(struct notes *n, const void *object)
{
    uintptr_t bits = (uintptr_t)object >> 4;
    return &n->about[(bits ^ bits >> 10) % NOTES];
}

static bool noted(struct notes *n, const void *object)
{
    return *note(n, object) == object;
}

static void set_note(struct notes *n, const void *object, bool on)
{
    const void **place = note(n, object);
    if (on)
        *place = object;
    else if (*place == object)
        *place = NULL;
}

/* Counts a call that was made in place: a millisecond of them counts as much as 200 KB,
 * so the others run every five. */
static void spend(int64_t ns)
{
    if (gn_fiber_self())
        gn_spend((size_t)ns / 5);
}

/* ---- open, close ---- */

struct opening {
    struct gn_sqlite_call call;
    const char *file, *vfs;
    struct sqlite3 **db;
    int flags;
};

static void make_open(struct gn_sqlite_call *k)
{
    struct opening *o = gn_container_of(k, struct opening, call);
    k->result = k->real->sqlite3_open(o->file, o->db);
}

static void make_open_v2(struct gn_sqlite_call *k)
{
    struct opening *o = gn_container_of(k, struct opening, call);
    k->result = k->real->sqlite3_open_v2(o->file, o->db, o->flags, o->vfs);
}

static int open_with(image *i, struct opening *o)
{
    o->call.real = i->real;
    int r;
    if (may_offload(i)) {
        r = gn_sqlite_offload(&o->call);
    } else {
        o->call.make(&o->call);
        r = o->call.result;
    }
    if (r != GN_SQLITE_OK || i->inside)
        return r;
    set_note(&quick_parsers, *o->db, false);
    if (!unknown_extensions)
        gn_sqlite_connection_add(i->real, *o->db);
    return r;
}

int sqlite3_open(const char *file, struct sqlite3 **db)
{
    struct opening o = {.call.make = make_open, .file = file, .db = db};
    return open_with(HERE, &o);
}

int sqlite3_open_v2(const char *file, struct sqlite3 **db, int flags, const char *vfs)
{
    struct opening o = {
        .call.make = make_open_v2, .file = file, .db = db, .flags = flags, .vfs = vfs};
    return open_with(HERE, &o);
}

int sqlite3_auto_extension(gn_sqlite_callback *f)
{
    image *i = HERE;
    if (!i->inside)
        unknown_extensions = true;
    return i->real->sqlite3_auto_extension(f);
}

struct closing {
    struct gn_sqlite_call call;
    struct sqlite3 *db;
    int (*close)(struct sqlite3 *);
};

static void make_close(struct gn_sqlite_call *k)
{
    struct closing *c = gn_container_of(k, struct closing, call);
    k->result = c->close(c->db);
}

static int close_with(image *i, struct sqlite3 *db, int (*close)(struct sqlite3 *))
{
    struct gn_sqlite_connection *entered = enter(i, db);
    struct closing c = {.call = {.real = i->real,
                                 .connection = entered,
                                 .make = make_close,
                                 .closes = true},
                        .db = db,
                        .close = close};
    struct gn_sqlite_connection *taken = gn_sqlite_connection_take(db);
    int r = entered ? gn_sqlite_offload(&c.call) : close(db);
    gn_sqlite_connection_taken(taken, r == GN_SQLITE_OK);
    if (entered)
        gn_sqlite_leave(entered);
    return r;
}

int sqlite3_close(struct sqlite3 *db)
{
    image *i = HERE;
    return close_with(i, db, i->real->sqlite3_close);
}

int sqlite3_close_v2(struct sqlite3 *db)
{
    image *i = HERE;
    return close_with(i, db, i->real->sqlite3_close_v2);
}

/* ---- prepare: parsing is quick, but the first one reads the schema ---- */

struct parsing {
    struct gn_sqlite_call call;
    struct sqlite3 *db;
    const char *sql;
    int length;
    unsigned flags;
    struct sqlite3_stmt **stmt;
    const char **tail;
};

static void make_prepare(struct gn_sqlite_call *k)
{
    struct parsing *p = gn_container_of(k, struct parsing, call);
    k->result = k->real->sqlite3_prepare(p->db, p->sql, p->length, p->stmt, p->tail);
}

static void make_prepare_v2(struct gn_sqlite_call *k)
{
    struct parsing *p = gn_container_of(k, struct parsing, call);
    k->result = k->real->sqlite3_prepare_v2(p->db, p->sql, p->length, p->stmt, p->tail);
}

static void make_prepare_v3(struct gn_sqlite_call *k)
{
    struct parsing *p = gn_container_of(k, struct parsing, call);
    k->result = k->real->sqlite3_prepare_v3(p->db, p->sql, p->length, p->flags, p->stmt,
                                            p->tail);
}

static bool begins_with(const char *sql, int length, const char *word)
{
    const char *end = length < 0 ? NULL : sql + length;
    while (sql != end && isspace((unsigned char)*sql))
        sql++;
    return (!end || (size_t)(end - sql) >= strlen(word)) &&
           strncasecmp(sql, word, strlen(word)) == 0;
}

static int prepare_here(struct parsing *p)
{
    int64_t start = gn_now();
    p->call.make(&p->call);
    p->call.took = gn_now() - start;
    spend(p->call.took);
    return p->call.result;
}

/* PRAGMA busy_timeout tells, when it is parsed, of the time-out that
 * gn_sqlite_offload() replaces meanwhile: pragmas are parsed in place. */
static int prepare_entered(struct gn_sqlite_connection *c, struct parsing *p)
{
    bool pragma = p->sql && begins_with(p->sql, p->length, "PRAGMA");
    p->call.connection = c;
    p->call.repeatable = p->call.restarts = true;
    int r = pragma || noted(&quick_parsers, p->db) ? prepare_here(p)
                                                   : gn_sqlite_offload(&p->call);
    set_note(&quick_parsers, p->db, p->call.took < QUICK_NS);
    return r;
}

static int prepare(image *i, struct parsing *p)
{
    p->call.real = i->real;
    struct gn_sqlite_connection *c = enter(i, p->db);
    if (!c) {
        p->call.make(&p->call);
        return p->call.result;
    }
    int r = prepare_entered(c, p);
    gn_sqlite_leave(c);
    if (r == GN_SQLITE_OK)
        set_note(&quick_statements, *p->stmt, false);
    return r;
}

int sqlite3_prepare(struct sqlite3 *db, const char *sql, int length,
                    struct sqlite3_stmt **stmt, const char **tail)
{
    struct parsing p = {.call.make = make_prepare,
                        .db = db,
                        .sql = sql,
                        .length = length,
                        .stmt = stmt,
                        .tail = tail};
    return prepare(HERE, &p);
}

int sqlite3_prepare_v2(struct sqlite3 *db, const char *sql, int length,
                       struct sqlite3_stmt **stmt, const char **tail)
{
    struct parsing p = {.call.make = make_prepare_v2,
                        .db = db,
                        .sql = sql,
                        .length = length,
                        .stmt = stmt,
                        .tail = tail};
    return prepare(HERE, &p);
}

int sqlite3_prepare_v3(struct sqlite3 *db, const char *sql, int length, unsigned flags,
                       struct sqlite3_stmt **stmt, const char **tail)
{
    struct parsing p = {.call.make = make_prepare_v3,
                        .db = db,
                        .sql = sql,
                        .length = length,
                        .flags = flags,
                        .stmt = stmt,
                        .tail = tail};
    return prepare(HERE, &p);
}

/* ---- step, reset, finalize ---- */

struct stepping {
    struct gn_sqlite_call call;
    struct sqlite3_stmt *stmt;
    int (*fn)(struct sqlite3_stmt *);
};

static void make_step(struct gn_sqlite_call *k)
{
    struct stepping *s = gn_container_of(k, struct stepping, call);
    k->result = s->fn(s->stmt);
}

/* A query whose last step was quick. A cancelled fiber gets no more. */
static bool is_quick(const struct gn_sqlite *real, struct sqlite3_stmt *stmt)
{
    return noted(&quick_statements, stmt) && real->sqlite3_stmt_readonly(stmt) &&
           real->sqlite3_column_count(stmt) > 0 && gn_fiber_cause(gn_fiber_self()) == 0;
}

static int step_here(const struct gn_sqlite *real, struct sqlite3_stmt *stmt)
{
    int64_t start = gn_now();
    int r = real->sqlite3_step(stmt);
    int64_t took = gn_now() - start;
    set_note(&quick_statements, stmt, took < QUICK_NS);
    spend(took);
    return r;
}

/* PRAGMA wal_checkpoint answers that it was busy, and goes on. */
static bool is_checkpoint(const struct gn_sqlite *real, struct sqlite3_stmt *stmt)
{
    const char *name = real->sqlite3_column_count(stmt) == 3
                           ? real->sqlite3_column_name(stmt, 0)
                           : NULL;
    return name && strcmp(name, "busy") == 0;
}

/* What a cancelled fiber's statement gives, with the message and the state that belong
 * to it: interrupting a connection on which a statement runs interrupts those that
 * begin before it has ended. So let one run that touches nothing. */
static int step_interrupted(const struct gn_sqlite *real, struct sqlite3 *db,
                            struct sqlite3_stmt *stmt)
{
    struct sqlite3_mutex *mutex = real->sqlite3_db_mutex(db);
    struct sqlite3_stmt *running = NULL;
    int r = GN_SQLITE_INTERRUPT;
    real->sqlite3_mutex_enter(mutex);
    real->sqlite3_prepare_v2(db, "VALUES (1), (2)", -1, &running, NULL);
    if (running && real->sqlite3_step(running) == GN_SQLITE_ROW) {
        real->sqlite3_interrupt(db);
        r = real->sqlite3_step(stmt);
        real->sqlite3_step(running); /* leaves the same message behind */
    }
    real->sqlite3_finalize(running);
    real->sqlite3_mutex_leave(mutex);
    return r;
}

/* A cancelled fiber may still roll back. */
static int step_there(struct gn_sqlite_connection *c, const struct gn_sqlite *real,
                      struct sqlite3_stmt *stmt)
{
    const char *sql = real->sqlite3_sql(stmt);
    struct stepping s = {.call = {.real = real,
                                  .connection = c,
                                  .make = make_step,
                                  .repeatable = !is_checkpoint(real, stmt),
                                  .restarts = !real->sqlite3_stmt_busy(stmt),
                                  .cancels = !sql || !begins_with(sql, -1, "ROLLBACK")},
                         .stmt = stmt,
                         .fn = real->sqlite3_step};
    int r = gn_sqlite_offload(&s.call);
    if (r < 0)
        return step_interrupted(real, real->sqlite3_db_handle(stmt), stmt);
    set_note(&quick_statements, stmt, s.call.took < QUICK_NS);
    return r;
}

static int step_entered(struct gn_sqlite_connection *c, const struct gn_sqlite *real,
                        struct sqlite3_stmt *stmt)
{
    return is_quick(real, stmt) ? step_here(real, stmt) : step_there(c, real, stmt);
}

int sqlite3_step(struct sqlite3_stmt *stmt)
{
    image *i = HERE;
    if (!stmt || !may_offload(i))
        return i->real->sqlite3_step(stmt);
    if (is_quick(i->real, stmt))
        return step_here(i->real, stmt);
    struct gn_sqlite_connection *c = enter(i, i->real->sqlite3_db_handle(stmt));
    if (!c)
        return step_here(i->real, stmt);
    int r = step_there(c, i->real, stmt);
    gn_sqlite_leave(c);
    return r;
}

/* Ends the run of a statement: one that writes and has not come to its end commits. */
static int end_with(image *i, struct sqlite3_stmt *stmt,
                    int (*fn)(struct sqlite3_stmt *))
{
    const struct gn_sqlite *real = i->real;
    if (!stmt || !real->sqlite3_stmt_busy(stmt) || real->sqlite3_stmt_readonly(stmt))
        return fn(stmt);
    struct gn_sqlite_connection *c = enter(i, real->sqlite3_db_handle(stmt));
    if (!c)
        return fn(stmt);
    struct stepping s = {.call = {.real = real, .connection = c, .make = make_step},
                         .stmt = stmt,
                         .fn = fn};
    int r = gn_sqlite_offload(&s.call);
    gn_sqlite_leave(c);
    return r;
}

int sqlite3_reset(struct sqlite3_stmt *stmt)
{
    image *i = HERE;
    return end_with(i, stmt, i->real->sqlite3_reset);
}

int sqlite3_finalize(struct sqlite3_stmt *stmt)
{
    image *i = HERE;
    set_note(&quick_statements, stmt, false);
    return end_with(i, stmt, i->real->sqlite3_finalize);
}

/* ---- exec: the same loop as SQLite's, of calls that may be repeated one by one ----
 */

/* Runs the first statement of *sql and moves *sql behind it. */
static int exec_next(struct gn_sqlite_connection *c, const struct gn_sqlite *real,
                     struct sqlite3 *db, const char **sql)
{
    struct sqlite3_stmt *stmt = NULL;
    struct parsing p = {.call = {.real = real, .make = make_prepare_v2},
                        .db = db,
                        .sql = *sql,
                        .length = -1,
                        .stmt = &stmt,
                        .tail = sql};
    int r = prepare_entered(c, &p);
    if (r != GN_SQLITE_OK || !stmt)
        return r;
    while (step_entered(c, real, stmt) == GN_SQLITE_ROW)
        ;
    set_note(&quick_statements, stmt, false);
    return real->sqlite3_finalize(stmt);
}

static int exec_all(struct gn_sqlite_connection *c, const struct gn_sqlite *real,
                    struct sqlite3 *db, const char *sql, char **message)
{
    int r = GN_SQLITE_OK;
    while (r == GN_SQLITE_OK && *sql)
        r = exec_next(c, real, db, &sql);
    if (message)
        *message = r == GN_SQLITE_OK
                       ? NULL
                       : real->sqlite3_mprintf("%s", real->sqlite3_errmsg(db));
    return message && r != GN_SQLITE_OK && !*message ? GN_SQLITE_NOMEM : r;
}

/* A callback may use the connection, which is locked for this fiber. */
int sqlite3_exec(struct sqlite3 *db, const char *sql, gn_sqlite_row *row, void *arg,
                 char **message)
{
    image *i = HERE;
    struct gn_sqlite_connection *c = enter(i, db);
    int r;
    if (c && sql && !row) {
        r = exec_all(c, i->real, db, sql, message);
    } else {
        gn_sqlite_bind(c);
        r = i->real->sqlite3_exec(db, sql, row, arg, message);
        gn_sqlite_release(c);
    }
    if (c)
        gn_sqlite_leave(c);
    return r;
}

/* ---- what changes a connection ---- */

/* SQLite itself calls this for PRAGMA busy_timeout. */
int sqlite3_busy_timeout(struct sqlite3 *db, int ms)
{
    image *i = HERE;
    int r = i->real->sqlite3_busy_timeout(db, ms);
    if (r == GN_SQLITE_OK)
        gn_sqlite_set_timeout(db, ms);
    return r;
}

/* Before a callback is registered: from here on the connection stays on its thread.
 * Returns what to leave afterwards. SQLite registers callbacks of its own, too. */
static struct gn_sqlite_connection *bind_for_callback(image *i, struct sqlite3 *db)
{
    struct gn_sqlite_connection *c = enter(i, db);
    if (c)
        gn_sqlite_bind(c);
    else if (!i->inside)
        gn_sqlite_bind_unentered(db);
    return c;
}

static void leave(struct gn_sqlite_connection **c)
{
    if (*c)
        gn_sqlite_leave(*c);
}

#define GN_LISTENER(ret, name, params, args)                             \
    ret name params                                                      \
    {                                                                    \
        image *i = HERE;                                                 \
        __attribute__((cleanup(leave))) struct gn_sqlite_connection *c = \
            bind_for_callback(i, db);                                    \
        return i->real->name args;                                       \
    }
GN_SQLITE_LISTENERS(GN_LISTENER)
