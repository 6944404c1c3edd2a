/* The marks of a store: a small file that all who use the store have mapped. It holds
 * what need not be in the database: how much of it is used, when its entries were last
 * used, and that they have changed.
 *
 * Nothing on it is held by anybody: each field is an atomic of its own, so that a
 * process that is killed leaves nothing locked. What it may leave is a count that is
 * off by what it was just doing; they are counted anew when the first one opens the
 * store again. All of it has its room on the disk, so that writing to it cannot fail.
 */
#ifndef GN_MARKS_H
#define GN_MARKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GN_MARKS_DICTS = 1024,  /* dictionaries of a store, at most */
    GN_MARKS_STRIPES = 1024 /* by which changes are told apart */
};

/* A dictionary. */
struct gn_tally {
    atomic_llong entries, bytes;
    atomic_llong expiring;          /* entries that expire, roughly */
    atomic_ullong evicted, expired; /* how many went, and why */
    atomic_bool strict;             /* nothing of it may be evicted */
};

/* The entries whose hash ends alike. */
struct gn_stripe {
    atomic_uint changes;  /* counts them */
    atomic_uint watchers; /* who wait for one; too many when some were killed */
};

struct gn_marks {
    atomic_ullong magic;    /* set last */
    uint64_t limit;         /* bytes of all entries, at most */
    uint64_t map;           /* bytes of the database, at most */
    uint32_t use_mask;      /* number of places in `use`, less one */
    atomic_uint top;        /* dictionaries that there are */
    atomic_llong cap;       /* as `limit`; less while the disk has no more room */
    atomic_llong bytes;     /* of all entries */
    atomic_llong room;      /* of the database, that is backed already */
    atomic_ullong commits;  /* counts what has changed the database */
    atomic_ullong saved;    /* what `commits` was as the last checkpoint began */
    atomic_uint committing; /* 1 + stripe of a change that may not have been told yet */
    atomic_uint signal;     /* futex: counts the changes that somebody waits for */
    struct gn_tally dicts[GN_MARKS_DICTS];
    struct gn_stripe stripes[GN_MARKS_STRIPES];
    atomic_uint use[]; /* when entries of such a hash were last used, in ticks */
};

/* Maps a marks file. Where `fresh`, or where nobody has before, all of it is cleared
 * and set up for a limit; else it stays as it is. *made tells which. Returns 0 or a
 * negative errno. */
int gn_marks_open(struct gn_marks **, int fd, uint64_t limit, bool fresh, bool *made);
void gn_marks_close(struct gn_marks *);

/* How long the file is for a limit. */
size_t gn_marks_size(uint64_t limit);

/* Tells those who wait for a change of a stripe. Any thread. */
void gn_marks_tell(struct gn_marks *, unsigned stripe);

/* Notes, and asks for, the time of last use of an entry. A tick is 64 ms. */
static inline uint32_t gn_marks_tick(int64_t ms)
{
    return (uint32_t)(ms >> 6);
}

static inline void gn_marks_use(struct gn_marks *b, uint64_t hash, uint32_t tick)
{
    atomic_uint *u = &b->use[hash & b->use_mask];
    if (atomic_load_explicit(u, memory_order_relaxed) != tick)
        atomic_store_explicit(u, tick, memory_order_relaxed);
}

static inline uint32_t gn_marks_used(const struct gn_marks *b, uint64_t hash)
{
    return atomic_load_explicit(&b->use[hash & b->use_mask], memory_order_relaxed);
}

#endif
