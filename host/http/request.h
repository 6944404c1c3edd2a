/* A request, its body, and the answer under way. */
#ifndef GN_REQUEST_H
#define GN_REQUEST_H

#include "chunked.h"
#include "gate.h"
#include "wire.h"

#include <stdbool.h>

enum gn_progress { GN_UNANSWERED, GN_STREAMING, GN_ANSWERED };

struct gn_ws;

struct gn_request {
    struct gn_wire *wire;
    struct gn_ws *ws;           /* once it is a WebSocket; else NULL */
    const struct gn_head *head; /* borrowed from the wire until the request ends */
    struct gn_head *own_head;   /* the same after gn_request_keep_head(), or NULL */

    long long max_body;       /* bytes */
    long long received;       /* bytes of the body that were read */
    struct gn_chunked chunks; /* while the body is chunked */
    int64_t body_start;       /* when it was first asked for; 0 before */
    bool body_done;           /* all of the body has been read */
    bool body_failed;         /* and never will be */

    enum gn_progress progress;
    int status; /* of the answer; 0 before */
    long long
        promised;      /* bytes of a streamed body by its Content-Length; -1: chunked */
    long long written; /* bytes of it so far */
    bool keep;         /* the connection goes on after the answer */
    bool body_less;    /* the answer has no body: HEAD, 204, 304 */
};

/* Begins a request whose head stands in the wire. */
void gn_request_begin(struct gn_request *, struct gn_wire *, long long max_body);

/* Ends it, once it has been answered: reads a short rest of the body for the sake of
 * the next request, or ends the stream. May wait. */
void gn_request_end(struct gn_request *);

/* Copies the head, so that the wire needs no memory for it: for a request that lasts.
 * Returns 0 or -ENOMEM, and then nothing has changed. */
int gn_request_keep_head(struct gn_request *);

/* Whether the connection may go on after an answer that is given now. */
bool gn_request_may_keep(const struct gn_request *);

/* First value of a header, whose name is compared without case; NULL when it is not
 * there. */
const char *gn_request_header(const struct gn_request *, const char *name);

/* Reads some of the body. Returns the bytes, 0 at its end, -EFBIG past `max_body`,
 * -EBADMSG when its framing is broken, -ETIMEDOUT when it comes too slowly, -EPIPE when
 * the peer is gone, -ECANCELED. May wait. Who expects 100 Continue is told it now. */
ssize_t gn_request_read(struct gn_request *, char *, size_t);

/* The answer. Each may wait for a slow peer and returns 0 or a negative errno (-EPIPE:
 * the peer is gone). `head` is finished header lines without Content-Length, Date,
 * Connection and Transfer-Encoding. */
int gn_respond(struct gn_request *, int status, const char *head, size_t head_len,
               const char *body, size_t body_len);

/* The same in pieces, of `length` bytes in all. With -1 for a length that is not known
 * it is chunked, or for HTTP/1.0 ended by the end of the connection. Writing more than
 * `length` is -EMSGSIZE, and so is finishing with less. */
int gn_respond_start(struct gn_request *, int status, const char *head, size_t head_len,
                     long long length);
int gn_respond_write(struct gn_request *, const char *data, size_t n);
int gn_respond_finish(struct gn_request *);

/* Answers 101: the connection speaks another protocol from now on, and ends with the
 * request. `head` holds the header lines that go with it. */
int gn_respond_switch(struct gn_request *, const char *head, size_t head_len);

/* A plain-text answer of ours with the status's reason, and `why` when it is not NULL.
 */
int gn_respond_error(struct gn_request *, int status, const char *why);

/* The reason phrase of a status (RFC 9110, section 15); "Unknown" for others. */
const char *gn_reason(int status);

#endif
