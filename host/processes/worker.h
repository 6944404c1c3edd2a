/* A worker: what a process that a parent has started has of it, and how it shares the
 * connections with its siblings.
 *
 * All take connections from the same listening sockets; the kernel wakes one of them.
 * One that has clearly more than another leaves the connection in the queue and pokes
 * that other instead, by an eventfd that all have. What a sibling leaves there, stuck
 * or dead, the parent notices: it pokes all, see supervisor.h. */
#ifndef GN_WORKER_H
#define GN_WORKER_H

#include "board.h"
#include "channel.h"

#include <sys/types.h>

#define GN_WORKER_VARIABLE                                    \
    "GENET_WORKER" /* of the environment: see gn_worker_new() \
                    */

/* What an order to load is about; the kinds of channel.h say which messages begin so.
 */
struct gn_order {
    unsigned turn;   /* counts orders */
    unsigned number; /* of the generation to load */
    unsigned covers; /* the worker's latest wish, GN_KIND_WANT, that this fulfils */
};

enum {
    GN_FIRST_FD = 3,      /* the channel, then the board, the pokes, the listeners */
    GN_POKE = 1,          /* what a sibling writes to a poke ... */
    GN_POKE_ALL = 1 << 16 /* ... and the parent: take whatever waits */
};

struct gn_worker {
    unsigned index, count; /* which it is, of how many */
    unsigned generation;   /* the number that its first one shall have */
    unsigned pokes;        /* how many descriptors there are, and lines of the board */
    int first_poke;        /* by index from there on */
    char **listen;         /* addresses of the inherited sockets, ended by NULL */
    char *control;         /* path for a control socket of its own; NULL: none */
    int channel_fd;        /* until gn_worker_start() */
    struct gn_channel channel;
    struct gn_board *board;
    struct gn_line *line; /* its own */
    struct gn_watch poke;
    bool greedy;             /* it takes what waits, whoever has fewer */
    void (*on_poke)(void *); /* connections may wait; on the loop's own stack */
    void *poke_arg;
};

/* Whether this process was started by a parent. */
bool gn_is_worker(void);

/* Takes over what the parent has left, and removes the variable that tells of it. The
 * process is killed with its parent from then on. Returns owned; NULL with a line in
 * `error`. */
struct gn_worker *gn_worker_new(char *error, size_t room);

/* Opens the channel and listens for pokes, on the running scheduler. Returns 0 or a
 * negative errno. */
int gn_worker_start(struct gn_worker *);

void gn_worker_free(struct gn_worker *);

/* Counts a connection that was taken. */
void gn_worker_took(struct gn_worker *);

/* Which sibling should rather take the next connection; -1: none. */
int gn_worker_better(struct gn_worker *);

/* Tells a sibling that a connection waits for it. */
void gn_worker_poke(const struct gn_worker *, int index);

#endif
