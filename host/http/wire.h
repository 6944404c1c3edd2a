/* The wire: one record per connection, all of its bytes in and out.
 *
 * Between the kernel's socket and civetweb, which holds the descriptor but is told what
 * the intake says (intake.h). Keeps no buffer while idle, knows by epoll's hints when a
 * system call would be in vain, and keeps the time. Everything is called on the
 * connection's own fiber, except where said. A wire is on one thread at a time, that of
 * its `wires`; it changes threads by gn_wire_leave() and gn_wire_enter(). */
#ifndef GN_WIRE_H
#define GN_WIRE_H

#include "../libc/stream.h"
#include "../sched/sched.h"
#include "gate.h"
#include "peers.h"
#include "tls.h"

#include <stdatomic.h>
#include <sys/uio.h>

enum gn_wire_state {
    GN_WIRE_IDLE, /* between requests: nothing of the next one has come */
    GN_WIRE_HEAD, /* a head is being read */
    GN_WIRE_BUSY  /* a request is being answered */
};

struct gn_wire_options {
    struct gn_gate_limits limits;
    int64_t head_timeout;    /* ns for all of a head */
    int64_t keep_alive;      /* ns that a connection may idle */
    unsigned max_per_peer;   /* connections of one address; 0: as many as they like */
    _Atomic unsigned *gauge; /* is told how many are open; borrowed; or NULL */
};

/* What the connections that a thread serves share. Where several threads do, those of
 * the reception are the home of all, see reception.h. */
struct gn_wires {
    struct gn_sched *sched;
    struct gn_wire_options options;
    struct gn_list all;           /* that are here at present */
    size_t count;                 /* open, wherever they are; at home only */
    struct gn_peers peers;        /* at home only */
    struct gn_observer *observer; /* NULL: none; see observer.h */
    atomic_uint missed; /* news of wires that were away; at home; any thread */
    bool draining;
    bool wanted; /* the thread is: none of them may wait here for its next request */
    struct gn_fiber *drainer;      /* waits for the last wire to close, or NULL */
    struct gn_input *spare_inputs; /* to reuse */
    unsigned spare_count;
};

/* Bytes that have been read. Those of a head stay here, at one address, for as long as
 * its request lasts; those behind it are the body's or the next head's. */
struct gn_input {
    struct gn_input *next_spare;
    struct gn_gate gate;
    size_t off, len; /* bytes[off..len) wait to be consumed */
    char bytes[];    /* as many as gn_input_room() says */
};

/* What a wire needs to be on another thread than its home's for a while. It is watched
 * at home all along; there only once a fiber waits, and then it is muted at home. */
struct gn_loan {
    struct gn_watch watch; /* of that thread */
    bool watched;
    bool out;                /* the wire is away; at home only */
    _Atomic uint32_t missed; /* what home has been told meanwhile; written there */
    struct gn_input *input;  /* goes home with it, instead of the one that it brought */
    struct gn_message message; /* while it is on its way home */
    int64_t since;             /* when it was lent */
    unsigned mark; /* how many loans there had been, of all, at its last request ... */
    bool lonely;   /* ... and there were hardly any since the one before */
};

/* Whoever has the connection once it speaks no HTTP any more. */
struct gn_tenant {
    /* There may be something to read, or room to write, or the peer has gone: see
     * gn_wire_try_read(). Called on the loop's own stack; must not wait. */
    void (*on_ready)(struct gn_tenant *);
    void (*on_drain)(struct gn_tenant *); /* the host stops; must not wait */
};

struct gn_wire {
    struct gn_stream stream; /* what civetweb holds */
    struct gn_watch watch;   /* what epoll holds */
    struct gn_wires *wires;  /* NULL between two threads */
    struct gn_wires *home;   /* where it was opened, and will be closed */
    struct gn_list link;
    struct gn_loan loan;
    struct gn_fiber *worker;          /* serves it; NULL until one has polled it */
    struct gn_fiber *reader, *writer; /* parked, or NULL */
    bool sending;                     /* a fiber is in gn_wire_send() ... */
    struct gn_list senders;           /* ... and these wait for their turn */
    struct gn_tls_session *tls;       /* NULL: plain */
    bool secured;                     /* its handshake is over */
    bool buffered;                    /* it has bytes that epoll knows nothing of */
    struct gn_input *in;   /* with bytes to consume, or being filled; NULL while idle */
    struct gn_input *head; /* holds the head of the running request; may be `in` */
    size_t feed;           /* bytes that civetweb still has to take, see intake.c */
    char *held;            /* answers kept back for one send with the next; or NULL */
    size_t held_len, held_off; /* held[held_off..held_len) has not left */
    enum gn_wire_state state;
    bool readable, writable; /* by epoll; false means that a call would say EAGAIN */
    bool hung_up;            /* the peer ends: a short read proves nothing any more */
    void (*on_gone)(struct gn_wire *); /* called on the loop's own stack when the peer
                                          has gone; NULL: nobody wants to know */
    struct gn_tenant *tenant;          /* NULL while it speaks HTTP */
    bool gone;                         /* that has been called, for a peer that left */
    bool ended;                        /* civetweb shall see the end of the stream */
    bool broken;                       /* the peer cannot be reached any more */
    bool lingers; /* the peer may still send what nobody will read */
    bool cut;     /* the peer shall not take the end of the stream for a good one */
    bool endless; /* see gn_wire_set_endless() */
    bool moves;   /* its request is to have a fiber of its own, see reception.h */
    struct sockaddr_storage peer;
};

void gn_wires_init(struct gn_wires *, struct gn_sched *,
                   const struct gn_wire_options *);

/* Frees the inputs; no wire may be open. */
void gn_wires_term(struct gn_wires *);

/* Makes a wire for an accepted, non-blocking socket, which the wire closes from then
 * on. It speaks TLS when `site` is not NULL. Returns NULL and sets errno on failure;
 * the socket is then still the caller's. */
struct gn_wire *gn_wire_open(struct gn_wires *, int fd, const struct sockaddr_storage *,
                             struct gn_tls_site *site);

/* Has the wire served by another fiber of its thread, or by none: NULL. */
void gn_wire_put_worker(struct gn_wire *, struct gn_fiber *);

/* The wire that the running worker serves; NULL outside one. */
struct gn_wire *gn_wire_self(void);

/* Until when a transfer that began at `start` must go on, after so many bytes: a peer
 * that moves a byte now and then is as good as gone, so only bytes buy time. */
int64_t gn_wire_deadline(int64_t start, size_t moved);

/* ---- in ---- */

/* Takes an empty input. NULL when out of memory. */
struct gn_input *gn_input_take(struct gn_wires *);

/* The same, if there is one that has been given back; NULL otherwise. */
struct gn_input *gn_input_take_spare(struct gn_wires *);

/* Gives one back; NULL is allowed. */
void gn_input_drop(struct gn_wires *, struct gn_input *);

/* Bytes that an input can hold: at least one head, however long. */
size_t gn_input_room(const struct gn_wires *);

/* Waits until reading is worth a try. May wait. Returns 0, -ETIMEDOUT, -ECANCELED, or
 * -EAGAIN when it is between requests and its thread is wanted. */
int gn_wire_wait(struct gn_wire *, int64_t deadline);

/* Reads what is there, once something is. May wait. Returns the bytes (1 to n), 0 at
 * the end of the stream, -ETIMEDOUT, -ECANCELED, or another negative errno. One fiber
 * at a time, while another may send. */
ssize_t gn_wire_read(struct gn_wire *, char *, size_t n, int64_t deadline);

/* Makes the TLS handshake, if one is due. May wait. Returns 0, -ETIMEDOUT, -ECANCELED,
 * -EPROTO, or -ENOMSG when a plain request has come: the wire is plain from then on. */
int gn_wire_secure(struct gn_wire *, int64_t deadline);

/* ---- out ---- */

/* Writes all of the buffers, which it uses up, after what is held. Fibers that do so at
 * once take turns. May wait for a slow peer. Returns 0, -EPIPE when the peer is gone,
 * -ETIMEDOUT when it takes too little for a long time, or -ECANCELED. */
int gn_wire_send(struct gn_wire *, struct iovec *, size_t count);

/* As gn_wire_send(), but on the worker's own fiber may keep the bytes back until the
 * worker waits: for what is followed by more at once. */
int gn_wire_hold(struct gn_wire *, struct iovec *, size_t count);

/* How many bytes have been held and not forgotten since. */
size_t gn_wire_held(const struct gn_wire *);

/* Forgets what was held after gn_wire_held() said `mark`. Returns false, and does
 * nothing, when some of it may have left. */
bool gn_wire_take_back(struct gn_wire *, size_t mark);

/* Whether the running request is endless: it is cancelled when the host stops, and soon
 * after the peer has vanished without a word, once something is sent to it. */
void gn_wire_set_endless(struct gn_wire *, bool);

/* Writes what is held. */
int gn_wire_flush(struct gn_wire *);

/* Writes as many of a file's bytes from `at` on as a peer without TLS takes at once, by
 * sendfile(2). SIGPIPE must be ignored, as civetweb sees to. Never waits. Returns the
 * bytes, 0 at the end of the file, -EAGAIN, -EPIPE when the peer is gone, or another
 * negative errno, which is the file's. */
ssize_t gn_wire_push_file(struct gn_wire *, int fd, off_t at, size_t n);

/* Waits until a peer without TLS may take more. May wait. Returns 0 or as
 * gn_wire_send(). */
int gn_wire_wait_room(struct gn_wire *, int64_t deadline);

/* ---- for a tenant: never waits ---- */

/* Reads what is there. Returns the bytes, 0 at the end of the stream, -EAGAIN when
 * nothing is there, or another negative errno. */
ssize_t gn_wire_try_read(struct gn_wire *, char *, size_t n);

/* Writes what the peer takes at once, in one call. Returns the bytes, -EAGAIN, or
 * -EPIPE when the peer is gone. After -EAGAIN the next call must begin with the same
 * bytes, up to GN_WIRE_RECORD of them. */
enum { GN_WIRE_RECORD = 16 * 1024 };
ssize_t gn_wire_try_send(struct gn_wire *, struct iovec *, size_t count);

/* Tells the peer that nothing more comes. */
void gn_wire_say_end(struct gn_wire *);

/* ---- for tls.c: the kernel's socket; never waits ---- */

/* Returns the bytes, 0 at the end, or a negative errno; after -EAGAIN `readable` or
 * `writable` is false until epoll says otherwise. */
ssize_t gn_wire_pull(struct gn_wire *, char *, size_t n);
ssize_t gn_wire_push(struct gn_wire *, struct iovec *, size_t count);

/* ---- from thread to thread ---- */

/* Takes a wire, for which nobody waits, off the running thread: it is on none until
 * gn_wire_enter(). */
void gn_wire_leave(struct gn_wire *);

/* Puts it on the running thread. */
void gn_wire_enter(struct gn_wire *, struct gn_wires *);

/* Has its events come to the running thread, which is not its home's, even though no
 * fiber that serves it waits. */
void gn_wire_settle(struct gn_wire *);

/* Has it told again, to a thread that is not its home's, if the peer has hung up:
 * nobody has listened. */
void gn_wire_remind(struct gn_wire *);

/* Has those that wait for their next request leave, as their thread is wanted. Must not
 * wait. */
void gn_wires_want(struct gn_wires *);

/* ---- the end ---- */

/* Tells the tenants, and cancels the requests that are endless. Every other wire ends
 * after its next answer, or when no request comes for a moment. */
void gn_wires_begin_drain(struct gn_wires *);

/* Waits until all are closed or the deadline; returns how many are left. At home. */
size_t gn_wires_drain(struct gn_wires *, int64_t deadline);

/* Cancels every worker that serves a wire: its present wait and all later ones fail. */
void gn_wires_abort(struct gn_wires *);

/* At home: closes the socket and frees the wire; first lets a peer that is still
 * sending read its answer. May wait. Returns as close(2). */
int gn_wire_close(struct gn_wire *);

#endif
