/* The wire: one record per connection, between the kernel's socket and civetweb.
 *
 * civetweb's poll() reads ahead into the wire's buffer and its recv() is served from
 * there, so that "readable" is always true and a request costs two system calls.
 * Time-outs are the wire's, not civetweb's: when one has passed, or the host drains,
 * civetweb sees the end of the stream. Answers go out here too. All of it on the
 * connection's own fiber, except where said. */
#ifndef GN_WIRE_H
#define GN_WIRE_H

#include "../libc/stream.h"
#include "../sched/sched.h"

#include <sys/uio.h>

enum gn_wire_state {
    GN_WIRE_IDLE, /* between requests: nothing of the next one has come */
    GN_WIRE_HEAD, /* a head is being read */
    GN_WIRE_BUSY  /* a request is being answered */
};

/* What all connections of a server share. */
struct gn_wires {
    struct gn_sched *sched;
    struct gn_list all;
    size_t count;
    bool draining;
    struct gn_fiber
        *drainer;  /* woken when the last wire closes; NULL when nobody waits */
    void *buffers; /* read buffers to reuse */
    unsigned buffer_count;
};

struct gn_wire {
    struct gn_stream stream; /* what civetweb holds */
    struct gn_watch watch;   /* what epoll holds */
    struct gn_wires *wires;
    struct gn_list link;
    struct gn_fiber *worker;          /* serves it; NULL until one has polled it */
    struct gn_fiber *reader, *writer; /* parked, or NULL */
    char *in;                         /* read-ahead; NULL while empty */
    unsigned in_len, in_off;          /* bytes in it, and how many were taken */
    enum gn_wire_state state;
    bool readable,
        writable; /* hints from epoll: false means that a call would say EAGAIN */
    bool hung_up; /* the peer has sent its end: a short read proves nothing any more */
    bool ended;   /* civetweb shall see the end of the stream */
    bool broken;  /* the peer cannot be reached any more */
    bool lingers; /* the peer may still be sending what nobody will read */
    struct sockaddr_storage peer;
};

void gn_wires_init(struct gn_wires *, struct gn_sched *);

/* Frees the buffers; no wire may be open. */
void gn_wires_term(struct gn_wires *);

/* Makes a wire for an accepted, non-blocking socket, which the wire closes from then
 * on. Returns NULL and sets errno on failure; the socket is then still the caller's. */
struct gn_wire *gn_wire_open(struct gn_wires *, int fd,
                             const struct sockaddr_storage *peer);

/* The wire that the running worker serves; NULL outside one. */
struct gn_wire *gn_wire_self(void);

/* Writes all of the buffers, which it uses up. May wait for a slow peer.
 * Returns 0, -EPIPE when the peer is gone, -ETIMEDOUT when it takes nothing for a long
 * time, or -ECANCELED. */
int gn_wire_send(struct gn_wire *, struct iovec *, size_t count);

/* Bounds of a request, for the time-outs and for draining. */
void gn_wire_begin(struct gn_wire *);

/* With `keep` false civetweb sees the end of the stream next. */
void gn_wire_end(struct gn_wire *, bool keep);

/* Ends every idle wire now and every other one after its answer. Waits until all are
 * closed or the deadline; returns how many are left. */
size_t gn_wires_drain(struct gn_wires *, int64_t deadline);

/* Cancels every worker that serves a wire: its present wait and all later ones fail. */
void gn_wires_abort(struct gn_wires *);

/* What civetweb is told instead of an address, since it knows only IPv4: the loopback
 * and a port. */
void gn_wire_stand_in(struct sockaddr *, socklen_t *, int port);

/* Numeric address of the peer, for people; returns the port, 0 when it has none. */
int gn_wire_peer(const struct gn_wire *, char *out, size_t room);

#endif
