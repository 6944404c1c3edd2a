#include "sqlite_call.h"

#include "real.h"

#include <errno.h>
#include <stdlib.h>

/* ---- the table of connections ---- */

struct gn_sqlite_connection {
    struct gn_sqlite_connection *next; /* in its bucket */
    const struct gn_sqlite *real;
    struct sqlite3 *db;
    pthread_mutex_t gate;
    unsigned users;    /* hold or want the gate, or close it */
    atomic_bool known; /* stands in the table */
    atomic_int timeout;
    atomic_uint bound; /* reasons to stay on its thread */
};

enum { BUCKETS = 256 };

/* The lock protects the buckets and every `users`; it is libc's real one, and nothing
 * waits while holding it. */
static struct gn_sqlite_connection *table[BUCKETS];
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

static void lock_table(void)
{
    gn_real()->pthread_mutex_lock(&table_lock);
}

static void unlock_table(void)
{
    gn_real()->pthread_mutex_unlock(&table_lock);
}

static struct gn_sqlite_connection **place(const struct sqlite3 *db)
{
    uintptr_t n = (uintptr_t)db >> 4;
    struct gn_sqlite_connection **p = &table[(n ^ n >> 8) % BUCKETS];
    while (*p && (*p)->db != db)
        p = &(*p)->next;
    return p;
}

void gn_sqlite_connection_add(const struct gn_sqlite *real, struct sqlite3 *db)
{
    struct gn_sqlite_connection *c = calloc(1, sizeof *c);
    if (!c)
        return;
    c->real = real;
    c->db = db;
    c->known = true;
    pthread_mutex_init(&c->gate, NULL);
    lock_table();
    *place(db) = c;
    unlock_table();
}

/* Ends one use. Called with the table locked. */
static void release_use(struct gn_sqlite_connection *c)
{
    if (--c->users > 0 || c->known)
        return;
    pthread_mutex_destroy(&c->gate);
    free(c);
}

struct gn_sqlite_connection *gn_sqlite_connection_take(struct sqlite3 *db)
{
    lock_table();
    struct gn_sqlite_connection **p = place(db), *c = *p;
    if (c) {
        *p = c->next;
        c->known = false;
        c->users++;
    }
    unlock_table();
    return c;
}

void gn_sqlite_connection_taken(struct gn_sqlite_connection *c, bool closed)
{
    if (!c)
        return;
    lock_table();
    if (!closed) {
        struct gn_sqlite_connection **p = place(c->db);
        c->next = *p;
        *p = c;
        c->known = true;
    }
    release_use(c);
    unlock_table();
}

struct gn_sqlite_connection *gn_sqlite_enter(const struct gn_sqlite *real,
                                             struct sqlite3 *db)
{
    lock_table();
    struct gn_sqlite_connection *c = *place(db);
    if (c && (c->bound || !real->sqlite3_db_mutex(db)))
        c = NULL;
    if (c)
        c->users++;
    unlock_table();
    if (!c)
        return NULL;
    pthread_mutex_lock(&c->gate);
    if (c->known && !c->bound)
        return c;
    gn_sqlite_leave(c);
    return NULL;
}

void gn_sqlite_leave(struct gn_sqlite_connection *c)
{
    pthread_mutex_unlock(&c->gate);
    lock_table();
    release_use(c);
    unlock_table();
}

void gn_sqlite_bind(struct gn_sqlite_connection *c)
{
    if (c)
        c->bound++;
}

void gn_sqlite_release(struct gn_sqlite_connection *c)
{
    if (c)
        c->bound--;
}

void gn_sqlite_bind_unentered(struct sqlite3 *db)
{
    lock_table();
    gn_sqlite_bind(*place(db));
    unlock_table();
}

void gn_sqlite_set_timeout(struct sqlite3 *db, int ms)
{
    lock_table();
    struct gn_sqlite_connection *c = *place(db);
    if (c)
        c->timeout = ms > 0 ? ms : 0;
    unlock_table();
}

/* ---- waiting for the locks of a database file ---- */

/* How long to sleep before attempt number `count`; 0 when the time is over. SQLite's
 * own delays. */
static int pause_ms(int count, int timeout)
{
    static const int delays[] = {1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50, 100};
    enum { LAST = sizeof delays / sizeof *delays - 1 };
    int64_t slept = 0;
    for (int i = 0; i < count && i < LAST; i++)
        slept += delays[i];
    if (count > LAST)
        slept += (int64_t)(count - LAST) * delays[LAST];
    int next = delays[count < LAST ? count : LAST];
    if (slept + next > timeout)
        next = (int)(timeout > slept ? timeout - slept : 0);
    return next;
}

/* On the pool thread, which a bound number may do at once. */
static int sleep_here(struct gn_sqlite_call *k, int ms)
{
    static atomic_int sleepers;
    bool room = atomic_fetch_add(&sleepers, 1) < GN_POOL_THREADS / 2;
    if (room)
        usleep((useconds_t)ms * 1000);
    else
        k->refused = k->restarts;
    atomic_fetch_sub(&sleepers, 1);
    return room;
}

/* SQLite's busy handler while a pool thread makes a call: returns 0 to give up. */
static int on_busy(void *arg, int count)
{
    struct gn_sqlite_call *k = arg;
    int ms = pause_ms(k->pauses + count, k->timeout);
    if (ms == 0 || k->stop)
        return 0;
    bool resumes =
        k->explicit || k->real->sqlite3_txn_state(k->connection->db, NULL) == 0;
    if (!k->repeatable || !resumes)
        return sleep_here(k, ms);
    k->refused = true;
    return 0;
}

/* ---- on a pool thread ---- */

static void make(struct gn_sqlite_call *k)
{
    int64_t start = gn_now();
    k->make(k);
    k->took = gn_now() - start;
}

/* With our busy handler in the place of SQLite's, whose time-out is put back, since
 * PRAGMA busy_timeout may have changed it. The connection stays locked meanwhile:
 * nobody else meets the handler. */
static void make_patiently(struct gn_sqlite_call *k)
{
    const struct gn_sqlite *real = k->real;
    struct sqlite3 *db = k->connection->db;
    struct sqlite3_mutex *mutex = real->sqlite3_db_mutex(db);
    real->sqlite3_mutex_enter(mutex);
    k->explicit = !real->sqlite3_get_autocommit(db);
    real->sqlite3_busy_handler(db, (gn_sqlite_callback *)on_busy, k);
    make(k);
    real->sqlite3_busy_timeout(db, k->connection->timeout);
    real->sqlite3_mutex_leave(mutex);
}

static void run(struct gn_job *job)
{
    struct gn_sqlite_call *k = gn_container_of(job, struct gn_sqlite_call, job);
    if (k->timeout > 0)
        make_patiently(k);
    else
        make(k);
}

/* ---- the calling fiber ---- */

static void interrupt(struct gn_job *job)
{
    struct gn_sqlite_call *k = gn_container_of(job, struct gn_sqlite_call, job);
    k->stop = true;
    k->real->sqlite3_interrupt(k->connection->db);
}

static int offload_once(struct gn_sqlite_call *k)
{
    k->refused = false;
    k->job.run = run;
    int r = gn_offload_attended(&k->job, k->cancels ? interrupt : NULL);
    if (r == -ENOMEM) {
        make(k);
        r = 0;
    }
    return r;
}

static bool should_repeat(const struct gn_sqlite_call *k)
{
    return k->refused && (k->result & 0xff) == GN_SQLITE_BUSY && !k->stop;
}

int gn_sqlite_offload(struct gn_sqlite_call *k)
{
    bool waits = k->connection && !k->closes;
    k->timeout = waits ? k->connection->timeout : 0;
    k->pauses = 0;
    k->stop = false;
    int r = offload_once(k);
    while (r == 0 && should_repeat(k)) {
        r = gn_sleep_until(gn_after_ms(pause_ms(k->pauses++, k->timeout)));
        if (r == 0)
            r = offload_once(k);
    }
    return r < 0 && k->cancels ? r : k->result;
}
