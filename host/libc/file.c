/* read readv write writev sendfile close, on whatever the descriptor is.
 *
 * Pipes and sockets are tried with RWF_NOWAIT, which leaves their flags alone; what
 * does not know it (terminals, FIFOs) is asked by poll(2) first. Regular files never
 * wait: the plain call is made. */
#include "block.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

typedef ssize_t (*vector_call)(int, const struct iovec *, int);
typedef ssize_t (*nowait_call)(int, const struct iovec *, int, off_t, int);

/* One direction of traffic. */
struct way {
    nowait_call nowait;
    vector_call plain;
    short event;
    int (*wait)(int fd);
};

static struct way reading(void)
{
    return (struct way){preadv2, gn_real()->readv, POLLIN, gn_wait_readable};
}

static struct way writing(void)
{
    return (struct way){pwritev2, gn_real()->writev, POLLOUT, gn_wait_writable};
}

static bool blocks(int fd, short event)
{
    struct pollfd p = {.fd = fd, .events = event};
    return gn_poll_now(&p, 1) == 0;
}

/* Whether the plain call does on a fiber what it does on a thread. */
static bool is_plain(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || flags & O_NONBLOCK || fstat(fd, &st) < 0 || S_ISREG(st.st_mode);
}

/* The plain call where poll(2) has promised no more than room for PIPE_BUF bytes. */
static ssize_t transfer_some(const struct way *w, int fd, const struct iovec *iov,
                             int count)
{
    while (count > 1 && iov->iov_len == 0)
        iov++, count--;
    if (w->event == POLLIN || count == 0)
        return w->plain(fd, iov, count);
    struct iovec part = *iov;
    part.iov_len = part.iov_len < PIPE_BUF ? part.iov_len : PIPE_BUF;
    return w->plain(fd, &part, 1);
}

/* Moves what can be moved at once; waits until that is something. As libc's readv or
 * writev, but a write may be short. */
static ssize_t transfer(const struct way *w, int fd, const struct iovec *iov, int count)
{
    for (;;) {
        ssize_t r = w->nowait(fd, iov, count, -1, RWF_NOWAIT);
        bool unknown = r < 0 && errno == EOPNOTSUPP; /* NOWAIT, to such descriptors */
        if (r >= 0 || (errno != EAGAIN && !unknown))
            return r;
        if (unknown && is_plain(fd))
            return w->plain(fd, iov, count);
        if (unknown && !blocks(fd, w->event))
            return transfer_some(w, fd, iov, count);
        if (w->wait(fd) < 0) /* EPERM: a file that is not in the cache */
            return errno == EPERM ? w->plain(fd, iov, count) : -1;
    }
}

ssize_t readv(int fd, const struct iovec *iov, int count)
{
    if (!gn_fiber_self())
        return gn_real()->readv(fd, iov, count);
    struct way w = reading();
    return transfer(&w, fd, iov, count);
}

ssize_t read(int fd, void *buf, size_t n)
{
    if (!gn_fiber_self())
        return gn_real()->read(fd, buf, n);
    if (gn_stream_of(fd))
        return recv(fd, buf, n, 0);
    struct way w = reading();
    return transfer(&w, fd, &(struct iovec){buf, n}, 1);
}

/* A blocking write() returns when all is written. */
ssize_t write(int fd, const void *buf, size_t n)
{
    if (!gn_fiber_self())
        return gn_real()->write(fd, buf, n);
    if (gn_stream_of(fd))
        return send(fd, buf, n, MSG_NOSIGNAL);
    struct way w = writing();
    size_t done = 0;
    do {
        struct iovec rest = {(char *)buf + done, n - done};
        ssize_t r = transfer(&w, fd, &rest, 1);
        if (r < 0)
            return done ? (ssize_t)done : -1;
        done += (size_t)r;
    } while (done < n);
    return (ssize_t)done;
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    if (!gn_fiber_self())
        return gn_real()->writev(fd, iov, count);
    struct way w = writing();
    ssize_t total = 0;
    for (int i = 0; i < count; i++)
        total += (ssize_t)iov[i].iov_len;
    ssize_t done = transfer(&w, fd, iov, count);
    if (done < 0 || done == total)
        return done;
    for (ssize_t skip = done; count > 0;
         iov++, count--) { /* the rest, buffer by buffer */
        ssize_t len = (ssize_t)iov->iov_len, from = skip < len ? skip : len;
        ssize_t r = from < len
                        ? write(fd, (char *)iov->iov_base + from, (size_t)(len - from))
                        : 0;
        if (r < 0)
            break;
        done += r;
        skip -= from;
    }
    return done;
}

ssize_t sendfile(int out, int in, off_t *offset, size_t n)
{
    if (!gn_may_park())
        return gn_real()->sendfile(out, in, offset, n);
    for (;;) {
        int old = gn_nonblock_begin(out);
        ssize_t r = gn_real()->sendfile(out, in, offset, n);
        gn_nonblock_end(out, old);
        if (r >= 0 || errno != EAGAIN || old & O_NONBLOCK || gn_wait_writable(out) < 0)
            return r;
    }
}

ssize_t sendfile64(int out, int in, off_t *offset, size_t n)
{
    return sendfile(out, in, offset, n);
}

int close(int fd)
{
    struct gn_stream *stream = gn_stream_of(fd);
    if (stream)
        return stream->ops->close(stream);
    struct gn_sched *s = gn_sched_self();
    if (s)
        gn_fd_closed(&s->poller, fd);
    return gn_real()->close(fd);
}

ssize_t __read_chk(int fd, void *buf, size_t n, size_t size)
{
    if (n > size)
        abort();
    return read(fd, buf, n);
}
