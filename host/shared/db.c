#include "db.h"

#include "../sched/sanitizer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROOM_STEP = 1 << 20, ASK_AGAIN = 256 };

int gn_db_errno(int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return -ENOSPC;
    case ENOMEM:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

/* ---- write transactions ---- */

static size_t used(const struct gn_store *s)
{
    MDB_envinfo info;
    mdb_env_info(s->env, &info);
    return (info.me_last_pgno + 1) * s->page;
}

/* Whether the file has room up to there; filesystems that cannot tell are only on disk.
 */
static bool extend(struct gn_store *s, size_t end)
{
    int fd;
    if (end > s->marks->map)
        end = s->marks->map;
    mdb_env_get_fd(s->env, &fd);
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)end) < 0 && errno != EOPNOTSUPP &&
        errno != ENOSYS)
        return false;
    atomic_store(&s->marks->room, (long long)end);
    return true;
}

/* The disk is full: what there is must do, so that as much is removed as is written.
 * The file never shrinks, but what was removed is used again. On disk pwrite(2) tells
 * when there is none. */
static int make_do(struct gn_store *s, size_t end)
{
    struct gn_marks *b = s->marks;
    long long bytes = atomic_load(&b->bytes);
    if (atomic_load(&b->cap) == (long long)b->limit)
        atomic_store(&b->cap, bytes - bytes / 8);
    bool there =
        !s->in_memory || end <= (size_t)atomic_load(&b->room) || extend(s, end);
    return there ? 0 : -ENOSPC;
}

/* Has the kernel back the next bytes of the file: in memory a store to one that is not
 * would raise SIGBUS when /dev/shm is full. Always more than are needed at present. */
static int back(struct gn_store *s, size_t bytes)
{
    struct gn_marks *b = s->marks;
    size_t end = used(s) + bytes, more = end + GN_SLACK_PUT;
    bool full = atomic_load(&b->cap) != (long long)b->limit;
    if (more <= (size_t)atomic_load(&b->room) && !full)
        return 0;
    if (full && s->writes % ASK_AGAIN != 0)
        return make_do(s, end);
    if (!extend(s, (more + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP))
        return make_do(s, end);
    atomic_store(&b->cap, (long long)b->limit);
    return 0;
}

/* A change that was committed by who was killed before it could tell. */
static void tell_unfinished(struct gn_marks *b)
{
    unsigned stripe = atomic_load(&b->committing);
    if (stripe > 0)
        gn_marks_tell(b, stripe - 1);
}

int gn_change_begin(struct gn_change *c, struct gn_store *s, unsigned stripe,
                    size_t room)
{
    *c = (struct gn_change){.store = s, .stripe = stripe, .now = gn_store_now(s)};
    int r = gn_db_errno(mdb_txn_begin(s->env, NULL, 0, &c->txn));
    if (r < 0)
        return r;
    __tsan_acquire(s->env); /* of who has read the pages that are used again */
    tell_unfinished(s->marks);
    c->version = mdb_txn_id(c->txn);
    s->writes++;
    r = back(s, room);
    if (r < 0)
        gn_change_abort(c);
    return r;
}

static void settle(struct gn_marks *b, const struct gn_delta *d)
{
    struct gn_tally *t = &b->dicts[d->dict];
    atomic_fetch_add(&t->entries, d->entries);
    atomic_fetch_add(&t->bytes, d->bytes);
    atomic_fetch_add(&b->bytes, d->bytes);
    if (d->expiring)
        atomic_fetch_add(&t->expiring, d->expiring);
    if (d->evicted)
        atomic_fetch_add(&t->evicted, d->evicted);
    if (d->expired)
        atomic_fetch_add(&t->expired, d->expired);
}

static void tell_others(struct gn_change *c)
{
    for (unsigned i = 0; i < GN_MARKS_STRIPES; i++)
        if (c->others[i / 8] & 1 << i % 8)
            gn_marks_tell(c->store->marks, i);
}

int gn_change_commit(struct gn_change *c)
{
    struct gn_marks *b = c->store->marks;
    unsigned mark = c->stripe < GN_MARKS_STRIPES ? c->stripe + 1 : 0;
    if (mark)
        atomic_store(&b->committing, mark);
    __tsan_release(c->store->env);
    int r = gn_db_errno(mdb_txn_commit(c->txn));
    if (r == -EIO && atomic_load(&b->cap) != (long long)b->limit)
        r = -ENOSPC; /* of a write that the full disk has cut short */
    for (unsigned i = 0; r == 0 && i < c->count; i++)
        settle(b, &c->deltas[i]);
    if (r == 0 && !c->store->in_memory)
        atomic_fetch_add(&b->commits, 1);
    if (mark && r == 0)
        gn_marks_tell(b, c->stripe);
    if (c->any_others && r == 0)
        tell_others(c);
    if (mark)
        atomic_compare_exchange_strong(&b->committing, &mark, 0);
    return r;
}

void gn_change_abort(struct gn_change *c)
{
    mdb_txn_abort(c->txn);
}

struct gn_delta *gn_change_delta(struct gn_change *c, unsigned dict)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->deltas[i].dict == dict)
            return &c->deltas[i];
    if (c->count == GN_DELTAS)
        return NULL;
    c->deltas[c->count] = (struct gn_delta){.dict = dict};
    return &c->deltas[c->count++];
}

/* ---- read transactions ---- */

/* Each thread begins to look at a place of its own. */
static struct gn_view *claim(struct gn_store *s)
{
    static atomic_uint threads;
    static _Thread_local unsigned mine;
    if (mine == 0)
        mine = atomic_fetch_add(&threads, 1) % GN_READERS + 1;
    for (unsigned i = mine;; i++) {
        struct gn_view *r = &s->readers[i % GN_READERS];
        if (!atomic_exchange_explicit(&r->busy, true, memory_order_acquire))
            return r;
        if (i - mine == GN_READERS)
            sched_yield();
    }
}

struct gn_view *gn_read_begin(struct gn_store *s)
{
    struct gn_view *r = claim(s);
    int rc = r->txn ? mdb_txn_renew(r->txn)
                    : mdb_txn_begin(s->env, NULL, MDB_RDONLY, &r->txn);
    __tsan_acquire(s->env); /* of who has written what is read */
    if (rc == 0)
        return r;
    atomic_store(&r->busy, false);
    return NULL;
}

void gn_read_end(struct gn_view *r)
{
    __tsan_release(mdb_txn_env(r->txn));
    mdb_txn_reset(r->txn);
    atomic_store_explicit(&r->busy, false, memory_order_release);
}

/* ---- keys ---- */

static unsigned char *put_number(unsigned char *at, uint64_t n, size_t bytes)
{
    for (size_t i = bytes; i-- > 0; n >>= 8)
        at[i] = (unsigned char)n;
    return at + bytes;
}

uint64_t gn_db_number(const void *from, size_t bytes)
{
    const unsigned char *at = from;
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | at[i];
    return n;
}

uint64_t gn_db_hash(const struct gn_key *k)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ k->dict;
    for (size_t i = 0; i < k->size; i++)
        h = (h ^ (unsigned char)k->name[i]) * UINT64_C(0x100000001b3);
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

static unsigned char *begin_key(struct gn_db_key *out, char space, unsigned dict)
{
    out->data[0] = (unsigned char)space;
    return put_number(out->data + 1, dict, 2);
}

void gn_db_hash_key(struct gn_db_key *out, unsigned dict, uint64_t hash)
{
    put_number(begin_key(out, 'e', dict), hash, 8);
    out->size = GN_KEY_HEAD;
}

void gn_db_entry_key(struct gn_db_key *out, const struct gn_key *k)
{
    gn_db_hash_key(out, k->dict, gn_db_hash(k));
    memcpy(out->data + GN_KEY_HEAD, k->name, k->size);
    out->size += k->size;
}

void gn_db_garbage_key(struct gn_db_key *out, unsigned dict, uint64_t list)
{
    put_number(begin_key(out, 'g', dict), list, 8);
    out->size = GN_KEY_HEAD;
}

void gn_db_list_key(struct gn_db_key *out, unsigned dict, uint64_t list, uint64_t place)
{
    put_number(put_number(begin_key(out, 'l', dict), list, 8), place, 8);
    out->size = GN_KEY_HEAD + 8;
}

bool gn_db_is_entry(const MDB_val *key, unsigned dict)
{
    const unsigned char *at = key->mv_data;
    return key->mv_size >= GN_KEY_HEAD && at[0] == 'e' &&
           gn_db_number(at + 1, 2) == dict;
}

/* ---- records ---- */

enum { HEAD = 17 }; /* bytes of an entry before its value: version, expiry, kind */

int gn_db_read_value(const char *at, size_t n, struct gn_value *v)
{
    if (n < 1)
        return -EIO;
    *v = (struct gn_value){
        .kind = (enum gn_value_kind) * at, .data = at + 1, .size = n - 1};
    bool whole = v->kind == GN_LIST ? v->size == sizeof(struct gn_list_head)
                 : v->kind == GN_INTEGER || v->kind == GN_NUMBER
                     ? v->size == sizeof v->integer
                     : v->kind == GN_BYTES || v->kind == GN_PACKED;
    if (!whole)
        return -EIO;
    if (v->kind == GN_INTEGER || v->kind == GN_NUMBER)
        memcpy(&v->integer, v->data, sizeof v->integer);
    if (v->kind == GN_LIST) {
        struct gn_list_head h;
        gn_list_read(v, &h);
        v->integer = (int64_t)(h.last - h.first);
    }
    return 0;
}

size_t gn_db_value_size(const struct gn_value *v)
{
    bool number = v->kind == GN_INTEGER || v->kind == GN_NUMBER;
    return 1 + (number ? sizeof v->integer : v->size);
}

void gn_db_write_value(char *at, const struct gn_value *v)
{
    bool number = v->kind == GN_INTEGER || v->kind == GN_NUMBER;
    *at = (char)v->kind;
    if (number)
        memcpy(at + 1, &v->integer, sizeof v->integer);
    else if (v->size > 0)
        memcpy(at + 1, v->data, v->size);
}

int gn_db_read_item(const MDB_val *record, struct gn_item *e)
{
    const char *at = record->mv_data;
    if (record->mv_size < HEAD)
        return -EIO;
    memcpy(&e->version, at, 8);
    memcpy(&e->expires, at + 8, 8);
    return gn_db_read_value(at + 16, record->mv_size - 16, &e->value);
}

size_t gn_db_item_size(const struct gn_item *e)
{
    return 16 + gn_db_value_size(&e->value);
}

void gn_db_write_item(void *out, const struct gn_item *e)
{
    char *at = out;
    memcpy(at, &e->version, 8);
    memcpy(at + 8, &e->expires, 8);
    gn_db_write_value(at + 16, &e->value);
}

/* Small ones share pages, which are two thirds full; large ones have whole pages. */
int64_t gn_db_cost(const struct gn_store *s, size_t key, size_t record)
{
    size_t n = 10 + key + record;
    if (n <= s->page / 2)
        return (int64_t)(n + n / 2);
    return (int64_t)((record + 16 + s->page - 1) / s->page * s->page + key + 32);
}

int gn_value_keep(struct gn_value *v, struct gn_scratch *scratch)
{
    if (v->kind != GN_BYTES && v->kind != GN_PACKED)
        return 0;
    if (scratch->room < v->size || !scratch->data) {
        size_t room = v->size < 256 ? 256 : v->size;
        char *data = realloc(scratch->data, room);
        if (!data)
            return -ENOMEM;
        *scratch = (struct gn_scratch){data, room};
    }
    if (v->size > 0)
        memcpy(scratch->data, v->data, v->size);
    v->data = scratch->data;
    return 0;
}
