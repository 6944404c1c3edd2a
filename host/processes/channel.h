/* The channel between the parent and one of its processes: messages, each of a kind and
 * some bytes, whole and in order, both ways.
 *
 * Who is interested in a kind says so with gn_channel_on(); a message that nobody wants
 * is dropped. Sending never waits: what the other side does not take yet is kept, up to
 * a bound. Everything is called on the thread of the scheduler that the channel was
 * opened on. Knows no Lua, no HTTP, and nothing of what the kinds mean. */
#ifndef GN_CHANNEL_H
#define GN_CHANNEL_H

#include "../sched/sched.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    GN_CHANNEL_MOST = 64 * 1024,   /* bytes of one message */
    GN_CHANNEL_QUEUE = 4096 * 1024 /* bytes that may wait until the other side reads */
};

/* The first byte of a message. */
enum gn_kind {
    /* to a process */
    GN_KIND_LOAD,   /* struct gn_order: load that generation aside */
    GN_KIND_COMMIT, /* struct gn_order: let it serve */
    GN_KIND_ABORT,  /* struct gn_order and a text: forget it; why */
    GN_KIND_SERVE,  /* take connections */
    GN_KIND_COUNT,  /* unsigned: how many processes there are */
    GN_KIND_STOP,   /* end in order */
    GN_KIND_REOPEN, /* open the files of the logs anew */
    /* to the parent */
    GN_KIND_LOADED,  /* struct gn_order: it has loaded that generation */
    GN_KIND_FAILED,  /* struct gn_order and a text: it could not; why */
    GN_KIND_SWAPPED, /* struct gn_order: that generation serves */
    GN_KIND_WANT,    /* unsigned: the number of a wish to reload */
    /* both ways */
    GN_KIND_TOPIC, /* for who carries topics */
    GN_KINDS
};

struct gn_channel;

/* Called on the loop's own stack with the bytes behind the kind, borrowed; must not
 * wait. May send, and may close the channel. */
typedef void gn_channel_fn(struct gn_channel *, const char *data, size_t n, void *arg);

struct gn_channel {
    struct gn_watch watch; /* its fd is -1 while closed */
    struct {
        gn_channel_fn *fn; /* NULL: nobody wants this kind */
        void *arg;
    } handlers[GN_KINDS];
    void (*on_end)(struct gn_channel *, void *arg); /* the other side has gone; on the
                                                       loop's own stack; may be NULL */
    void *end_arg;
    struct gn_list queue; /* of messages that wait to be sent */
    size_t queued;        /* bytes in it */
};

/* Makes both ends, closed on exec. Returns 0 or a negative errno. */
int gn_channel_pair(int fd[2]);

/* Opens one end on the running scheduler; takes the descriptor in any case. Messages
 * are handed out from the next round on: call gn_channel_on() before waiting. Returns 0
 * or a negative errno. */
int gn_channel_open(struct gn_channel *, int fd);

/* Has messages of a kind handed to `fn`; NULL: to nobody. */
void gn_channel_on(struct gn_channel *, enum gn_kind, gn_channel_fn *fn, void *arg);

/* Sends a message. Returns 0 when it has been sent or will be, -EMSGSIZE, -ENOBUFS when
 * too much waits already, -EPIPE when the other side has gone, or -ENOMEM. */
int gn_channel_send(struct gn_channel *, enum gn_kind, const void *data, size_t n);

/* Closes it; what waits to be sent is lost. Twice is fine. */
void gn_channel_close(struct gn_channel *);

#endif
