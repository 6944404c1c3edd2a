/* The board: memory that the parent and all of its processes share, with a line of the
 * processor's cache for each process.
 *
 * It says how each does, which `genet status` shows, and by which the processes share
 * the connections evenly. A line is written by its own process but for what the parent
 * says of it. Nothing here waits or locks. */
#ifndef GN_BOARD_H
#define GN_BOARD_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

enum {
    GN_PROCESSES = 1024, /* the most */
    GN_SECRET = 32,      /* bytes */
    GN_SHARED_PATH = 256 /* of a path and its end */
};

enum gn_standing {
    GN_ABSENT,   /* not started, or ended */
    GN_STARTING, /* it loads the scripts */
    GN_LOADED,   /* and waits until it may serve */
    GN_SERVING,
    GN_ENDING /* it takes no connections any more */
};

struct gn_line {
    _Alignas(64) _Atomic int pid; /* the parent's to write; 0: none */
    _Atomic unsigned standing; /* an enum gn_standing; the parent's, but for the last */
    _Atomic unsigned starts;   /* how often it was started; the parent's */
    _Atomic unsigned deaf;     /* it does not hear what it is told; see worker.h */
    _Atomic int64_t born;      /* ns, monotonic; the parent's */
    _Atomic unsigned generation;    /* that serves */
    _Atomic unsigned connections;   /* open */
    _Atomic uint64_t requests;      /* answered, or about to be */
    _Atomic unsigned second;        /* in which it has last taken a connection, ... */
    _Atomic unsigned taken, before; /* ... how many in that one and in the one before */
};

struct gn_board {
    unsigned char secret[GN_SECRET]; /* random; the same for all processes */
    char shared[GN_SHARED_PATH];     /* where genet.shared is in memory; "": on disk */
    atomic_bool sealed; /* all end: those who wait to be accepted are the last */
    unsigned count;     /* of lines */
    unsigned beside; /* bytes of more memory for each process, see gn_board_memory() */
    struct gn_line lines[];
};

/* Makes one in a file without a name, whose descriptor is put in *fd, owned, with
 * `beside` bytes for each process beside its line. Returns 0 or a negative errno. */
int gn_board_new(struct gn_board **, int *fd, unsigned count, unsigned beside);

/* Maps the one that another process has made; takes the descriptor. */
int gn_board_open(struct gn_board **, int fd, unsigned count);

void gn_board_free(struct gn_board *);

/* What is beside the lines: an array, zeroed at first, of whose meaning the board knows
 * nothing. Untouched it takes no memory. */
void *gn_board_memory(struct gn_board *);

/* Writes a line for each process. */
void gn_board_tell(struct gn_board *, FILE *);

/* Counts a connection that was taken in this second (of any clock, the same for all).
 */
void gn_line_took(struct gn_line *, unsigned second);

/* Which process should rather take the next connection than `mine`: one that serves
 * and has clearly fewer open, or has as few and has clearly taken fewer lately.
 * Returns -1 when there is none. */
int gn_board_better(struct gn_board *, unsigned mine, unsigned second);

#endif
