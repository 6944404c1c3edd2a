/* Streams: descriptors whose bytes belong to a layer above.
 *
 * The owner of a stream stands between the kernel and whoever holds the number: the
 * calls below that name its descriptor go to the owner instead. civetweb's connections
 * are such streams, and so is the listening socket it accepts them from. */
#ifndef GN_STREAM_H
#define GN_STREAM_H

#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct gn_stream;

/* Each is called as libc's function of that name would be, on a fiber or off it:
 * returns -1 with errno set for failures. `poll` and `close` are needed; recv, send and
 * accept that are NULL fail with EOPNOTSUPP; the others that are NULL are left to libc.
 */
struct gn_stream_ops {
    short (*poll)(struct gn_stream *, short events,
                  int timeout_ms); /* returns revents */
    ssize_t (*recv)(struct gn_stream *, void *, size_t, int flags);
    ssize_t (*send)(struct gn_stream *, const void *, size_t, int flags);
    int (*accept)(struct gn_stream *, struct sockaddr *, socklen_t *);
    int (*name)(struct gn_stream *, struct sockaddr *, socklen_t *); /* getsockname */
    int (*listen)(struct gn_stream *);
    int (*shutdown)(struct gn_stream *, int how);
    int (*close)(
        struct gn_stream *); /* must close the descriptor and may free the stream */
};

struct gn_stream {
    const struct gn_stream_ops *ops;
    int fd;
};

/* Owns `s->fd` until gn_stream_disown() or close(). Borrows the stream. Returns 0,
 * -EBADF for a number beyond 1,048,575, or -ENOMEM. The table is one for the process,
 * as descriptors are. */
int gn_stream_own(struct gn_stream *s);

/* Gives the descriptor back to libc. */
void gn_stream_disown(struct gn_stream *s);

/* As `close` of a stream that has nothing more to do: gives the descriptor back and
 * closes it. Twice is fine. */
int gn_stream_close(struct gn_stream *s);

/* The stream that owns a descriptor; NULL when none does. Any thread. */
struct gn_stream *gn_stream_of(int fd);

/* The calling fiber's next bind() takes over this bound and listening socket instead of
 * binding: the number it was called with becomes s->fd, owned by the stream, and the
 * old number is closed. */
void gn_bind_adopts(struct gn_stream *s);

#endif
