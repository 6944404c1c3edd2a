/* The acceptor: connections from all listening sockets, handed to civetweb one by one.
 *
 * civetweb believes that it has one listening socket. What it polls and accepts from is
 * this; a connection is taken from the kernel before civetweb is told that one is
 * there. */
#ifndef GN_ACCEPTOR_H
#define GN_ACCEPTOR_H

#include "../processes/worker.h"
#include "listener.h"
#include "wire.h"

enum { GN_LISTENERS = 16 };

/* Gives out what civetweb is to hold; NULL when there is nothing at present. Must not
 * wait. */
typedef struct gn_stream *(*gn_stream_source)(void *arg);

struct gn_acceptor {
    struct gn_stream stream; /* what civetweb holds: a descriptor that only counts */
    struct gn_wires *wires;
    struct gn_tls_site *tls; /* for secure listeners; borrowed; NULL without any */
    struct gn_worker
        *worker; /* whose siblings share the listeners; borrowed; NULL: none */
    struct gn_listener listeners[GN_LISTENERS];
    unsigned count, turn;     /* how many, and who is asked next */
    struct gn_fiber *waiting; /* civetweb's master, parked; or NULL */
    struct gn_fiber *taking;  /* in gn_acceptor_take(), parked; or NULL */
    struct gn_stream *next;   /* taken by poll(), to be handed out by accept() */
    gn_stream_source source;  /* where poll() takes it from; NULL: from the kernel */
    void *source_arg;
    bool open;       /* connections are taken */
    bool stopping;   /* civetweb is to look at its stop flag often */
    bool starved;    /* out of descriptors or memory: said once until it works again */
    unsigned streak; /* connections taken since others last ran */
};

/* Opens all addresses of a list that NULL ends (see listener.h). May wait. Returns 0,
 * or -1 with a line in `error` and nothing open. */
int gn_acceptor_open(struct gn_acceptor *, struct gn_wires *, struct gn_tls_site *,
                     const char *const *addresses, char *error, size_t room);

/* Begins to take connections: call when civetweb has adopted the stream. Returns 0, or
 * -1 with a line in `error`. */
int gn_acceptor_start(struct gn_acceptor *, char *error, size_t room);

/* Has civetweb get its connections from `source`, while somebody else takes those of
 * the kernel. Call before gn_acceptor_start(). */
void gn_acceptor_set_source(struct gn_acceptor *, gn_stream_source, void *arg);

/* Takes a connection from the kernel. May wait. NULL once the acceptor has stopped. */
struct gn_wire *gn_acceptor_take(struct gn_acceptor *);
/* Looks for connections though nothing tells of one: a sibling has left them. */
void gn_acceptor_look(struct gn_acceptor *);

/* Has the kernel let nobody new in: see gn_listener_seal(). */
void gn_acceptor_seal(struct gn_acceptor *);

/* Takes those whom the kernel has let in, as far as there is room for them, and stops.
 * May wait, for a moment. */
void gn_acceptor_finish(struct gn_acceptor *);

/* Closes the listening sockets: who has not been accepted is refused. civetweb keeps
 * its descriptor, and its master looks at its stop flag often from now on. */
void gn_acceptor_stop(struct gn_acceptor *);

/* Closes everything, civetweb's descriptor too if it has not. Twice is fine. */
void gn_acceptor_close(struct gn_acceptor *);

/* The addresses listened on, with blanks between. */
void gn_acceptor_urls(const struct gn_acceptor *, char *out, size_t room);

#endif
