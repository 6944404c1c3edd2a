/* A listening socket: bound by us, so that errors are ours to tell, and given to
 * civetweb as a stream. */
#ifndef GN_LISTENER_H
#define GN_LISTENER_H

#include "wire.h"

struct gn_listener {
    struct gn_stream stream; /* what civetweb holds */
    struct gn_watch watch;
    struct gn_wires *wires;
    int port;
    struct gn_fiber *acceptor; /* civetweb's master, parked; or NULL */
    struct gn_wire *next;      /* accepted by poll(), to be handed out by accept() */
    bool open;                 /* connections are taken */
    bool stopping;             /* civetweb is to look at its stop flag often */
    bool starved;    /* out of descriptors or memory: said once until it works again */
    unsigned streak; /* connections taken since the acceptor last gave way */
    char url[128];   /* "http://127.0.0.1:5000" */
};

/* Resolves, binds and listens. May wait. Returns 0, or -1 with a line in `error`. */
int gn_listener_open(struct gn_listener *, struct gn_wires *, const char *host,
                     int port, char *error, size_t room);

/* Begins to take connections: call when civetweb has adopted the socket. Returns 0 or a
 * negative errno. */
int gn_listener_start(struct gn_listener *);

/* Stops listening: who has not been accepted is refused. civetweb keeps the number
 * until it stops, and its master looks at its stop flag often from now on. */
void gn_listener_stop(struct gn_listener *);

/* Closes a socket that civetweb has not adopted. */
void gn_listener_close(struct gn_listener *);

#endif
