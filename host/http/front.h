/* The front: civetweb, started on fibers. The only file that knows the library.
 *
 * civetweb reads the head of each request and keeps the connection; it never answers.
 * It serves no file, no directory, no CGI and none of its error pages: every request
 * ends in the handler, every malformed one in an answer of ours. */
#ifndef GN_FRONT_H
#define GN_FRONT_H

#include "../libc/stream.h"
#include "request.h"

/* Must answer the request. Runs on the connection's fiber; may wait. */
typedef void (*gn_handler)(struct gn_request *, void *arg);

struct gn_front {
    gn_handler handler;
    void *arg;
    long long max_body;
    int redirect_port; /* plain requests are sent to https on this port; 0: they are not
                        */
    struct gn_sched *const *places; /* whose fibers the workers are, one each, as many
                                       as connections; NULL: the running one's */
    struct mg_context *library;
    char error[256]; /* what the library last complained of */
};

/* Starts civetweb for `connections` connections at once, listening on the listener's
 * socket, which it adopts. Must run on a fiber; may wait. Returns 0, or -1 with a line
 * in f->error. */
int gn_front_open(struct gn_front *, struct gn_stream *listener, int connections);

/* Answers the request whose head stands in the wire. May wait. */
void gn_front_serve(struct gn_wire *, void *front);

/* Stops civetweb, whose connections must have ended, and closes its listening socket.
 * May wait. */
void gn_front_close(struct gn_front *);

#endif
