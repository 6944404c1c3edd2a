/* Opening and closing a store: one environment for each directory in a process. */
#include "checkpoint.h"
#include "db.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_FILE = 64 << 10, MAP_MORE = 16 << 20, CHECKPOINT_MS = 10000 };

/* Those that are open; protected by the lock, which is held while one opens. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct gn_store *stores;

/* Some milliseconds late, and several times as fast. */
static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

int64_t gn_store_now(const struct gn_store *s)
{
    return s->wall();
}

struct gn_marks *gn_store_board(struct gn_store *s)
{
    return s->marks;
}

/* ---- counting what is there ---- */

static void count_entry(struct gn_store *s, const MDB_val *key, const MDB_val *record)
{
    const unsigned char *at = key->mv_data;
    if (key->mv_size < 3 || (at[0] != 'e' && at[0] != 'l'))
        return;
    struct gn_tally *t = &s->marks->dicts[gn_db_number(at + 1, 2) % GN_MARKS_DICTS];
    int64_t bytes = gn_db_cost(s, key->mv_size, record->mv_size);
    struct gn_item e;
    atomic_fetch_add(&t->bytes, bytes);
    atomic_fetch_add(&s->marks->bytes, bytes);
    if (at[0] != 'e' || gn_db_read_item(record, &e) < 0)
        return;
    atomic_fetch_add(&t->entries, 1);
    if (e.expires)
        atomic_fetch_add(&t->expiring, 1);
}

static int recount(struct gn_store *s)
{
    MDB_cursor *c;
    MDB_val key, record;
    unsigned names = 0;
    struct gn_view *r = gn_read_begin(s);
    if (!r)
        return -EIO;
    int rc = mdb_cursor_open(r->txn, s->dbi, &c);
    if (rc == 0) {
        while ((rc = mdb_cursor_get(c, &key, &record, MDB_NEXT)) == 0) {
            count_entry(s, &key, &record);
            names += *(const char *)key.mv_data == 'n';
        }
        mdb_cursor_close(c);
    }
    gn_read_end(r);
    atomic_store(&s->marks->top, names);
    return rc == MDB_NOTFOUND ? 0 : -EIO;
}

/* ---- the environment ---- */

/* LMDB stores into its lock file through a mapping; so it must be backed. */
static int back_lock_file(struct gn_store *s, bool first)
{
    struct stat st;
    if (!first && fstatat(s->home.dir, "lock.mdb", &st, 0) == 0)
        return 0;
    int fd = gn_home_file(&s->home, "lock.mdb", LOCK_FILE);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static int open_board(struct gn_store *s, const struct gn_store_options *o, bool first,
                      bool *made)
{
    uint64_t limit = o->limit < GN_STORE_LEAST ? GN_STORE_LEAST : o->limit;
    int fd = gn_home_file(&s->home, "marks", gn_marks_size(limit));
    if (fd < 0)
        return fd;
    int r = gn_marks_open(&s->marks, fd, limit, first, made);
    if (r == 0 && *made)
        s->marks->map = 2 * limit + MAP_MORE;
    close(fd);
    return r;
}

static int open_tree(struct gn_store *s)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

/* What a file that ends too early would be found out by is SIGBUS. */
static int check_length(struct gn_store *s)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat st;
    int fd;
    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &stat);
    mdb_env_get_fd(s->env, &fd);
    s->page = stat.ms_psize;
    if (fstat(fd, &st) < 0)
        return errno;
    bool whole = (uint64_t)st.st_size >= (info.me_last_pgno + 1) * (uint64_t)s->page;
    return whole || info.me_last_pgno <= 1 ? 0 : MDB_CORRUPTED;
}

static int open_env(struct gn_store *s)
{
    unsigned flags = MDB_NOTLS | MDB_NOSYNC | MDB_NORDAHEAD;
    if (s->in_memory)
        flags |= MDB_WRITEMAP | MDB_NOMEMINIT;
    int rc = mdb_env_create(&s->env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(s->env, s->marks->map);
    if (rc == 0)
        rc = mdb_env_open(s->env, s->home.path, flags, 0600);
    if (rc == 0)
        rc = check_length(s);
    if (rc == 0)
        rc = mdb_reader_check(s->env, NULL);
    return rc == 0 ? open_tree(s) : rc;
}

static int explain(char *error, size_t room, const char *path, const char *why, int r)
{
    snprintf(error, room, "the shared store in '%s' cannot be opened: %s", path, why);
    return r;
}

/* In a place that is open, kept from the others. */
static int open_inside(struct gn_store *s, const struct gn_store_options *o, bool first,
                       char *error, size_t room)
{
    bool made = false;
    int r = 0, rc;
    if (first && !s->in_memory)
        r = s->past = gn_checkpoint_restore(&s->home);
    if (r >= 0)
        r = back_lock_file(s, first);
    if (r == 0)
        r = open_board(s, o, first, &made);
    if (r < 0)
        return explain(error, room, o->path, strerror(-r), r);
    rc = open_env(s);
    if (rc != 0)
        return explain(error, room, o->path, mdb_strerror(rc), rc > 0 ? -rc : -EIO);
    r = made ? recount(s) : 0;
    if (r == 0 && s->past != GN_PAST_CLEAN)
        gn_checkpoint_make(s,
                           false); /* what lies in the page cache is not lost later */
    return r < 0 ? explain(error, room, o->path, "it is damaged", r) : 0;
}

static void close_inside(struct gn_store *s)
{
    for (int i = 0; i < GN_READERS; i++)
        if (s->readers[i].txn)
            mdb_txn_abort(s->readers[i].txn);
    if (s->env)
        mdb_env_close(s->env);
    if (s->marks)
        gn_marks_close(s->marks);
}

/* ---- life ---- */

static struct gn_store *find(const char *path)
{
    struct stat st;
    struct gn_store *s = stores;
    if (stat(path, &st) < 0)
        return NULL;
    while (s && (s->device != st.st_dev || s->inode != st.st_ino))
        s = s->next;
    return s;
}

static struct gn_store *store_new(const struct gn_store_options *o)
{
    struct gn_store *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->refs = 1;
    s->in_memory = o->in_memory;
    s->wall = o->wall ? o->wall : wall_ms;
    s->checkpoint_ms = o->checkpoint_ms ? o->checkpoint_ms : CHECKPOINT_MS;
    s->random = (uint64_t)wall_ms() * 2654435761u + (uint64_t)getpid();
    return s;
}

static int open_new(struct gn_store **out, const struct gn_store_options *o,
                    char *error, size_t room)
{
    bool first = false;
    struct stat st;
    struct gn_store *s = store_new(o);
    if (!s)
        return explain(error, room, o->path, strerror(ENOMEM), -ENOMEM);
    int r = gn_home_open(&s->home, o->path, &first);
    if (r < 0) {
        free(s);
        return explain(error, room, o->path, strerror(-r), r);
    }
    fstat(s->home.dir, &st);
    s->device = st.st_dev;
    s->inode = st.st_ino;
    r = open_inside(s, o, first, error, room);
    gn_home_settle(&s->home);
    if (r == 0) {
        s->next = stores;
        *out = stores = s;
        return 0;
    }
    close_inside(s);
    gn_home_close(&s->home);
    free(s);
    return r;
}

int gn_store_open(struct gn_store **out, const struct gn_store_options *o, char *error,
                  size_t room)
{
    int r = 0;
    *out = NULL;
    pthread_mutex_lock(&lock);
    struct gn_store *s = find(o->path);
    if (s) {
        s->refs++;
        *out = s;
    } else {
        r = open_new(out, o, error, room);
    }
    pthread_mutex_unlock(&lock);
    return r;
}

/* The copy is made again too: it is to hold what is safe by now. */
static void save_all(struct gn_store *s)
{
    bool saved = atomic_load(&s->marks->commits) == atomic_load(&s->marks->saved);
    if ((saved || gn_checkpoint_make(s, false) == 0) && mdb_env_sync(s->env, 1) == 0)
        gn_checkpoint_clean(&s->home);
}

static void close_last(struct gn_store *s)
{
    gn_watches_free(atomic_load(&s->watches));
    gn_keeper_free(atomic_load(&s->keeper));
    bool alone = gn_home_leave(&s->home);
    if (alone && !s->in_memory)
        save_all(s);
    close_inside(s);
    gn_home_close(&s->home);
    free(s);
}

void gn_store_close(struct gn_store *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&lock);
    bool last = --s->refs == 0;
    if (last) {
        struct gn_store **p = &stores;
        while (*p != s)
            p = &(*p)->next;
        *p = s->next;
        close_last(s);
    }
    pthread_mutex_unlock(&lock);
}

const char *gn_store_note(const struct gn_store *s)
{
    if (s->past == GN_PAST_RESTORED)
        return "the power was cut: the shared store is as its last checkpoint was";
    if (s->past == GN_PAST_SET_ASIDE)
        return "the power was cut before the first checkpoint: the shared store is "
               "empty, "
               "what was there is in data.mdb.old";
    return NULL;
}

_Atomic(struct gn_watches *) *gn_store_watches(struct gn_store *s)
{
    return &s->watches;
}
