#include "db.h"

#include "checkpoint.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE = 8, EVICT_MOST = 32, TIDY_EVERY = 16, TIDY_SAMPLE = 16, RETRIES = 8 };
enum { CHECK_READERS_EVERY = 4096 };

static unsigned stripe_of(uint64_t hash)
{
    return (unsigned)(hash >> 40) % GN_MARKS_STRIPES;
}

unsigned gn_store_stripe(const struct gn_key *k)
{
    return stripe_of(gn_db_hash(k));
}

static uint32_t tick_of(int64_t now)
{
    return gn_marks_tick(now);
}

/* ---- reading ---- */

/* The entry of a key in a transaction; one without a version where there is none. */
static int look(struct gn_store *s, MDB_txn *txn, struct gn_db_key *k, int64_t now,
                struct gn_item *e)
{
    MDB_val key = gn_db_val(k), record;
    int rc = mdb_get(txn, s->dbi, &key, &record);
    *e = (struct gn_item){0};
    if (rc == MDB_NOTFOUND)
        return 0;
    int r = rc == 0 ? gn_db_read_item(&record, e) : gn_db_errno(rc);
    if (r == 0 && gn_db_expired(e, now ? now : gn_store_now(s)))
        *e = (struct gn_item){0};
    return r;
}

int gn_store_get(struct gn_store *s, const struct gn_key *k, struct gn_item *e,
                 struct gn_scratch *scratch)
{
    struct gn_db_key key;
    if (k->size > GN_STORE_KEY)
        return -ENAMETOOLONG;
    gn_db_entry_key(&key, k);
    struct gn_view *reader = gn_read_begin(s);
    if (!reader)
        return -EIO;
    int r = look(s, reader->txn, &key, 0, e);
    if (r == 0)
        r = gn_value_keep(&e->value, scratch);
    gn_read_end(reader);
    if (e->value.kind == GN_LIST)
        e->value.data = NULL;
    if (r == 0 && e->version)
        gn_marks_use(s->marks, gn_db_number(key.data + 3, 8), tick_of(gn_store_now(s)));
    return r;
}

/* ---- entries in a transaction ---- */

int gn_item_remove(struct gn_change *c, const MDB_val *key, const struct gn_item *e)
{
    struct gn_store *s = c->store;
    unsigned dict = (unsigned)gn_db_number((const char *)key->mv_data + 1, 2);
    struct gn_delta *d = gn_change_delta(c, dict);
    if (!d)
        return -EAGAIN;
    d->entries--;
    d->bytes -= gn_db_cost(s, key->mv_size, gn_db_item_size(e));
    d->expiring -= e->expires != 0;
    unsigned stripe = stripe_of(gn_db_number((const char *)key->mv_data + 3, 8));
    c->others[stripe / 8] |= (unsigned char)(1 << stripe % 8);
    c->any_others |= stripe != c->stripe;
    int r = e->value.kind == GN_LIST ? gn_list_drop(c, dict, &e->value) : 0;
    MDB_val copy = *key;
    return r < 0 ? r : gn_db_errno(mdb_del(c->txn, s->dbi, &copy, NULL));
}

int gn_item_put(struct gn_change *c, struct gn_db_key *k, const struct gn_item *e,
                const struct gn_item *was)
{
    struct gn_store *s = c->store;
    MDB_val key = gn_db_val(k), record = {gn_db_item_size(e), NULL};
    struct gn_delta *d = gn_change_delta(c, (unsigned)gn_db_number(k->data + 1, 2));
    if (!d)
        return -EAGAIN;
    d->bytes += gn_db_cost(s, k->size, record.mv_size);
    d->expiring += e->expires != 0;
    d->entries++;
    if (was) {
        d->bytes -= gn_db_cost(s, k->size, gn_db_item_size(was));
        d->expiring -= was->expires != 0;
        d->entries--;
    }
    int r = gn_db_errno(mdb_put(c->txn, s->dbi, &key, &record, MDB_RESERVE));
    if (r < 0)
        return r;
    gn_db_write_item(record.mv_data, e);
    gn_marks_use(s->marks, gn_db_number(k->data + 3, 8), tick_of(c->now));
    return 0;
}

/* ---- making room ---- */

static uint64_t random_of(struct gn_store *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    return s->random ^= s->random << 17;
}

/* A dictionary to take from, the more probably the larger it is; -1: there is none. */
static int any_victim(struct gn_store *s)
{
    struct gn_marks *b = s->marks;
    unsigned top = atomic_load(&b->top);
    uint64_t sum = 0;
    int found = -1;
    for (unsigned i = 0; i < top; i++) {
        const struct gn_tally *t = &b->dicts[i];
        long long bytes = atomic_load(&t->bytes);
        if (atomic_load(&t->strict) || bytes <= 0 || atomic_load(&t->entries) <= 0)
            continue;
        sum += (uint64_t)bytes;
        if (random_of(s) % sum < (uint64_t)bytes)
            found = (int)i;
    }
    return found;
}

/* Some entries that lie beside each other. */
struct sample {
    MDB_cursor *cursor;
    unsigned dict;
    MDB_val key;
    struct gn_item entry;
};

/* The next one; the first of the dictionary after its last. */
static int sample_next(struct sample *m, bool first, uint64_t random)
{
    struct gn_db_key k;
    MDB_val record;
    int rc = MDB_NOTFOUND;
    if (!first)
        rc = mdb_cursor_get(m->cursor, &m->key, &record, MDB_NEXT);
    for (int i = first ? 0 : 1; i < 2; i++) {
        if (rc == 0 && gn_db_is_entry(&m->key, m->dict))
            break;
        gn_db_hash_key(&k, m->dict, i == 0 ? random : 0);
        m->key = gn_db_val(&k);
        rc = mdb_cursor_get(m->cursor, &m->key, &record, MDB_SET_RANGE);
    }
    if (rc != 0 || !gn_db_is_entry(&m->key, m->dict))
        return rc == MDB_NOTFOUND || rc == 0 ? -ENOENT : gn_db_errno(rc);
    return gn_db_read_item(&record, &m->entry);
}

/* How long an entry has not been used, in ticks; an expired one for ever. */
static uint32_t idle(const struct gn_change *c, const struct sample *m)
{
    uint64_t hash = gn_db_number((const char *)m->key.mv_data + 3, 8);
    if (gn_db_expired(&m->entry, c->now))
        return UINT32_MAX;
    return tick_of(c->now) - gn_marks_used(c->store->marks, hash);
}

static bool same_key(const MDB_val *a, const MDB_val *b)
{
    return b && a->mv_size == b->mv_size &&
           memcmp(a->mv_data, b->mv_data, a->mv_size) == 0;
}

/* Finds the one of a few entries that has not been used for longest. Its key is copied.
 * Returns 0 or -ENOENT. */
static int oldest(struct gn_change *c, struct sample *m, const MDB_val *spare,
                  struct gn_db_key *key)
{
    uint32_t most = 0;
    int r = 0;
    uint64_t random = random_of(c->store);
    key->size = 0;
    for (int i = 0; i < SAMPLE && (r = sample_next(m, i == 0, random)) == 0; i++) {
        uint32_t age = idle(c, m);
        if (same_key(&m->key, spare) || (key->size > 0 && age <= most))
            continue;
        most = age;
        key->size = m->key.mv_size;
        memcpy(key->data, m->key.mv_data, key->size);
    }
    return key->size > 0 ? 0 : r < 0 ? r : -ENOENT;
}

static int evict_one(struct gn_change *c, struct sample *m, const MDB_val *spare)
{
    struct gn_db_key k;
    MDB_val record;
    struct gn_item e;
    int r = oldest(c, m, spare, &k);
    if (r < 0)
        return r;
    MDB_val key = gn_db_val(&k);
    r = gn_db_errno(mdb_get(c->txn, c->store->dbi, &key, &record));
    if (r == 0)
        r = gn_db_read_item(&record, &e);
    if (r < 0)
        return r;
    bool expired = gn_db_expired(&e, c->now);
    if ((r = gn_item_remove(c, &key, &e)) < 0)
        return r;
    struct gn_delta *d = gn_change_delta(c, m->dict);
    d->evicted += !expired;
    d->expired += expired;
    c->removals++;
    return 0;
}

static int64_t bytes_of(const struct gn_change *c)
{
    int64_t n = atomic_load(&c->store->marks->bytes);
    for (unsigned i = 0; i < c->count; i++)
        n += c->deltas[i].bytes;
    return n;
}

int gn_make_room(struct gn_change *c, const MDB_val *spare, int64_t bytes)
{
    struct sample m = {0};
    int64_t limit = atomic_load(&c->store->marks->cap);
    if (bytes <= 0 || bytes_of(c) + bytes <= limit)
        return 0;
    int r = gn_list_sweep(c, EVICT_MOST);
    int victim = bytes <= limit ? any_victim(c->store) : -1;
    if (r < 0 || victim < 0)
        return r < 0 ? r : c->removals ? -EAGAIN : -ENOMEM;
    m.dict = (unsigned)victim;
    if ((r = gn_db_errno(mdb_cursor_open(c->txn, c->store->dbi, &m.cursor))) < 0)
        return r;
    while (r == 0 && bytes_of(c) + bytes > limit)
        r = c->removals >= EVICT_MOST ? -EAGAIN : evict_one(c, &m, spare);
    mdb_cursor_close(m.cursor);
    if (r == -ENOENT)
        return c->removals ? -EAGAIN : -ENOMEM;
    return r;
}

/* The database itself is full, by what readers still see or by its disk. Returns
 * whether that has changed. */
static bool relieve(struct gn_store *s)
{
    struct gn_change c;
    int dead = 0;
    mdb_reader_check(s->env, &dead);
    if (gn_change_begin(&c, s, GN_MARKS_STRIPES, GN_SLACK_REMOVE) < 0)
        return dead > 0;
    int64_t wanted = atomic_load(&s->marks->cap) - bytes_of(&c) + (64 << 10);
    gn_make_room(&c, NULL, wanted > 0 ? wanted : 1);
    if (c.removals > 0)
        return gn_change_commit(&c) == 0;
    gn_change_abort(&c);
    return dead > 0;
}

/* Now and then a write removes what has expired of a random few. */
static int tidy(struct gn_change *c, unsigned dict)
{
    struct sample m = {.dict = dict};
    struct gn_store *s = c->store;
    if (s->writes % CHECK_READERS_EVERY == 0)
        mdb_reader_check(s->env, NULL);
    if (s->writes % TIDY_EVERY != 0)
        return 0;
    int r = gn_list_sweep(c, TIDY_SAMPLE);
    if (r < 0 || atomic_load(&s->marks->dicts[dict].expiring) <= 0)
        return r;
    if ((r = gn_db_errno(mdb_cursor_open(c->txn, s->dbi, &m.cursor))) < 0)
        return r;
    uint64_t random = random_of(s);
    for (int i = 0; i < TIDY_SAMPLE && r == 0; i++) {
        r = sample_next(&m, i == 0, random);
        if (r < 0 || !gn_db_expired(&m.entry, c->now))
            continue;
        struct gn_db_key k = {.size = m.key.mv_size};
        memcpy(k.data, m.key.mv_data, k.size);
        MDB_val key = gn_db_val(&k);
        r = gn_item_remove(c, &key, &m.entry);
        gn_change_delta(c, dict)->expired += r == 0;
        break; /* the cursor stands elsewhere */
    }
    mdb_cursor_close(m.cursor);
    return r == -ENOENT ? 0 : r;
}

/* ---- changing ---- */

static int attempt(struct gn_store *s, const struct gn_key *k, struct gn_db_key *key,
                   size_t bytes, gn_work work, void *arg)
{
    struct gn_change c;
    struct gn_item present;
    size_t room = bytes > 0 ? GN_SLACK_PUT : GN_SLACK_REMOVE;
    if (bytes > s->page)
        room += bytes;
    int r = gn_change_begin(&c, s, gn_store_stripe(k), room);
    if (r < 0)
        return r;
    r = tidy(&c, k->dict);
    if (r == 0)
        r = look(s, c.txn, key, c.now, &present);
    int verdict = r < 0 ? r : work(&c, key, k->dict, &present, arg);
    bool keep = verdict > GN_LEAVE || (verdict == -EAGAIN && c.removals > 0);
    if (keep)
        r = gn_change_commit(&c);
    else
        gn_change_abort(&c);
    return keep && r < 0 ? r : verdict;
}

/* -EAGAIN from attempt() is more to be evicted; of an edit it is -EALREADY. */
int gn_store_work(struct gn_store *s, const struct gn_key *k, size_t bytes,
                  gn_work work, void *arg)
{
    struct gn_db_key key;
    int r, full = 0;
    if (k->size > GN_STORE_KEY)
        return -ENAMETOOLONG;
    gn_db_entry_key(&key, k);
    for (;;) {
        r = attempt(s, k, &key, bytes, work, arg);
        if (r == -ENOSPC && (++full > RETRIES || !relieve(s)))
            return -ENOMEM;
        if (r != -ENOSPC && r != -EAGAIN)
            break;
    }
    if (r > GN_LEAVE && !s->in_memory)
        gn_keeper_note(s);
    return r;
}

struct edit {
    gn_edit fn;
    void *arg;
};

/* Data that lie in the database move when something else is changed there. */
static int put(struct gn_change *c, struct gn_db_key *k, struct gn_item *next,
               const struct gn_item *present)
{
    struct gn_scratch copy = {0};
    struct gn_store *s = c->store;
    struct gn_list_head head;
    MDB_val key = gn_db_val(k);
    int64_t bytes = gn_db_cost(s, k->size, gn_db_item_size(next));
    int r = 0;
    if (present->version)
        bytes -= gn_db_cost(s, k->size, gn_db_item_size(present));
    if (next->value.kind == GN_LIST) {
        memcpy(&head, next->value.data, sizeof head);
        next->value.data = (const char *)&head;
    } else if (next->value.data == present->value.data) {
        r = gn_value_keep(&next->value, &copy);
    }
    if (r == 0)
        r = gn_make_room(c, &key, bytes);
    if (r == 0 && present->value.kind == GN_LIST && next->value.kind != GN_LIST)
        r = gn_list_drop(
            c, gn_change_delta(c, (unsigned)gn_db_number(k->data + 1, 2))->dict,
            &present->value);
    if (r == 0)
        r = gn_item_put(c, k, next, present->version ? present : NULL);
    free(copy.data);
    return r < 0 ? r : GN_PUT;
}

static int work_edit(struct gn_change *c, struct gn_db_key *k, unsigned dict,
                     const struct gn_item *present, void *arg)
{
    struct edit *edit = arg;
    struct gn_item next = *present;
    int r = edit->fn(present, &next, edit->arg);
    (void)dict;
    if (r == GN_PUT) {
        next.version = c->version;
        return put(c, k, &next, present);
    }
    if (r == GN_REMOVE && !present->version)
        return GN_LEAVE;
    if (r == GN_REMOVE) {
        MDB_val key = gn_db_val(k);
        int removed = gn_item_remove(c, &key, present);
        return removed < 0 ? removed : GN_REMOVE;
    }
    return r == -EAGAIN ? -EALREADY : r;
}

static int edit_sized(struct gn_store *s, const struct gn_key *k, size_t bytes,
                      gn_edit fn, void *arg)
{
    struct edit edit = {fn, arg};
    int r = gn_store_work(s, k, bytes, work_edit, &edit);
    return r == -EALREADY ? -EAGAIN : r;
}

int gn_store_edit(struct gn_store *s, const struct gn_key *k, gn_edit fn, void *arg)
{
    return edit_sized(s, k, 1, fn, arg);
}

struct set {
    const struct gn_value *value;
    int64_t expires;
    enum gn_when when;
    uint64_t version;
};

static int edit_set(const struct gn_item *present, struct gn_item *next, void *arg)
{
    const struct set *set = arg;
    if (set->when == GN_IF_ABSENT && present->version)
        return -EEXIST;
    if (set->when == GN_PRESENT && !present->version)
        return -ENOENT;
    if (set->when == GN_VERSION && present->version != set->version)
        return -EAGAIN;
    if (set->value->kind == GN_NONE)
        return GN_REMOVE;
    next->value = *set->value;
    if (set->expires != GN_KEEP_EXPIRY)
        next->expires = set->expires;
    return GN_PUT;
}

int gn_store_set(struct gn_store *s, const struct gn_key *k, const struct gn_value *v,
                 int64_t expires, enum gn_when when, uint64_t version)
{
    struct set set = {v, expires, when, version};
    size_t bytes = v->kind == GN_NONE ? 0 : gn_db_value_size(v);
    int r = edit_sized(s, k, bytes, edit_set, &set);
    return r < 0 ? r : 0;
}

static int edit_remove(const struct gn_item *present, struct gn_item *next, void *arg)
{
    (void)present, (void)next, (void)arg;
    return GN_REMOVE;
}

int gn_store_delete(struct gn_store *s, const struct gn_key *k)
{
    int r = edit_sized(s, k, 0, edit_remove, NULL);
    return r < 0 ? r : r == GN_REMOVE;
}

struct sum {
    const struct gn_value *by, *init;
    int64_t expires;
    struct gn_value *out;
};

static double as_number(const struct gn_value *v)
{
    return v->kind == GN_INTEGER ? (double)v->integer : v->number;
}

static int edit_incr(const struct gn_item *present, struct gn_item *next, void *arg)
{
    const struct sum *sum = arg;
    struct gn_value *out = sum->out;
    const struct gn_value *from = present->version ? &present->value : sum->init;
    if (!from || from->kind == GN_NONE)
        return -ENOENT;
    if (from->kind != GN_INTEGER && from->kind != GN_NUMBER)
        return -EINVAL;
    *out = (struct gn_value){.kind = GN_INTEGER};
    if (from->kind == GN_NUMBER || sum->by->kind == GN_NUMBER) {
        out->kind = GN_NUMBER;
        out->number = as_number(from) + as_number(sum->by);
    } else if (__builtin_add_overflow(from->integer, sum->by->integer, &out->integer)) {
        return -ERANGE;
    }
    next->value = *out;
    if (!present->version)
        next->expires = sum->expires;
    return GN_PUT;
}

int gn_store_incr(struct gn_store *s, const struct gn_key *k, const struct gn_value *by,
                  const struct gn_value *init, int64_t expires, struct gn_value *out)
{
    struct sum sum = {by, init, expires, out};
    int r = gn_store_edit(s, k, edit_incr, &sum);
    return r < 0 ? r : 0;
}

static int edit_expire(const struct gn_item *present, struct gn_item *next, void *arg)
{
    if (!present->version)
        return -ENOENT;
    next->expires = *(const int64_t *)arg;
    return GN_PUT;
}

int gn_store_expire(struct gn_store *s, const struct gn_key *k, int64_t expires)
{
    int r = gn_store_edit(s, k, edit_expire, &expires);
    return r < 0 ? r : 0;
}

/* ---- dictionaries ---- */

static int name_in(struct gn_change *c, MDB_val *key)
{
    uint16_t number = (uint16_t)atomic_load(&c->store->marks->top);
    MDB_val record = {sizeof number, &number}, there;
    int rc = mdb_get(c->txn, c->store->dbi, key, &there);
    if (rc == 0 && there.mv_size == sizeof number) {
        memcpy(&number, there.mv_data, sizeof number);
        return number;
    }
    if (rc != MDB_NOTFOUND)
        return rc == 0 ? -EIO : gn_db_errno(rc);
    if (number >= GN_MARKS_DICTS)
        return -EMFILE;
    int r = gn_db_errno(mdb_put(c->txn, c->store->dbi, key, &record, 0));
    return r < 0 ? r : number;
}

int gn_store_dict(struct gn_store *s, const char *name, size_t n, bool strict)
{
    struct gn_change c;
    char data[1 + GN_STORE_NAME] = "n";
    if (n > GN_STORE_NAME)
        return -ENAMETOOLONG;
    memcpy(data + 1, name, n);
    MDB_val key = {1 + n, data};
    int r = gn_change_begin(&c, s, GN_MARKS_STRIPES, GN_SLACK_PUT);
    if (r < 0)
        return r == -ENOSPC ? -ENOMEM : r;
    int number = name_in(&c, &key);
    /* top goes up before others can see the name */
    if (number >= 0 && (unsigned)number >= atomic_load(&s->marks->top))
        atomic_store(&s->marks->top, (unsigned)number + 1);
    if (number >= 0)
        r = gn_change_commit(&c);
    else
        gn_change_abort(&c);
    if (number < 0 || r < 0)
        return number < 0 ? number : r;
    atomic_store(&s->marks->dicts[number].strict, strict);
    return number;
}

/* ---- whole dictionaries ---- */

enum { WALK_STEP = 1000, FLUSH_STEP = 256 };

/* Where a walk goes on. */
static int walk_begin(struct gn_walk *w, MDB_cursor *cursor, unsigned dict,
                      MDB_val *key, MDB_val *record)
{
    struct gn_db_key k;
    if (w->size == 0) {
        gn_db_hash_key(&k, dict, 0);
        *key = gn_db_val(&k);
        return mdb_cursor_get(cursor, key, record, MDB_SET_RANGE);
    }
    *key = (MDB_val){w->size, w->at};
    int rc = mdb_cursor_get(cursor, key, record, MDB_SET_RANGE);
    MDB_val last = {w->size, w->at};
    if (rc == 0 && same_key(key, &last))
        rc = mdb_cursor_get(cursor, key, record, MDB_NEXT);
    return rc;
}

static void walk_note(struct gn_walk *w, const MDB_val *key)
{
    w->size = key->mv_size;
    memcpy(w->at, key->mv_data, key->mv_size);
}

int gn_store_walk(struct gn_store *s, unsigned dict, struct gn_walk *w,
                  bool (*fn)(const char *, size_t, void *), void *arg)
{
    MDB_cursor *cursor;
    MDB_val key, record;
    struct gn_item e;
    int64_t now = gn_store_now(s);
    struct gn_view *reader = gn_read_begin(s);
    if (!reader)
        return -EIO;
    int more = 1, r = gn_db_errno(mdb_cursor_open(reader->txn, s->dbi, &cursor));
    if (r < 0)
        goto out;
    int rc = walk_begin(w, cursor, dict, &key, &record);
    for (int i = 0; rc == 0 && i < WALK_STEP; i++) {
        if (!gn_db_is_entry(&key, dict) || (r = gn_db_read_item(&record, &e)) < 0)
            break;
        const char *name = (const char *)key.mv_data + GN_KEY_HEAD;
        if (!gn_db_expired(&e, now) && !fn(name, key.mv_size - GN_KEY_HEAD, arg))
            break;
        walk_note(w, &key);
        rc = mdb_cursor_get(cursor, &key, &record, MDB_NEXT);
    }
    more = rc == 0 && gn_db_is_entry(&key, dict);
    if (rc != 0 && rc != MDB_NOTFOUND)
        r = gn_db_errno(rc);
    mdb_cursor_close(cursor);
out:
    gn_read_end(reader);
    return r < 0 ? r : more;
}

static int flush_one(struct gn_change *c, struct gn_walk *w, unsigned dict, bool *more)
{
    MDB_cursor *cursor;
    MDB_val key, record;
    struct gn_item e;
    int r = gn_db_errno(mdb_cursor_open(c->txn, c->store->dbi, &cursor));
    if (r < 0)
        return r;
    int rc = walk_begin(w, cursor, dict, &key, &record);
    *more = rc == 0 && gn_db_is_entry(&key, dict);
    if (*more) {
        walk_note(w, &key);
        r = gn_db_read_item(&record, &e);
    }
    mdb_cursor_close(cursor);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return gn_db_errno(rc);
    if (r < 0 || !*more || e.version > w->until)
        return r;
    key = (MDB_val){w->size, w->at};
    return gn_item_remove(c, &key, &e);
}

int gn_store_flush(struct gn_store *s, unsigned dict, struct gn_walk *w)
{
    struct gn_change c;
    bool more = true;
    int r = gn_change_begin(&c, s, GN_MARKS_STRIPES, GN_SLACK_PUT);
    if (r < 0)
        return r == -ENOSPC ? -ENOMEM : r;
    if (w->until == 0)
        w->until = c.version;
    for (int i = 0; i < FLUSH_STEP && more && r == 0; i++)
        r = flush_one(&c, w, dict, &more);
    if (r == 0)
        r = gn_change_commit(&c);
    else
        gn_change_abort(&c);
    if (r == 0 && !s->in_memory)
        gn_keeper_note(s);
    return r < 0 ? r : more;
}
