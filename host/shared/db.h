/* The database of a store: its environment, transactions, keys and records. For the
 * files of this directory only.
 *
 * All is in one tree. Its keys begin with what they are of:
 *
 *     'e' dict hash key     an entry: version, expiry, kind, value
 *     'g' dict list         a list whose elements are to be removed, a few at a time
 *     'l' dict list place   an element: kind, value
 *     'n' name              the number of a dictionary
 *
 * Numbers are big-endian there, so that they are in order: dict has 2 bytes, hash, list
 * and place have 8. Entries lie in the order of their hashes, so that a random place is
 * a fair sample. Records are as this machine has its numbers. */
#ifndef GN_DB_H
#define GN_DB_H

#include "home.h"
#include "store.h"

#include <lmdb.h>
#include <pthread.h>

enum { GN_READERS = 128, GN_KEY_ROOM = 511, GN_KEY_HEAD = 11, GN_DELTAS = 4 };

/* A read transaction that is kept for the next get. */
struct gn_view {
    atomic_bool busy;
    MDB_txn *txn; /* NULL until it is first needed */
};

struct gn_store {
    struct gn_store *next; /* of those that this process has open */
    unsigned refs;
    unsigned long device, inode; /* of its directory */
    struct gn_home home;
    struct gn_marks *marks;
    MDB_env *env;
    MDB_dbi dbi;
    size_t page;
    bool in_memory;
    int64_t (*wall)(void);
    int64_t checkpoint_ms;
    int past; /* enum gn_past: what was found as it was opened */
    struct gn_view readers[GN_READERS];
    unsigned writes; /* counts them, and */
    uint64_t random; /* the state of random numbers; both by who may write */
    _Atomic(struct gn_watches *) watches;
    _Atomic(struct gn_keeper *) keeper;
};

/* What a transaction changes in the tally of a dictionary. */
struct gn_delta {
    unsigned dict;
    int64_t entries, bytes, expiring;
    unsigned evicted, expired;
};

/* A write transaction. */
struct gn_change {
    struct gn_store *store;
    MDB_txn *txn;
    uint64_t version; /* of what it writes */
    int64_t now;      /* ms since 1970 */
    unsigned stripe;  /* of the entry that is changed; GN_MARKS_STRIPES: of none */
    unsigned char others[GN_MARKS_STRIPES / 8]; /* stripes of what else has gone */
    bool any_others;
    unsigned removals; /* how many entries and elements were removed to make room */
    struct gn_delta deltas[GN_DELTAS];
    unsigned count; /* of them */
};

struct gn_db_key {
    unsigned char data[GN_KEY_ROOM];
    size_t size;
};

/* What an LMDB call has returned, as a negative errno: -ENOSPC where there is no room.
 */
int gn_db_errno(int rc);

/* Room that a transaction may need beyond values of more than a page. */
enum { GN_SLACK_PUT = 256 << 10, GN_SLACK_REMOVE = 128 << 10 };

/* Begins a write transaction, for which so many bytes of the file get their room.
 * Returns 0 or a negative errno. */
int gn_change_begin(struct gn_change *, struct gn_store *, unsigned stripe,
                    size_t room);
int gn_change_commit(struct gn_change *);
void gn_change_abort(struct gn_change *);

/* The delta of a dictionary; NULL when it would be one too many. */
struct gn_delta *gn_change_delta(struct gn_change *, unsigned dict);

/* Begins and ends a read transaction; nothing may wait in between. */
struct gn_view *gn_read_begin(struct gn_store *);
void gn_read_end(struct gn_view *);

uint64_t gn_db_hash(const struct gn_key *);
void gn_db_entry_key(struct gn_db_key *, const struct gn_key *);
void gn_db_hash_key(struct gn_db_key *, unsigned dict, uint64_t hash);
void gn_db_list_key(struct gn_db_key *, unsigned dict, uint64_t list, uint64_t place);
void gn_db_garbage_key(struct gn_db_key *, unsigned dict, uint64_t list);
uint64_t gn_db_number(const void *, size_t bytes);

/* Whether a key is one of the entries of a dictionary. */
bool gn_db_is_entry(const MDB_val *key, unsigned dict);

static inline MDB_val gn_db_val(struct gn_db_key *k)
{
    return (MDB_val){k->size, k->data};
}

/* A value and its record. Reading borrows the record. Returns 0 or -EIO. */
int gn_db_read_item(const MDB_val *, struct gn_item *);
size_t gn_db_item_size(const struct gn_item *);
void gn_db_write_item(void *, const struct gn_item *);
int gn_db_read_value(const char *, size_t n, struct gn_value *);
size_t gn_db_value_size(const struct gn_value *);
void gn_db_write_value(char *, const struct gn_value *);

/* What a key and its record take, about. */
int64_t gn_db_cost(const struct gn_store *, size_t key, size_t record);

static inline bool gn_db_expired(const struct gn_item *e, int64_t now)
{
    return e->expires != 0 && e->expires <= now;
}

/* Copies the data of a value that lies in the database. Returns 0 or -ENOMEM. */
int gn_value_keep(struct gn_value *, struct gn_scratch *);

/* ---- list.c ---- */

/* What a list's record holds. Its elements are at the places from `first` to
 * `last` - 1. */
struct gn_list_head {
    uint64_t id, first, last;
};

void gn_list_read(const struct gn_value *, struct gn_list_head *);

/* Removes elements of a list whose entry goes: some at once, the others by and by.
 * Returns 0 or a negative errno. */
int gn_list_drop(struct gn_change *, unsigned dict, const struct gn_value *);

/* Removes some elements that are due, `most` of them. Returns 0 or a negative errno. */
int gn_list_sweep(struct gn_change *, unsigned most);

/* ---- store.c ---- */

/* Removes the entry at a key, with its list. Returns 0 or a negative errno. */
int gn_item_remove(struct gn_change *, const MDB_val *key, const struct gn_item *);

/* Writes one; `was` is what was there or NULL. */
int gn_item_put(struct gn_change *, struct gn_db_key *, const struct gn_item *,
                const struct gn_item *was);

/* Edits in a transaction: see gn_edit. `present` lies in the database. */
typedef int (*gn_work)(struct gn_change *, struct gn_db_key *, unsigned dict,
                       const struct gn_item *present, void *arg);

/* Makes room for so many bytes, and runs `work` in a transaction, again where that is
 * needed. `work` returns a verdict, GN_LEAVE when nothing is to be committed, or a
 * negative errno. */
int gn_store_work(struct gn_store *, const struct gn_key *, size_t bytes, gn_work,
                  void *arg);

/* Removes entries until so many bytes more fit below the limit, but not the one at
 * `spare`. Returns 0, -ENOMEM, or -EAGAIN when enough was done for one transaction. */
int gn_make_room(struct gn_change *, const MDB_val *spare, int64_t bytes);

#endif
