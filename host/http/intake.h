/* The intake: requests off the wire, checked, one after another.
 *
 * Reads each head through the gate, refuses what is no request with an answer of ours,
 * and tells civetweb, which believes to read from a socket, one and the same minimal
 * head for each: it keeps the connections and calls the front, but parses nothing that
 * a client has sent, so that it can neither be confused nor disagree with the gate. */
#ifndef GN_INTAKE_H
#define GN_INTAKE_H

#include "../libc/stream.h"

#include <stdbool.h>

struct gn_wire;

/* What a wire does as civetweb's socket. */
extern const struct gn_stream_ops gn_intake;

/* All that civetweb ever sees of a request has so many bytes. */
enum { GN_STAND_IN = 18 };

/* Gives out those of them that are left, as recv(2). */
ssize_t gn_intake_give(size_t *left, void *buf, size_t n, int flags);

/* As civetweb's socket, whatever stands behind it: send(2), getsockname(2),
 * shutdown(2). */
ssize_t gn_intake_send(struct gn_stream *, const void *, size_t, int flags);
int gn_intake_name(struct gn_stream *, struct sockaddr *, socklen_t *);
int gn_intake_shutdown(struct gn_stream *, int how);

/* Has the next request's head read, after the TLS handshake if one is due. May wait.
 * Returns false when there is none to serve here: the stream has ended, or the wire's
 * thread is wanted by others. */
bool gn_intake_next(struct gn_wire *);

#endif
