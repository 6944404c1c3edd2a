/* WebSockets (RFC 6455): a connection after its 101.
 *
 * Bytes are read when they come, not when somebody asks for a message: pings are
 * answered and a close is noticed while the handler is busy. Whole messages wait in an
 * inbox, and nothing more is read while that is full. What is sent goes out at once as
 * far as the peer takes it; the rest waits in a queue of frames. A close is answered
 * once the messages before it have been taken, so that they can be answered too.
 * Nothing but what says so waits. */
#ifndef GN_WEBSOCKET_H
#define GN_WEBSOCKET_H

#include "deflate.h"
#include "topics.h"
#include "wire.h"

struct gn_hub_options {
    size_t queue; /* bytes that may wait for a slow reader */
    int64_t ping; /* ns of silence after which a peer is asked whether it is there, and
                     after twice as many dropped; 0: never */
};

/* What all sockets of a server share. */
struct gn_hub {
    struct gn_sched *sched;
    struct gn_hub_options options;
    struct gn_topics topics;
    struct gn_deflate deflate;
    struct gn_decoder *spare; /* to reuse */
    unsigned spare_count;
    unsigned long dropped; /* sockets that read too slowly */
    struct gn_list unsent; /* sockets whose queue a publisher has filled */
    bool flushing;         /* a fiber is at work on those */
};

/* What is told of an end: a code (RFC 6455, section 7.4) and what the closer wrote. */
struct gn_ending {
    int code; /* 0 before it; 1005: closed without one; 1006: without a close */
    size_t length;
    char reason[GN_CONTROL_MOST - 2];
};

struct gn_ws {
    struct gn_tenant tenant;
    struct gn_reader reader;
    struct gn_subscriber subscriber;
    struct gn_hub *hub;
    struct gn_wire *wire;
    unsigned refs;                   /* of those who wait for it, and of its maker */
    struct gn_decoder *decoder;      /* NULL between messages */
    struct gn_letter *first, **last; /* the inbox */
    unsigned letters;                /* in it */
    size_t letter_bytes;
    struct gn_outbox out;
    struct gn_list unsent;           /* in hub->unsent, or in no list */
    struct gn_list readers, writers; /* fibers that wait */
    struct gn_fiber *closer;         /* in gn_ws_finish(), or NULL */
    struct gn_timer timer;           /* while open: for pings; then: the last moment */
    struct gn_timer again;           /* armed when more is to be read soon */
    int64_t heard;                   /* when the last byte came */
    struct gn_ending ending;
    size_t at_close; /* bytes that waited when the timer was armed for the end */
    char *kept;      /* what its handler leaves to the next one; or NULL */
    size_t kept_size;
    bool moving; /* its handler is to end, and another one to go on with it */
    bool asked;  /* it has been pinged, and nothing has come since */
    bool deaf;   /* nothing more is taken from the peer: it has closed, or erred */
    bool closed; /* nothing more is sent but what is queued, a close last of all */
    bool ended;  /* nor that */
};

void gn_hub_init(struct gn_hub *, struct gn_sched *, const struct gn_hub_options *);

/* Every socket must have ended. May wait. */
void gn_hub_term(struct gn_hub *);

/* Makes a socket, which gn_ws_finish() frees; `deflate`: it has agreed to compress
 * messages. NULL when out of memory. */
struct gn_ws *gn_ws_new(struct gn_hub *, struct gn_wire *, size_t max_message,
                        bool deflate);

/* Takes over the wire, once it has been answered with 101, until gn_ws_finish(). */
void gn_ws_begin(struct gn_ws *);

/* Takes a message out of the inbox. May wait. Returns 0 and the letter, which the
 * caller frees; -EPIPE when no more will come (`ending` tells why), -ESTALE when they
 * are another handler's, -ETIMEDOUT, -ECANCELED or -ETIME. */
int gn_ws_take(struct gn_ws *, int64_t deadline, struct gn_letter **);

/* Sends a message. May wait, while more than half of the queue is full, where it may
 * wait at all. Returns 0, -EPIPE when the socket is closed, -ECANCELED or -ETIME. */
int gn_ws_send(struct gn_ws *, enum gn_opcode, const char *, size_t);

/* Sends a control frame of at most GN_CONTROL_MOST bytes. Returns 0 or -EPIPE. */
int gn_ws_control(struct gn_ws *, enum gn_opcode, const char *, size_t);

/* Has its handler end, so that another one goes on with the open socket: what has come
 * waits for that one. */
void gn_ws_move(struct gn_ws *);

/* Leaves bytes to the next handler, instead of what was left before. Takes them, from
 * malloc(). */
void gn_ws_keep(struct gn_ws *, char *data, size_t n);

/* Begins the end: nothing more is sent after this. Does nothing to a socket that is
 * closed or closing. The reason is cut to what fits. */
void gn_ws_close(struct gn_ws *, int code, const char *reason, size_t n);

/* Whether nothing more can be sent. */
static inline bool gn_ws_is_closed(const struct gn_ws *ws)
{
    return ws->closed;
}

/* Closes with `code` if that has not been done, lets the peer answer, and gives the
 * connection back; frees the socket once nobody waits for it any more. May wait, but
 * not for long. */
void gn_ws_finish(struct gn_ws *, int code);

#endif
