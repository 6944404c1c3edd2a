/* A request as the front has parsed it, and the answer under way: one exchange.
 *
 * Plain data for the rest of the host: who fills it in (civetweb today) does not show.
 */
#ifndef GN_REQUEST_H
#define GN_REQUEST_H

#include "wire.h"

#include <stdbool.h>

enum { GN_HEADERS = 64 };

struct gn_header {
    const char *name, *value;
};

enum gn_progress { GN_UNANSWERED, GN_STREAMING, GN_ANSWERED };

/* Everything is borrowed from the connection, and valid until the request ends. */
struct gn_request {
    struct gn_wire *wire;
    const char *method;  /* "GET" */
    const char *target;  /* path as sent, percent-encoded, without the query */
    const char *query;   /* after '?'; NULL when there is none */
    const char *version; /* "1.0" or "1.1" */
    struct gn_header headers[GN_HEADERS];
    int header_count;
    long long content_length; /* bytes; -1 when not told */
    long long max_body;       /* bytes */
    bool chunked;             /* the body is, so its length is not known */
    bool body_done;           /* all of the body has been read */
    bool continued;           /* 100 Continue has been sent */
    long long received;       /* bytes of the body that were read */
    ssize_t (*read)(struct gn_request *, void *,
                    size_t); /* the front's; see gn_request_read() */
    void *front;             /* the front's own handle */

    enum gn_progress progress;
    int status;     /* of the answer; 0 before */
    bool keep;      /* the connection goes on after the answer */
    bool body_less; /* no body may be sent: HEAD, 204, 304 */
};

/* First value of a header, whose name is compared without case; NULL when it is not
 * there. */
const char *gn_request_header(const struct gn_request *, const char *name);

/* Reads some of the body. Returns the bytes, 0 at its end, -EFBIG past `max_body`,
 * -EPIPE when the peer is gone. May wait. */
ssize_t gn_request_read(struct gn_request *, void *, size_t);

/* The answer. Each may wait for a slow peer and returns 0 or a negative errno (-EPIPE:
 * the peer is gone). `head` is finished header lines without Content-Length, Date,
 * Connection and Transfer-Encoding. */
int gn_respond(struct gn_request *, int status, const char *head, size_t head_len,
               const char *body, size_t body_len);

/* The same in pieces: chunked for HTTP/1.1, ended by the close of the connection
 * for 1.0. */
int gn_respond_start(struct gn_request *, int status, const char *head,
                     size_t head_len);
int gn_respond_write(struct gn_request *, const char *data, size_t n);
int gn_respond_finish(struct gn_request *);

/* A plain-text answer of ours with the status's reason, and `why` when it is not NULL.
 */
int gn_respond_error(struct gn_request *, int status, const char *why);

/* The reason phrase of a status (RFC 9110, section 15); "Unknown" for others. */
const char *gn_reason(int status);

#endif
