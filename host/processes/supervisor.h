/* The supervisor: what the parent of several processes does.
 *
 * Each process is this program once more, with the same arguments, told by a variable
 * of its environment that it is a worker (worker.h). It inherits the listening sockets,
 * which stay open here: a process that is killed loses its own connections only. Who
 * dies is replaced. A reload has two phases: all load aside; when all have, all swap.
 *
 * Beside that the supervisor watches over the queues of connections: what waits there
 * for some milliseconds is offered to all. Runs on fibers of one scheduler, without Lua
 * and HTTP. */
#ifndef GN_SUPERVISOR_H
#define GN_SUPERVISOR_H

#include "place.h"

#include <stdio.h>

/* A listening socket. */
struct gn_listening {
    int fd;
    bool secure; /* it speaks TLS */
};

struct gn_supervisor_options {
    unsigned processes;
    struct gn_bus *bus;                   /* by which they hear each other; borrowed */
    const struct gn_listening *listening; /* borrowed */
    unsigned listening_count;
    const char *shared;   /* for gn_board; borrowed; NULL: "" */
    unsigned beside;      /* the same: bytes for each process */
    int64_t drain;        /* ns in which a process must end that was told to */
    int64_t load_timeout; /* ns that loading may take */
    const char *control;  /* of the parent's control socket; those of the processes have
                             their number behind it; borrowed; NULL: none */
    /* Called before all load again, and, with `done`, after it; may wait; NULL */
    void (*on_load)(const struct gn_supervisor *, bool done, void *arg);
    /* Called once a process has ended, before there is another in its place; NULL */
    void (*on_end)(const struct gn_supervisor *, unsigned index, void *arg);
    void *arg;
};

struct gn_supervisor {
    struct gn_sched *sched;
    struct gn_supervisor_options options;
    struct gn_board *board;
    struct gn_place *places;
    unsigned count; /* wanted */
    unsigned most;  /* places */
    int board_fd, *pokes;
    char **argv; /* of this program; owned, ended by NULL */
    int64_t born;
    bool started, stopping;
    unsigned fibers;          /* that run */
    struct gn_fiber *queues;  /* watches over them; or NULL */
    unsigned generation;      /* that serves; 0 before the first */
    unsigned turn;            /* of the latest order to load */
    struct gn_fiber *loader;  /* reloads at present, or NULL */
    unsigned asked, answered; /* for how many reloads; how many of them are over */
    char *error;              /* why the latest load failed; NULL when it did not */
    unsigned unsound;         /* processes that did not end well when all were to */
    struct gn_list waiters;   /* for a change of any of these */
};

/* Starts the processes and waits until all have loaded the scripts; then they serve.
 * Returns 0, or -1 with the reason in `error`, which may be NULL; call
 * gn_supervisor_stop() in any case. May wait. */
int gn_supervisor_start(struct gn_supervisor *, const struct gn_supervisor_options *);

/* Has all processes end in order, kills those that have not when their time is over,
 * and frees what they had. Returns how many did not end well. May wait. */
unsigned gn_supervisor_stop(struct gn_supervisor *);

/* Asks for the scripts to be loaded again, by all or by none: see reload.c. Returns a
 * ticket for gn_supervisor_await(); does not wait. */
unsigned gn_supervisor_reload(struct gn_supervisor *);

/* Waits for the outcome. Returns the number of the generation that serves since,
 * -EBADMSG when it could not be loaded (see `error`), or another negative errno. May
 * wait. */
int gn_supervisor_await(struct gn_supervisor *, unsigned ticket);

/* Adds processes, or takes some away, in order; at least one stays. */
void gn_supervisor_scale(struct gn_supervisor *, int by);

/* Has all processes open the files of their logs anew. */
void gn_supervisor_reopen(struct gn_supervisor *);

/* Tells of all processes, a line for each. */
void gn_supervisor_tell(struct gn_supervisor *, FILE *out);

/* ---- for place.c and reload.c ---- */

/* Wakes who waits for a change. */
void gn_supervisor_tell_change(struct gn_supervisor *);

/* Waits for a change of anything. May wait. Returns 0, -ETIMEDOUT or the cause of an
 * interruption. */
int gn_supervisor_wait_change(struct gn_supervisor *, int64_t deadline);

/* Takes the text, which may be NULL. */
void gn_supervisor_set_error(struct gn_supervisor *, char *);

/* Has all that serve look for connections. */
void gn_supervisor_poke_all(struct gn_supervisor *);

#endif
