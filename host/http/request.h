/* A request, its body, and the answer under way.
 *
 * Its worker's fiber begins and ends it. Other fibers may read the body, one at a time,
 * and write the answer in pieces, which take turns; the end of the request cuts short
 * what they are at. */
#ifndef GN_REQUEST_H
#define GN_REQUEST_H

#include "chunked.h"
#include "gate.h"
#include "wire.h"

#include <stdbool.h>

enum { GN_ID_MOST = 128 }; /* bytes of a request's id */

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
    int64_t body_waited;      /* ns that have been spent in reading it */
    bool invited;             /* the client knows that it may send the body */
    bool body_done;           /* all of the body has been read */
    bool body_failed;         /* and never will be */
    bool reading;             /* a fiber is in gn_request_read() */

    enum gn_progress progress;
    int status; /* of the answer; 0 before */
    long long
        promised;      /* bytes of a streamed body by its Content-Length; -1: chunked */
    long long written; /* bytes of the answer's body so far */
    bool keep;         /* the connection goes on after the answer */
    bool body_less;    /* the answer has no body: HEAD, 204, 304 */
    size_t mark;       /* what the wire held before the head of a streamed answer */

    struct gn_list guests;   /* calls of other fibers that go on */
    struct gn_fiber *closer; /* waits for their ends, or NULL */
    bool over;               /* no more of them may begin */

    bool observed, counted;  /* see observer.h, and the next */
    struct gn_reading began; /* when it was */
    unsigned generation;     /* that has answered it; 0: none */
    unsigned route;          /* see stats.h; 0: none */
    char client[48];         /* the address that a trusted proxy tells; "" before */
    char id[GN_ID_MOST + 1]; /* see gn_request_id(); "" before */
};

/* A call on a request, as its fiber keeps it while it goes on. */
struct gn_guest {
    struct gn_list link;
    struct gn_scope scope;
    struct gn_request *request; /* NULL on the worker's own fiber */
};

/* Begins a request whose head stands in the wire. */
void gn_request_begin(struct gn_request *, struct gn_wire *, long long max_body);

/* Ends it, once it has been answered: interrupts the calls of other fibers, reads a
 * short rest of the body for the sake of the next request, or ends the stream. May
 * wait. */
void gn_request_end(struct gn_request *);

/* Begins a call that may wait. Returns 0, or -ECANCELED when the request is over. */
int gn_guest_enter(struct gn_guest *, struct gn_request *);

/* Ends it. The request may be gone afterwards. */
void gn_guest_leave(struct gn_guest *);

/* Copies the head, so that the wire needs no memory for it: for a request that lasts.
 * Returns 0 or -ENOMEM, and then nothing has changed. */
int gn_request_keep_head(struct gn_request *);

/* Whether the connection may go on after an answer that is given now. */
bool gn_request_may_keep(const struct gn_request *);

/* First value of a header, whose name is compared without case; NULL when it is not
 * there. */
const char *gn_request_header(const struct gn_request *, const char *name);

/* An id that no other request has: 32 hexadecimal digits, random, unless a trusted
 * proxy has told one. Valid until the request ends. */
const char *gn_request_id(struct gn_request *);

/* Sends 100 Continue to a client that waits for it, once, if it may have to wait. */
int gn_request_invite(struct gn_request *);

/* Reads some of the body. Returns the bytes, 0 at its end, -EFBIG past `max_body`,
 * -EBADMSG when its framing is broken, -ETIMEDOUT when it comes too slowly, -EPIPE when
 * the peer is gone, -EBUSY while another fiber reads, -ECANCELED. May wait. Who expects
 * 100 Continue is told it now. */
ssize_t gn_request_read(struct gn_request *, char *, size_t);

/* The answer. Each may wait for a slow peer and returns 0 or a negative errno (-EPIPE:
 * the peer is gone). `head` is finished header lines without Content-Length, Date,
 * Connection and Transfer-Encoding. */
int gn_respond(struct gn_request *, int status, const char *head, size_t head_len,
               const char *body, size_t body_len);

/* The same in pieces, of `length` bytes in all. With -1 for a length that is not known
 * it is chunked, or for HTTP/1.0 ended by the end of the connection. Writing more than
 * `length` is -EMSGSIZE, and so is finishing with less. The head leaves with the first
 * piece, or when the worker waits; before it, a client that expects 100 Continue is
 * told so, since the handler may read on. */
int gn_respond_start(struct gn_request *, int status, const char *head, size_t head_len,
                     long long length);
int gn_respond_write(struct gn_request *, const char *data, size_t n);
int gn_respond_finish(struct gn_request *);

/* Makes a started answer one that was not, while nothing of it has left. Returns
 * whether that was so. */
bool gn_respond_retract(struct gn_request *);

/* Gives up a started answer: the connection ends so that the peer notices. */
void gn_respond_cut(struct gn_request *);

/* Answers 101: the connection speaks another protocol from now on, and ends with the
 * request. `head` holds the header lines that go with it. */
int gn_respond_switch(struct gn_request *, const char *head, size_t head_len);

/* A plain-text answer of ours with the status's reason, and `why` when it is not NULL.
 */
int gn_respond_error(struct gn_request *, int status, const char *why);

/* The reason phrase of a status (RFC 9110, section 15); "Unknown" for others. */
const char *gn_reason(int status);

#endif
