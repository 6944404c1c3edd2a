/* The store: dictionaries of typed values for all threads and processes of a host, on
 * LMDB. Knows no Lua.
 *
 * Every change is one write transaction of some microseconds, made by the caller's
 * thread: nothing waits inside one, and who finds the lock taken waits as for any mutex
 * (see libc/mutex.c). A get takes no lock and makes no system call. All threads of a
 * process share one environment, however often it is opened.
 *
 * In memory (a private place): the database is written through the mapping, which costs
 * no system calls; its room is allocated before, so that a full /dev/shm is an error
 * and no SIGBUS. On disk: it is written by pwrite(2). Neither waits for the disk: what
 * was acknowledged survives the end of any process, by kill -9 also. It is lost with
 * the power since the last checkpoint, see checkpoint.h.
 *
 * Entries expire by the wall clock. An expired one is as good as gone, and removed by
 * who comes across it. When the bytes of all entries reach the limit, some that have
 * not been used for long go (the oldest of a random few, as Redis does it); strict
 * dictionaries lose none. The time of use stands on the marks, not in the database: a
 * get writes nothing else. */
#ifndef GN_STORE_H
#define GN_STORE_H

#include "marks.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GN_STORE_KEY = 499,      /* bytes of a key, at most */
    GN_STORE_NAME = 100,     /* bytes of a dictionary's name, at most */
    GN_STORE_LEAST = 1 << 20 /* bytes of the least limit */
};

struct gn_store;
struct gn_watches;

struct gn_store_options {
    const char *path;      /* an existing directory */
    uint64_t limit;        /* bytes of all entries; for the first that opens it */
    bool in_memory;        /* the same for all that open it */
    int64_t (*wall)(void); /* ms since 1970; NULL: the machine's */
    int64_t checkpoint_ms; /* between checkpoints; 0: 10000 */
};

enum gn_value_kind { GN_NONE, GN_INTEGER, GN_NUMBER, GN_BYTES, GN_PACKED, GN_LIST };

/* A value; or none. */
struct gn_value {
    enum gn_value_kind kind;
    union {
        int64_t integer; /* GN_INTEGER; of a GN_LIST how many elements it has */
        double number;   /* GN_NUMBER */
    };
    const char *data; /* GN_BYTES, and GN_PACKED, which the caller knows to read */
    size_t size;
};

struct gn_item {
    struct gn_value value;
    uint64_t version; /* another one after each change; 0: there is none */
    int64_t expires;  /* ms since 1970; 0: never */
};

/* Memory that values are copied to. Zeroed at first; free(data) at last. */
struct gn_scratch {
    char *data;
    size_t room;
};

/* An entry of a dictionary. */
struct gn_key {
    unsigned dict;
    const char *name;
    size_t size;
};

/* Opens a store. Returns 0, or a negative errno and a line in `error`. */
int gn_store_open(struct gn_store **, const struct gn_store_options *, char *error,
                  size_t room);

/* Closes it, when it was opened more often for the last time. NULL is allowed. */
void gn_store_close(struct gn_store *);

/* The number of a dictionary. Returns a negative errno: -ENAMETOOLONG; -EMFILE when
 * there are too many. */
int gn_store_dict(struct gn_store *, const char *name, size_t n, bool strict);

/* ---- all below: any thread, any fiber; nothing waits but for the lock. They return a
 * negative errno:
 *     -ENAMETOOLONG  the key is too long
 *     -ENOMEM        there is no room
 *     -EIO           the store is damaged, or its disk is
 * and those that are named. Expired entries count as absent. ---- */

/* Reads an entry; of a list no data. Data are copied to the scratch. Returns 0. */
int gn_store_get(struct gn_store *, const struct gn_key *, struct gn_item *,
                 struct gn_scratch *);

/* What an edit wants done. */
enum gn_verdict { GN_LEAVE, GN_PUT, GN_REMOVE };

/* Edits one entry: fn(present, next, arg) sets `next`, which begins as a copy of
 * `present`, and returns a verdict or a negative errno. It may be called again; it must
 * not wait. */
typedef int (*gn_edit)(const struct gn_item *, struct gn_item *next, void *arg);

/* Returns the verdict, or what `fn` failed with. */
int gn_store_edit(struct gn_store *, const struct gn_key *, gn_edit fn, void *arg);

enum gn_when { GN_ALWAYS, GN_IF_ABSENT, GN_PRESENT, GN_VERSION };

enum { GN_KEEP_EXPIRY = -1 };

/* Sets a value; GN_NONE removes. `expires`: 0 for never, GN_KEEP_EXPIRY, or the time.
 * Returns 0, -EEXIST (GN_IF_ABSENT), -ENOENT (GN_PRESENT), or -EAGAIN when the version
 * is another one than `version` (GN_VERSION). */
int gn_store_set(struct gn_store *, const struct gn_key *, const struct gn_value *,
                 int64_t expires, enum gn_when, uint64_t version);

/* Removes an entry. Returns whether it was there. */
int gn_store_delete(struct gn_store *, const struct gn_key *);

/* Adds to a number, or to `init`, if that is not GN_NONE, where there is none, which
 * then expires at `expires`. Returns 0 and the sum, -ENOENT, -EINVAL when it is no
 * number, -ERANGE. */
int gn_store_incr(struct gn_store *, const struct gn_key *, const struct gn_value *by,
                  const struct gn_value *init, int64_t expires, struct gn_value *sum);

/* Sets when an entry expires. Returns 0 or -ENOENT. */
int gn_store_expire(struct gn_store *, const struct gn_key *, int64_t expires);

/* Adds an element in front of a list, or at its end; makes the list. Returns how many
 * it has, or -EINVAL when there is something else. */
int64_t gn_store_push(struct gn_store *, const struct gn_key *, const struct gn_value *,
                      bool front);

/* Takes the first or last element; GN_NONE when there is none. Returns 0 or -EINVAL. */
int gn_store_pop(struct gn_store *, const struct gn_key *, bool front,
                 struct gn_value *, struct gn_scratch *);

/* ---- whole dictionaries, in steps, between which the caller may wait ---- */

struct gn_walk {
    uint64_t until;        /* version: what is younger is left out; 0: not begun */
    unsigned char at[512]; /* the last one seen */
    size_t size;
};

/* Calls fn(key, n, arg) for the next entries, a thousand at most. Returns 1 when there
 * may be more, 0 when not. `fn` must neither raise nor wait; it ends the step by false,
 * having refused the key, which comes again. */
int gn_store_walk(struct gn_store *, unsigned dict, struct gn_walk *,
                  bool (*fn)(const char *, size_t, void *), void *arg);

/* Removes what was there as the first step began, 256 entries a step. Returns as
 * gn_store_walk(). */
int gn_store_flush(struct gn_store *, unsigned dict, struct gn_walk *);

/* ---- for watch.c, checkpoint.c and tests ---- */

struct gn_marks *gn_store_board(struct gn_store *);
_Atomic(struct gn_watches *) *gn_store_watches(struct gn_store *);
unsigned gn_store_stripe(const struct gn_key *);
int64_t gn_store_now(const struct gn_store *);

/* What is to be told of how it was found, after a power cut; NULL: nothing. */
const char *gn_store_note(const struct gn_store *);

#endif
