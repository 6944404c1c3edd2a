/* WebSocket frames on their way out (RFC 6455, section 5).
 *
 * A frame is built once, never changed, and shared by the queues of all who get it. An
 * outbox is the queue of one connection: references in the order they were put in, and
 * how far the first of them has been sent, so that frames never interleave. */
#ifndef GN_FRAME_H
#define GN_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

enum gn_opcode {
    GN_WS_MORE = 0x0, /* goes on with a message */
    GN_WS_TEXT = 0x1,
    GN_WS_BINARY = 0x2,
    GN_WS_CLOSE = 0x8, /* this and the next are control frames */
    GN_WS_PING = 0x9,
    GN_WS_PONG = 0xa
};

enum {
    GN_FRAME_HEADER = 10, /* bytes of the longest header */
    GN_CONTROL_MOST = 125 /* bytes of a control frame's payload */
};

struct gn_frame {
    unsigned refs;
    enum gn_opcode opcode;
    unsigned header; /* bytes of it */
    size_t length;   /* bytes of header and payload */
    char bytes[];
};

struct gn_outbox {
    struct gn_frame **ring; /* NULL until there was something to queue */
    unsigned first, count, room;
    size_t sent;  /* bytes of the first frame that have left */
    size_t bytes; /* that wait */
};

/* Writes the header of an unfragmented frame. Returns its bytes. */
size_t gn_frame_header(char *out, enum gn_opcode, size_t payload);

/* Makes a frame, with one reference. NULL when out of memory. */
struct gn_frame *gn_frame_new(enum gn_opcode, const char *payload, size_t n);

/* NULL is allowed. */
void gn_frame_unref(struct gn_frame *);

static inline const char *gn_frame_payload(const struct gn_frame *f)
{
    return f->bytes + f->header;
}

static inline size_t gn_frame_payload_length(const struct gn_frame *f)
{
    return f->length - f->header;
}

/* ---- outboxes; zeroed memory is an empty one ---- */

/* Appends a frame, to which it refers. Returns 0 or -ENOMEM. */
int gn_outbox_put(struct gn_outbox *, struct gn_frame *);

/* Fills in what is to be sent first. Returns how many of the `most` were used. */
size_t gn_outbox_look(const struct gn_outbox *, struct iovec *, size_t most);

/* So many bytes have been sent. */
void gn_outbox_sent(struct gn_outbox *, size_t n);

/* The first frame; NULL when empty. Borrowed. */
struct gn_frame *gn_outbox_first(const struct gn_outbox *);

/* Takes the first frame out, which must not have been begun; NULL when empty. Returns
 * owned. */
struct gn_frame *gn_outbox_take(struct gn_outbox *);

/* Drops whole frames from the end, but none that begins within the first `keep` bytes.
 */
void gn_outbox_cut(struct gn_outbox *, size_t keep);

/* Drops everything, and its memory. */
void gn_outbox_clear(struct gn_outbox *);

#endif
