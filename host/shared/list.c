/* Lists: an entry that says which elements there are, and the elements, each a record
 * of its own, so that a push moves none. */
#include "db.h"

#include "checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { DROP_AT_ONCE = 32 };

static const uint64_t MIDDLE = UINT64_C(1) << 63; /* so that both ends may grow */

void gn_list_read(const struct gn_value *v, struct gn_list_head *h)
{
    memcpy(h, v->data, sizeof *h);
}

/* ---- elements ---- */

static int put_element(struct gn_change *c, unsigned dict, const struct gn_list_head *h,
                       uint64_t place, const struct gn_value *v)
{
    struct gn_db_key k;
    struct gn_delta *d = gn_change_delta(c, dict);
    gn_db_list_key(&k, dict, h->id, place);
    MDB_val key = gn_db_val(&k), record = {gn_db_value_size(v), NULL};
    int r = gn_db_errno(mdb_put(c->txn, c->store->dbi, &key, &record, MDB_RESERVE));
    if (r < 0)
        return r;
    gn_db_write_value(record.mv_data, v);
    d->bytes += gn_db_cost(c->store, k.size, record.mv_size);
    return 0;
}

/* `out` borrows from the database until the next change; NULL: not wanted. */
static int remove_element(struct gn_change *c, unsigned dict,
                          const struct gn_list_head *h, uint64_t place,
                          struct gn_value *out, struct gn_scratch *scratch)
{
    struct gn_db_key k;
    MDB_val record;
    struct gn_delta *d = gn_change_delta(c, dict);
    gn_db_list_key(&k, dict, h->id, place);
    MDB_val key = gn_db_val(&k);
    if (!d)
        return -EAGAIN;
    int r = gn_db_errno(mdb_get(c->txn, c->store->dbi, &key, &record));
    if (r == 0 && out)
        r = gn_db_read_value(record.mv_data, record.mv_size, out);
    if (r == 0 && out)
        r = gn_value_keep(out, scratch);
    if (r < 0)
        return r;
    d->bytes -= gn_db_cost(c->store, k.size, record.mv_size);
    return gn_db_errno(mdb_del(c->txn, c->store->dbi, &key, NULL));
}

/* ---- lists that go ---- */

int gn_list_drop(struct gn_change *c, unsigned dict, const struct gn_value *v)
{
    struct gn_list_head h;
    struct gn_db_key k;
    gn_list_read(v, &h);
    if (h.last - h.first <= DROP_AT_ONCE) {
        int r = 0;
        for (uint64_t place = h.first; r == 0 && place != h.last; place++)
            r = remove_element(c, dict, &h, place, NULL, NULL);
        return r;
    }
    gn_db_garbage_key(&k, dict, h.id);
    MDB_val key = gn_db_val(&k), record = {sizeof h, &h};
    return gn_db_errno(mdb_put(c->txn, c->store->dbi, &key, &record, 0));
}

/* The first list that is to go. Returns 0 or -ENOENT. */
static int find_garbage(struct gn_change *c, struct gn_db_key *k, unsigned *dict,
                        struct gn_list_head *h)
{
    MDB_cursor *cursor;
    MDB_val key = {1, (void *)"g"}, record;
    int r = gn_db_errno(mdb_cursor_open(c->txn, c->store->dbi, &cursor));
    if (r < 0)
        return r;
    int rc = mdb_cursor_get(cursor, &key, &record, MDB_SET_RANGE);
    bool found = rc == 0 && key.mv_size == GN_KEY_HEAD &&
                 *(const char *)key.mv_data == 'g' && record.mv_size == sizeof *h;
    if (found) {
        k->size = key.mv_size;
        memcpy(k->data, key.mv_data, k->size);
        *dict = (unsigned)gn_db_number(k->data + 1, 2);
        memcpy(h, record.mv_data, sizeof *h);
    }
    mdb_cursor_close(cursor);
    return found ? 0 : rc == 0 || rc == MDB_NOTFOUND ? -ENOENT : gn_db_errno(rc);
}

int gn_list_sweep(struct gn_change *c, unsigned most)
{
    struct gn_list_head h;
    struct gn_db_key k;
    unsigned dict = 0, n = 0;
    int r = find_garbage(c, &k, &dict, &h);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    for (; r == 0 && n < most && h.first != h.last; n++, h.first++)
        r = remove_element(c, dict, &h, h.first, NULL, NULL);
    c->removals += n;
    MDB_val key = gn_db_val(&k), record = {sizeof h, &h};
    if (r == 0 && h.first == h.last)
        r = gn_db_errno(mdb_del(c->txn, c->store->dbi, &key, NULL));
    else if (r == 0)
        r = gn_db_errno(mdb_put(c->txn, c->store->dbi, &key, &record, 0));
    return r;
}

/* ---- push and pop ---- */

static int read_head(const struct gn_item *present, uint64_t id, struct gn_list_head *h)
{
    *h = (struct gn_list_head){id, MIDDLE, MIDDLE};
    if (!present->version)
        return 0;
    if (present->value.kind != GN_LIST)
        return -EINVAL;
    gn_list_read(&present->value, h);
    return 0;
}

static int put_head(struct gn_change *c, struct gn_db_key *k,
                    const struct gn_list_head *h, const struct gn_item *was)
{
    struct gn_item e = {
        .value = {.kind = GN_LIST, .data = (const char *)h, .size = sizeof *h},
        .version = c->version,
        .expires = was->expires};
    return gn_item_put(c, k, &e, was->version ? was : NULL);
}

struct push {
    const struct gn_value *value;
    bool front;
    int64_t length; /* the answer */
};

static int work_push(struct gn_change *c, struct gn_db_key *k, unsigned dict,
                     const struct gn_item *present, void *arg)
{
    struct push *p = arg;
    struct gn_list_head h;
    struct gn_item was = *present;
    MDB_val key = gn_db_val(k);
    int64_t bytes = 512 + gn_db_cost(c->store, GN_KEY_HEAD, gn_db_value_size(p->value));
    int r = read_head(present, c->version, &h);
    if (r == 0)
        r = gn_make_room(c, &key, bytes);
    if (r < 0)
        return r;
    if (!gn_change_delta(c, dict))
        return -EAGAIN;
    uint64_t place = p->front ? --h.first : h.last++;
    p->length = (int64_t)(h.last - h.first);
    r = put_head(c, k, &h, &was);
    if (r == 0)
        r = put_element(c, dict, &h, place, p->value);
    return r < 0 ? r : GN_PUT;
}

int64_t gn_store_push(struct gn_store *s, const struct gn_key *k,
                      const struct gn_value *v, bool front)
{
    struct push p = {v, front, 0};
    int r = gn_store_work(s, k, gn_db_value_size(v), work_push, &p);
    return r < 0 ? r : p.length;
}

struct pop {
    struct gn_value *value;
    struct gn_scratch *scratch;
    bool front;
};

static int work_pop(struct gn_change *c, struct gn_db_key *k, unsigned dict,
                    const struct gn_item *present, void *arg)
{
    struct pop *p = arg;
    struct gn_list_head h;
    struct gn_item was = *present;
    *p->value = (struct gn_value){0};
    int r = read_head(present, 0, &h);
    if (r < 0 || h.first == h.last)
        return r < 0 ? r : GN_LEAVE;
    uint64_t place = p->front ? h.first : h.last - 1;
    r = remove_element(c, dict, &h, place, p->value, p->scratch);
    h.first += p->front;
    h.last -= !p->front;
    MDB_val key = gn_db_val(k);
    was.value.data = (const char *)&h; /* what it was is of the same size */
    if (r == 0 && h.first == h.last)
        r = gn_item_remove(c, &key, &was);
    else if (r == 0)
        r = put_head(c, k, &h, &was);
    return r < 0 ? r : GN_PUT;
}

int gn_store_pop(struct gn_store *s, const struct gn_key *k, bool front,
                 struct gn_value *v, struct gn_scratch *scratch)
{
    struct pop p = {v, scratch, front};
    int r = gn_store_work(s, k, 0, work_pop, &p);
    return r < 0 ? r : 0;
}
