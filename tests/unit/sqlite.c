/* host/libc/sqlite.c: SQLite's calls do not hold the thread, and its locks hold neither
 * the thread nor the pool. */
#include "fiber_test.h"

#include "libc/sqlite_real.h"

#include <dlfcn.h>
#include <pthread.h>

#define DECLARE(ret, name, params, what) ret name params;
GN_SQLITE_NAMES(DECLARE)
GN_SQLITE_LISTENERS(DECLARE)
#undef DECLARE

enum { DONE = 101, LONG = 60000 /* ms: a time-out that no test waits for */ };

#define SLOW "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "

static void *library;
static int (*column_int)(struct sqlite3_stmt *, int);
static const char *(*errmsg)(struct sqlite3 *);
static int (*autocommit)(struct sqlite3 *);

static char directory[] = "/tmp/genet-sqlite.XXXXXX";
static char file[64];

static int load_library(void **state)
{
    (void)state;
    library = dlopen("libsqlite3.so.0", RTLD_NOW | RTLD_LOCAL); /* as Lua would */
    if (!library || !mkdtemp(directory))
        return -1;
    column_int =
        (int (*)(struct sqlite3_stmt *, int))dlsym(library, "sqlite3_column_int");
    errmsg = (const char *(*)(struct sqlite3 *))dlsym(library, "sqlite3_errmsg");
    autocommit = (int (*)(struct sqlite3 *))dlsym(library, "sqlite3_get_autocommit");
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

static int new_file(void **state)
{
    (void)state;
    snprintf(file, sizeof file, "%s/db", directory);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    static const char *const endings[] = {"", "-journal", "-wal", "-shm"};
    char name[80];
    for (unsigned i = 0; i < LENGTH(endings); i++) {
        snprintf(name, sizeof name, "%s%s", file, endings[i]);
        unlink(name);
    }
    return 0;
}

/* ---- short words for what all tests do ---- */

static struct sqlite3 *open_file(const char *name, int timeout)
{
    struct sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(name, &db), GN_SQLITE_OK);
    assert_int_equal(sqlite3_busy_timeout(db, timeout), GN_SQLITE_OK);
    return db;
}

static void close_file(struct sqlite3 *db)
{
    assert_int_equal(sqlite3_close(db), GN_SQLITE_OK);
}

static int exec(struct sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static void run_sql(struct sqlite3 *db, const char *sql)
{
    if (exec(db, sql) != GN_SQLITE_OK)
        fail_msg("%s: %s", sql, errmsg(db));
}

static struct sqlite3_stmt *query(struct sqlite3 *db, const char *sql)
{
    struct sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != GN_SQLITE_OK)
        fail_msg("%s: %s", sql, errmsg(db));
    return stmt;
}

static int number(struct sqlite3 *db, const char *sql)
{
    struct sqlite3_stmt *stmt = query(db, sql);
    assert_int_equal(sqlite3_step(stmt), GN_SQLITE_ROW);
    int n = column_int(stmt, 0);
    assert_int_equal(sqlite3_finalize(stmt), GN_SQLITE_OK);
    return n;
}

static struct sqlite3 *open_table(int timeout)
{
    struct sqlite3 *db = open_file(file, timeout);
    run_sql(db, "CREATE TABLE IF NOT EXISTS t(a)");
    return db;
}

static void use_pool(unsigned threads)
{
    struct gn_sched *s = gn_sched_self();
    gn_pool_free(s->pool);
    s->pool = gn_pool_new(threads);
}

/* One statement that another fiber executes. */
struct errand {
    struct sqlite3 *db;
    const char *sql;
    int result;
    bool ended;
};

static void go_errand(void *arg)
{
    struct errand *e = arg;
    e->result = exec(e->db, e->sql);
    e->ended = true;
}

static void let_others_run(void)
{
    for (int i = 0; i < 20; i++)
        usleep(1000);
}

/* ---- the thread stays free ---- */

static void a_slow_query_lets_the_others_run(void **state)
{
    (void)state;
    struct errand e = {.db = open_file(":memory:", 0), .sql = SLOW "SELECT x FROM n"};
    struct gn_fiber *f = go(go_errand, &e); /* without end */
    let_others_run();
    assert_false(e.ended);
    gn_cancel(f, -ECANCELED);
    assert_eventually(e.ended);
    assert_int_equal(e.result, GN_SQLITE_INTERRUPT);
    assert_string_equal(errmsg(e.db), "interrupted");
    assert_int_equal(number(e.db, "SELECT 7"), 7); /* and is as good as ever */
    close_file(e.db);
}

static unsigned turns;
static bool stop_turning;

static void take_turns(void *unused)
{
    (void)unused;
    while (!stop_turning) {
        turns++;
        gn_yield();
    }
}

/* Steps through a query; returns how many rows let another fiber run. */
static int count_waits(struct sqlite3_stmt *stmt, int rows)
{
    int waits = 0;
    for (int i = 0; i < rows; i++) {
        unsigned before = turns;
        assert_int_equal(sqlite3_step(stmt), GN_SQLITE_ROW);
        waits += turns != before;
    }
    return waits;
}

static void quick_rows_are_fetched_in_place_and_give_way_now_and_then(void **state)
{
    (void)state;
    enum { ROWS = 20000 };
    struct sqlite3 *db = open_file(":memory:", 0);
    struct sqlite3_stmt *stmt = query(db, SLOW "SELECT x FROM n");
    turns = stop_turning = 0;
    go(take_turns, NULL);
    assert_int_equal(count_waits(stmt, 1), 1); /* the first is offloaded */
    assert_in_range(count_waits(stmt, ROWS), 1, ROWS / 2);
    sqlite3_finalize(stmt);
    stmt = query(db, "SELECT 1"); /* perhaps where the other was */
    assert_int_equal(count_waits(stmt, 1), 1);
    sqlite3_finalize(stmt);
    stop_turning = true;
    close_file(db);
}

static void slow_rows_are_fetched_by_the_pool(void **state)
{
    (void)state;
    enum { ROWS = 20 };
    struct sqlite3 *db = open_file(":memory:", 0);
    struct sqlite3_stmt *stmt =
        query(db, SLOW "SELECT x FROM n WHERE x % 20000 = 0"); /* a millisecond each */
    turns = stop_turning = 0;
    go(take_turns, NULL);
    assert_int_equal(count_waits(stmt, ROWS), ROWS);
    stop_turning = true;
    sqlite3_finalize(stmt);
    close_file(db);
}

static void who_shares_a_busy_connection_waits_as_a_fiber(void **state)
{
    (void)state;
    struct sqlite3 *db = open_file(":memory:", 0);
    struct errand slow = {.db = db, .sql = SLOW "SELECT x FROM n"};
    struct errand quick[8];
    run_sql(db, "CREATE TABLE t(a)");
    use_pool(2);
    struct gn_fiber *f = go(go_errand, &slow);
    gn_yield();
    for (unsigned i = 0; i < LENGTH(quick); i++) {
        quick[i] = (struct errand){.db = db, .sql = "INSERT INTO t VALUES (1)"};
        go(go_errand, &quick[i]);
    }
    let_others_run();
    struct sqlite3 *other = open_table(0); /* has a thread of the pool */
    close_file(other);
    assert_false(slow.ended || quick[0].ended);
    gn_cancel(f, -ECANCELED);
    for (unsigned i = 0; i < LENGTH(quick); i++) {
        assert_eventually(quick[i].ended);
        assert_int_equal(quick[i].result, GN_SQLITE_OK);
    }
    assert_eventually(slow.ended);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), LENGTH(quick));
    close_file(db);
}

static void a_call_without_any_thread_to_offload_to_is_plain(void **state)
{
    (void)state;
    struct gn_pool *pool = gn_sched_self()->pool;
    gn_sched_self()->pool = NULL;
    struct sqlite3 *db = open_table(0);
    run_sql(db, "INSERT INTO t VALUES (1)");
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 1);
    close_file(db);
    gn_sched_self()->pool = pool;
}

/* ---- locks ---- */

/* With a single thread, whoever slept on it would keep the lock's holder from it. */
static void writers_wait_for_a_lock_without_holding_a_thread(void **state)
{
    (void)state;
    struct sqlite3 *holder = open_table(LONG);
    struct errand waiting[20];
    use_pool(1);
    run_sql(holder, "BEGIN IMMEDIATE; INSERT INTO t VALUES (0)");
    for (unsigned i = 0; i < LENGTH(waiting); i++) {
        waiting[i] = (struct errand){.db = open_file(file, LONG),
                                     .sql = "INSERT INTO t VALUES (1)"};
        go(go_errand, &waiting[i]);
    }
    let_others_run();
    assert_false(waiting[0].ended);
    run_sql(holder, "COMMIT");
    for (unsigned i = 0; i < LENGTH(waiting); i++) {
        assert_eventually(waiting[i].ended);
        assert_int_equal(waiting[i].result, GN_SQLITE_OK);
        close_file(waiting[i].db);
    }
    assert_int_equal(number(holder, "SELECT count(*) FROM t"), LENGTH(waiting) + 1);
    close_file(holder);
}

static void schemas_are_waited_for_too(void **state)
{
    (void)state;
    struct sqlite3 *holder = open_table(LONG);
    use_pool(1);
    run_sql(holder, "BEGIN EXCLUSIVE");
    struct errand e = {.db = open_file(file, LONG), .sql = "INSERT INTO t VALUES (1)"};
    go(go_errand, &e);
    let_others_run();
    assert_false(e.ended);
    run_sql(holder, "COMMIT");
    assert_eventually(e.ended);
    assert_int_equal(e.result, GN_SQLITE_OK);
    close_file(e.db);
    close_file(holder);
}

/* The end of a transaction waits for a reader, on a pool of so many threads. */
static void commit_beside_a_reader(const char *begin, const char *commit,
                                   unsigned threads)
{
    struct sqlite3 *reading = open_table(LONG), *writing = open_file(file, LONG);
    run_sql(reading, "DELETE FROM t; INSERT INTO t VALUES (1), (2)");
    use_pool(threads);
    struct sqlite3_stmt *reader = query(reading, "SELECT a FROM t");
    assert_int_equal(sqlite3_step(reader), GN_SQLITE_ROW);
    run_sql(writing, begin);
    struct errand e = {.db = writing, .sql = commit};
    go(go_errand, &e);
    let_others_run();
    assert_false(e.ended);
    assert_int_equal(sqlite3_step(reader), GN_SQLITE_ROW);
    assert_int_equal(sqlite3_finalize(reader), GN_SQLITE_OK);
    assert_eventually(e.ended);
    assert_int_equal(e.result, GN_SQLITE_OK);
    assert_int_equal(number(reading, "SELECT count(*) FROM t"), 3);
    close_file(reading);
    close_file(writing);
}

static void a_commit_waits_for_readers_without_holding_a_thread(void **state)
{
    (void)state;
    commit_beside_a_reader("BEGIN; INSERT INTO t VALUES (3)", "COMMIT", 1);
    commit_beside_a_reader("SAVEPOINT a; INSERT INTO t VALUES (3)", "RELEASE a", 1);
}

static void a_statement_that_commits_itself_waits_where_it_is(void **state)
{
    (void)state;
    commit_beside_a_reader("", "INSERT INTO t VALUES (3)", 2);
}

static void a_checkpoint_waits_where_it_is(void **state)
{
    (void)state;
    struct sqlite3 *writing = open_table(LONG), *reading = open_file(file, 0);
    run_sql(writing, "PRAGMA journal_mode = wal; INSERT INTO t VALUES (1)");
    run_sql(reading, "BEGIN");
    assert_int_equal(number(reading, "SELECT count(*) FROM t"), 1);
    run_sql(writing, "INSERT INTO t VALUES (2)");
    struct errand end = {.db = reading, .sql = "COMMIT"};
    go(go_errand, &end);
    assert_int_equal(number(writing, "PRAGMA wal_checkpoint(RESTART)"),
                     0); /* not busy */
    assert_true(end.ended);
    close_file(reading);
    close_file(writing);
}

static void a_time_out_ends_the_wait(void **state)
{
    (void)state;
    struct sqlite3 *holder = open_table(LONG), *db = open_file(file, 30);
    char *message = NULL;
    run_sql(holder, "BEGIN IMMEDIATE");
    int64_t start = gn_now();
    int r = sqlite3_exec(db, "INSERT INTO t VALUES (1)", NULL, NULL, &message);
    assert_int_equal(r, GN_SQLITE_BUSY);
    assert_true(gn_now() - start >= 30 * GN_MS);
    assert_string_equal(message, "database is locked");
    ((void (*)(void *))dlsym(library, "sqlite3_free"))(message);
    sqlite3_busy_timeout(db, 0);
    assert_int_equal(exec(db, "INSERT INTO t VALUES (1)"), GN_SQLITE_BUSY);
    run_sql(holder, "COMMIT");
    run_sql(db, "INSERT INTO t VALUES (1)");
    close_file(db);
    close_file(holder);
}

/* Where waiting cannot help, SQLite says so at once, whatever the time-out. */
static void a_deadlock_is_told_at_once(void **state)
{
    (void)state;
    struct sqlite3 *a = open_table(LONG), *b = open_file(file, LONG);
    int64_t start = gn_now();
    run_sql(a, "BEGIN; SELECT * FROM t");
    run_sql(b, "BEGIN; SELECT * FROM t");
    struct sqlite3_stmt *reads = query(b, "SELECT 1 FROM sqlite_schema");
    assert_int_equal(sqlite3_step(reads), GN_SQLITE_ROW);
    run_sql(a, "INSERT INTO t VALUES (1)");
    assert_int_equal(exec(b, "INSERT INTO t VALUES (2)"), GN_SQLITE_BUSY);
    assert_false(autocommit(b)); /* the transaction stands, to be rolled back */
    assert_true(gn_now() - start < LONG * GN_MS / 2);
    sqlite3_finalize(reads);
    run_sql(b, "ROLLBACK");
    run_sql(a, "COMMIT");
    close_file(a);
    close_file(b);
}

static void an_old_snapshot_is_told_at_once(void **state)
{
    (void)state;
    enum { BUSY_SNAPSHOT = 5 | 2 << 8 };
    struct sqlite3 *a = open_table(LONG), *b = open_file(file, LONG);
    run_sql(a, "PRAGMA journal_mode = wal");
    run_sql(b, "BEGIN");
    number(b, "SELECT count(*) FROM t");
    run_sql(a, "INSERT INTO t VALUES (1)");
    int64_t start = gn_now();
    assert_int_equal(exec(b, "INSERT INTO t VALUES (2)") & 0xff, GN_SQLITE_BUSY);
    int (*extended)(struct sqlite3 *) =
        (int (*)(struct sqlite3 *))dlsym(library, "sqlite3_extended_errcode");
    assert_int_equal(extended(b), BUSY_SNAPSHOT);
    assert_true(gn_now() - start < LONG * GN_MS / 2);
    run_sql(b, "ROLLBACK");
    close_file(a);
    close_file(b);
}

static void the_pragma_sets_and_tells_the_time_out(void **state)
{
    (void)state;
    struct sqlite3 *holder = open_table(0), *db = open_file(file, 0);
    assert_int_equal(number(db, "PRAGMA busy_timeout"), 0);
    assert_int_equal(number(db, " pragma busy_timeout = 60000"), LONG);
    run_sql(db, "INSERT INTO t VALUES (1)"); /* replaces the handler for a moment */
    assert_int_equal(number(db, "PRAGMA busy_timeout"), LONG);
    use_pool(1);
    run_sql(holder, "BEGIN IMMEDIATE");
    struct errand e = {.db = db, .sql = "INSERT INTO t VALUES (1)"};
    go(go_errand, &e);
    let_others_run();
    assert_false(e.ended);
    run_sql(holder, "COMMIT");
    assert_eventually(e.ended);
    assert_int_equal(e.result, GN_SQLITE_OK);
    close_file(db);
    close_file(holder);
}

/* ---- cancelling ---- */

static void a_cancelled_fiber_stops_waiting_for_a_lock(void **state)
{
    (void)state;
    struct sqlite3 *holder = open_table(LONG);
    struct errand e = {.db = open_file(file, LONG), .sql = "INSERT INTO t VALUES (1)"};
    run_sql(holder, "BEGIN IMMEDIATE");
    struct gn_fiber *f = go(go_errand, &e);
    let_others_run();
    assert_false(e.ended);
    gn_cancel(f, -ECANCELED);
    assert_eventually(e.ended);
    assert_int_equal(e.result, GN_SQLITE_INTERRUPT);
    run_sql(holder, "COMMIT");
    assert_int_equal(number(e.db, "SELECT count(*) FROM t"), 0);
    close_file(e.db);
    close_file(holder);
}

static void a_cancelled_fiber_may_roll_back_and_close_but_not_go_on(void **state)
{
    (void)state;
    struct sqlite3 *db = open_table(0);
    run_sql(db, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    gn_cancel(gn_fiber_self(), -ECANCELED);
    assert_int_equal(exec(db, "COMMIT"), GN_SQLITE_INTERRUPT);
    assert_false(autocommit(db));
    run_sql(db, " rollback");
    assert_true(autocommit(db));
    close_file(db);
}

/* An interrupted change takes its whole transaction with it: so SQLite has it. */
static void a_cancelled_fiber_changes_nothing(void **state)
{
    (void)state;
    struct sqlite3 *db = open_table(0);
    char *message = NULL;
    run_sql(db, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    gn_cancel(gn_fiber_self(), -ECANCELED);
    int r = sqlite3_exec(db, "INSERT INTO t VALUES (1)", NULL, NULL, &message);
    assert_int_equal(r, GN_SQLITE_INTERRUPT);
    assert_string_equal(message, "interrupted");
    ((void (*)(void *))dlsym(library, "sqlite3_free"))(message);
    assert_true(autocommit(db));
    close_file(db);
}

static void a_cancelled_fiber_gets_no_more_rows(void **state)
{
    (void)state;
    struct sqlite3 *db = open_file(":memory:", 0);
    struct sqlite3_stmt *stmt = query(db, SLOW "SELECT x FROM n");
    for (int i = 0; i < 10; i++)
        assert_int_equal(sqlite3_step(stmt), GN_SQLITE_ROW);
    gn_cancel(gn_fiber_self(), -ECANCELED);
    assert_int_equal(sqlite3_step(stmt), GN_SQLITE_INTERRUPT);
    assert_string_equal(errmsg(db), "interrupted");
    assert_int_equal(sqlite3_finalize(stmt), GN_SQLITE_INTERRUPT);
    assert_string_equal(errmsg(db), "interrupted");
    close_file(db);
}

/* ---- callbacks, and SQL that SQLite itself executes ---- */

static pthread_t called_on;
static int calls;

static void note_call(void *context, int argc, void **argv)
{
    (void)context, (void)argc, (void)argv;
    called_on = pthread_self();
    calls++;
}

static void a_connection_with_callbacks_stays_on_its_thread(void **state)
{
    (void)state;
    struct sqlite3 *db = open_file(":memory:", 0);
    calls = 0;
    assert_int_equal(sqlite3_create_function(db, "note", 0, 1 /* UTF-8 */, NULL,
                                             (gn_sqlite_callback *)note_call, NULL,
                                             NULL),
                     GN_SQLITE_OK);
    run_sql(db, "SELECT note()");
    assert_int_equal(calls, 1);
    assert_true(pthread_equal(called_on, pthread_self()));
    close_file(db);
}

static void register_note(void *db)
{
    assert_int_equal(sqlite3_create_function(db, "abs", 1, 1, NULL,
                                             (gn_sqlite_callback *)note_call, NULL,
                                             NULL),
                     GN_SQLITE_OK);
}

static void who_waited_while_a_callback_was_registered_stays_on_the_thread(void **state)
{
    (void)state;
    struct sqlite3 *db = open_file(":memory:", 0);
    struct errand slow = {.db = db, .sql = SLOW "SELECT x FROM n"};
    struct errand next = {.db = db, .sql = "SELECT abs(1)"};
    calls = 0;
    struct gn_fiber *f = go(go_errand, &slow);
    gn_yield();
    go(register_note, db);
    gn_yield();
    go(go_errand, &next);
    gn_yield();
    gn_cancel(f, -ECANCELED);
    assert_eventually(next.ended);
    assert_int_equal(next.result, GN_SQLITE_OK);
    assert_int_equal(calls, 1);
    assert_true(pthread_equal(called_on, pthread_self()));
    assert_eventually(slow.ended);
    close_file(db);
}

/* PRAGMA wal_autocheckpoint registers a hook of SQLite's own. */
static void sqlites_own_callbacks_do_not_count(void **state)
{
    (void)state;
    struct sqlite3 *db = open_table(LONG);
    run_sql(db, "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 1");
    struct errand slow = {.db = db, .sql = SLOW "SELECT x FROM n"};
    struct gn_fiber *f = go(go_errand, &slow);
    let_others_run();
    assert_false(slow.ended);
    gn_cancel(f, -ECANCELED);
    assert_eventually(slow.ended);
    close_file(db);
}

static int use_connection(void *db, int columns, char **values, char **names)
{
    (void)columns, (void)names;
    assert_int_equal(number(db, "SELECT 5"), 5);
    calls += atoi(values[0]);
    return 0;
}

static void the_callback_of_exec_may_use_the_connection(void **state)
{
    (void)state;
    struct sqlite3 *db = open_file(":memory:", 0);
    calls = 0;
    assert_int_equal(sqlite3_exec(db, "VALUES (1), (2)", use_connection, db, NULL),
                     GN_SQLITE_OK);
    assert_int_equal(calls, 3);
    turns = stop_turning = 0;
    go(take_turns, NULL);
    struct sqlite3_stmt *stmt = query(db, "SELECT 1");
    assert_int_equal(count_waits(stmt, 1), 1); /* offloaded again */
    stop_turning = true;
    sqlite3_finalize(stmt);
    close_file(db);
}

static void sql_inside_sqlite_is_made_where_it_is(void **state)
{
    (void)state;
    struct sqlite3 *db = open_file(":memory:", 0);
    run_sql(db,
            "CREATE VIRTUAL TABLE words USING fts5(word);"
            "CREATE VIRTUAL TABLE boxes USING rtree(id, low, high);"
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 500)"
            " INSERT INTO words SELECT 'word ' || x FROM n;"
            "INSERT INTO boxes SELECT rowid, rowid, rowid + 1 FROM words");
    struct sqlite3_stmt *stmt =
        query(db, "SELECT boxes.id FROM words JOIN boxes ON boxes.id = words.rowid"
                  " WHERE words MATCH 'word'");
    for (int i = 0; i < 500; i++)
        assert_int_equal(sqlite3_step(stmt), GN_SQLITE_ROW);
    assert_int_equal(sqlite3_step(stmt), DONE);
    sqlite3_finalize(stmt);
    run_sql(db, "VACUUM");
    close_file(db);
}

/* ---- the ends ---- */

static void exec_runs_every_statement_and_stops_at_the_first_mistake(void **state)
{
    (void)state;
    struct sqlite3 *db = open_file(":memory:", 0);
    char *message = (char *)1;
    int r = sqlite3_exec(db, " ; -- nothing\n", NULL, NULL, &message);
    assert_int_equal(r, GN_SQLITE_OK);
    assert_null(message);
    run_sql(db, "CREATE TABLE t(a); INSERT INTO t VALUES (1); SELECT * FROM t; -- end");
    r = sqlite3_exec(db,
                     "INSERT INTO t VALUES (2); INSERT INTO u VALUES (1); DROP TABLE t",
                     NULL, NULL, &message);
    assert_int_equal(r, 1);
    assert_string_equal(message, "no such table: u");
    ((void (*)(void *))dlsym(library, "sqlite3_free"))(message);
    assert_int_equal(number(db, "SELECT sum(a) FROM t"), 3);
    close_file(db);
}

static void a_connection_that_cannot_be_closed_yet_goes_on(void **state)
{
    (void)state;
    struct sqlite3 *db = open_file(":memory:", 0);
    struct sqlite3_stmt *stmt = query(db, "SELECT 1");
    assert_int_equal(sqlite3_close(db), GN_SQLITE_BUSY);
    turns = stop_turning = 0;
    go(take_turns, NULL);
    assert_int_equal(count_waits(stmt, 1), 1); /* offloaded still */
    stop_turning = true;
    sqlite3_finalize(stmt);
    close_file(db);
    close_file(NULL);
}

static void a_statement_outlives_close_v2(void **state)
{
    (void)state;
    struct sqlite3 *db = open_file(":memory:", 0);
    struct sqlite3_stmt *stmt = query(db, "SELECT 1");
    assert_int_equal(sqlite3_close_v2(db), GN_SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), GN_SQLITE_ROW);
    assert_int_equal(sqlite3_finalize(stmt), GN_SQLITE_OK);
}

static void a_statement_left_half_way_commits_where_nobody_waits(void **state)
{
    (void)state;
    struct sqlite3 *db = open_table(LONG);
    struct sqlite3_stmt *stmt = query(db, "INSERT INTO t VALUES (1), (2) RETURNING a");
    assert_int_equal(sqlite3_step(stmt), GN_SQLITE_ROW);
    turns = stop_turning = 0;
    go(take_turns, NULL);
    assert_int_equal(sqlite3_reset(stmt), GN_SQLITE_OK);
    assert_true(turns > 0);
    stop_turning = true;
    sqlite3_finalize(stmt);
    assert_int_equal(number(db, "SELECT count(*) FROM t"), 2);
    close_file(db);
}

static void nothing_and_mistakes_are_told_as_ever(void **state)
{
    (void)state;
    enum { MISUSE = 21, CANTOPEN = 14 };
    struct sqlite3 *db = NULL;
    struct sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_step(NULL), MISUSE);
    assert_int_equal(sqlite3_reset(NULL), GN_SQLITE_OK);
    assert_int_equal(sqlite3_finalize(NULL), GN_SQLITE_OK);
    assert_int_equal(sqlite3_open_v2("/nowhere/db", &db, 2, NULL), CANTOPEN);
    assert_string_equal(errmsg(db), "unable to open database file");
    assert_int_equal(sqlite3_close(db), GN_SQLITE_OK);
    db = open_file(":memory:", 0);
    assert_int_equal(sqlite3_prepare(db, "nonsense", -1, &stmt, NULL), 1);
    assert_string_equal(errmsg(db), "near \"nonsense\": syntax error");
    assert_int_equal(sqlite3_prepare_v3(db, "SELECT 1;", 3, 0, &stmt, NULL), 1);
    close_file(db);
}

static void callers_are_told_apart(void **state)
{
    (void)state;
    const struct gn_sqlite_image *inside =
        gn_sqlite_image(dlsym(library, "sqlite3_step"));
    const struct gn_sqlite_image *here =
        gn_sqlite_image((void *)callers_are_told_apart);
    assert_true(inside->inside);
    assert_false(here->inside);
    assert_ptr_equal(inside->real, here->real);
    assert_ptr_equal((void *)here->real->sqlite3_step, dlsym(library, "sqlite3_step"));
    assert_true(here->real->offloads);
}

#define file_test(test)                                              \
    {                                                                \
#test, run_on_a_fiber, new_file, remove_file, (void *)(test) \
    }
#define file_test_both_ways(test)                                                   \
    {#test " (on a fiber)", run_on_a_fiber, new_file, remove_file, (void *)(test)}, \
    {                                                                               \
#test " (on a thread)", run_plainly, new_file, remove_file, (void *)(test)  \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        file_test(a_slow_query_lets_the_others_run),
        file_test(quick_rows_are_fetched_in_place_and_give_way_now_and_then),
        file_test(slow_rows_are_fetched_by_the_pool),
        file_test(who_shares_a_busy_connection_waits_as_a_fiber),
        file_test(a_call_without_any_thread_to_offload_to_is_plain),
        file_test(writers_wait_for_a_lock_without_holding_a_thread),
        file_test(schemas_are_waited_for_too),
        file_test(a_commit_waits_for_readers_without_holding_a_thread),
        file_test(a_statement_that_commits_itself_waits_where_it_is),
        file_test(a_checkpoint_waits_where_it_is),
        file_test_both_ways(a_time_out_ends_the_wait),
        file_test_both_ways(a_deadlock_is_told_at_once),
        file_test_both_ways(an_old_snapshot_is_told_at_once),
        file_test(the_pragma_sets_and_tells_the_time_out),
        file_test(a_cancelled_fiber_stops_waiting_for_a_lock),
        file_test(a_cancelled_fiber_may_roll_back_and_close_but_not_go_on),
        file_test(a_cancelled_fiber_changes_nothing),
        file_test(a_cancelled_fiber_gets_no_more_rows),
        file_test(a_connection_with_callbacks_stays_on_its_thread),
        file_test(who_waited_while_a_callback_was_registered_stays_on_the_thread),
        file_test(sqlites_own_callbacks_do_not_count),
        file_test(the_callback_of_exec_may_use_the_connection),
        file_test_both_ways(sql_inside_sqlite_is_made_where_it_is),
        file_test_both_ways(exec_runs_every_statement_and_stops_at_the_first_mistake),
        file_test(a_connection_that_cannot_be_closed_yet_goes_on),
        file_test_both_ways(a_statement_outlives_close_v2),
        file_test(a_statement_left_half_way_commits_where_nobody_waits),
        file_test_both_ways(nothing_and_mistakes_are_told_as_ever),
        file_test_both_ways(callers_are_told_apart),
    };
    return cmocka_run_group_tests(tests, load_library, remove_directory);
}
