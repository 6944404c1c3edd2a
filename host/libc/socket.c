/* Sockets: try without blocking, and park on EAGAIN. The real O_NONBLOCK flag stays the
 * application's. */
#include "block.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { IOVS_ON_STACK = 8, CONNECT_AGAIN_MS = 2 };

static bool would_block(ssize_t r, int flags)
{
    return r < 0 && (errno == EAGAIN || errno == EINTR) && !(flags & MSG_DONTWAIT);
}

/* What a call has brought, counted against the fiber's slice. */
static ssize_t spent(ssize_t r)
{
    if (r > 0)
        gn_spend((size_t)r);
    return r;
}

/* ---- receiving ---- */

/* A blocking recv() with MSG_WAITALL goes on until the buffer is full or the stream
 * ends. */
static ssize_t recv_all(int fd, char *buf, size_t n, int flags)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = recv(fd, buf + got, n - got, flags & ~MSG_WAITALL);
        if (r <= 0)
            return got ? (ssize_t)got : r;
        got += (size_t)r;
    }
    return (ssize_t)got;
}

ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    struct gn_stream *s = gn_stream_of(fd);
    if (s)
        return s->ops->recv ? s->ops->recv(s, buf, n, flags) : gn_fail(-EOPNOTSUPP);
    if (!gn_fiber_self())
        return gn_real()->recv(fd, buf, n, flags);
    if ((flags & (MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT)) == MSG_WAITALL)
        return recv_all(fd, buf, n, flags);
    ssize_t r;
    do
        r = gn_real()->recv(fd, buf, n, flags | MSG_DONTWAIT);
    while (would_block(r, flags) && gn_wait_readable(fd) == 0);
    return spent(r);
}

ssize_t recvfrom(int fd, void *buf, size_t n, int flags, struct sockaddr *from,
                 socklen_t *len)
{
    if (!from || gn_stream_of(fd))
        return recv(fd, buf, n, flags);
    if (!gn_fiber_self())
        return gn_real()->recvfrom(fd, buf, n, flags, from, len);
    ssize_t r;
    do
        r = gn_real()->recvfrom(fd, buf, n, flags | MSG_DONTWAIT, from, len);
    while (would_block(r, flags) && gn_wait_readable(fd) == 0);
    return spent(r);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    if (!gn_fiber_self())
        return gn_real()->recvmsg(fd, msg, flags);
    ssize_t r;
    do
        r = gn_real()->recvmsg(fd, msg, flags | MSG_DONTWAIT);
    while (would_block(r, flags) && gn_wait_readable(fd) == 0);
    return spent(r);
}

/* ---- sending: a blocking send() returns when all is sent ---- */

ssize_t sendto(int fd, const void *buf, size_t n, int flags, const struct sockaddr *to,
               socklen_t len)
{
    struct gn_stream *s = gn_stream_of(fd);
    if (s)
        return s->ops->send ? s->ops->send(s, buf, n, flags) : gn_fail(-EOPNOTSUPP);
    if (!gn_fiber_self())
        return gn_real()->sendto(fd, buf, n, flags, to, len);
    size_t sent = 0;
    for (;;) {
        ssize_t r = gn_real()->sendto(fd, (const char *)buf + sent, n - sent,
                                      flags | MSG_DONTWAIT, to, len);
        if (r >= 0 && ((sent += (size_t)r) == n || flags & MSG_DONTWAIT))
            return spent((ssize_t)sent);
        if (r < 0 && (!would_block(r, flags) || gn_wait_writable(fd) < 0))
            return sent ? (ssize_t)sent : -1;
    }
}

ssize_t send(int fd, const void *buf, size_t n, int flags)
{
    if (!gn_fiber_self() && !gn_stream_of(fd))
        return gn_real()->send(fd, buf, n, flags);
    return sendto(fd, buf, n, flags, NULL, 0);
}

/* Sends all of `m`, whose array of buffers it uses up. */
static ssize_t send_all(int fd, struct msghdr *m, int flags)
{
    ssize_t sent = 0;
    for (;;) {
        ssize_t r = gn_real()->sendmsg(fd, m, flags | MSG_DONTWAIT);
        if (r < 0 && (!would_block(r, flags) || gn_wait_writable(fd) < 0))
            return sent ? sent : -1;
        if (r < 0)
            continue;
        sent += r;
        gn_iov_advance(&m->msg_iov, &m->msg_iovlen, (size_t)r);
        if (m->msg_iovlen == 0 || flags & MSG_DONTWAIT)
            return sent;
        m->msg_control = NULL; /* went with the first byte */
        m->msg_controllen = 0;
    }
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    struct iovec few[IOVS_ON_STACK], *iov = few;
    if (!gn_fiber_self())
        return gn_real()->sendmsg(fd, msg, flags);
    if (msg->msg_iovlen > IOVS_ON_STACK &&
        !(iov = calloc(msg->msg_iovlen, sizeof *iov)))
        return -1;
    if (msg->msg_iovlen)
        memcpy(iov, msg->msg_iov, msg->msg_iovlen * sizeof *iov);
    struct msghdr m = *msg;
    m.msg_iov = iov;
    ssize_t r = send_all(fd, &m, flags);
    if (iov != few)
        free(iov);
    return r;
}

/* ---- several messages at once: one by one, each waiting as those above ---- */

/* The time-out is looked at after each message only, as the kernel does. */
int recvmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags,
             struct timespec *timeout)
{
    if (!gn_fiber_self())
        return gn_real()->recvmmsg(fd, msgs, count, flags, timeout);
    int64_t deadline = timeout ? gn_after(gn_from_timespec(timeout)) : GN_NEVER;
    bool for_one = flags & MSG_WAITFORONE;
    unsigned n = 0;
    flags &= ~MSG_WAITFORONE;
    while (n < count) {
        ssize_t r = recvmsg(fd, &msgs[n].msg_hdr, flags);
        if (r < 0)
            break;
        msgs[n++].msg_len = (unsigned)r;
        flags |= for_one ? MSG_DONTWAIT : 0;
        if (gn_now() >= deadline)
            break;
    }
    return n > 0 || count == 0 ? (int)n : -1;
}

int sendmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags)
{
    if (!gn_fiber_self())
        return gn_real()->sendmmsg(fd, msgs, count, flags);
    unsigned n = 0;
    for (; n < count; n++) {
        ssize_t r = sendmsg(fd, &msgs[n].msg_hdr, flags);
        if (r < 0)
            break;
        msgs[n].msg_len = (unsigned)r;
    }
    return n > 0 || count == 0 ? (int)n : -1;
}

/* ---- connections ---- */

/* A blocking accept() on a listening socket that is not ours: another process may be
 * faster after poll said ready, so the socket is non-blocking for the length of each
 * call. */
static int accept_any(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    for (;;) {
        int old = gn_nonblock_begin(fd);
        int r = gn_real()->accept4(fd, addr, len, flags);
        gn_nonblock_end(fd, old);
        if (!would_block(r, 0) || old & O_NONBLOCK || gn_wait_readable(fd) < 0)
            return r;
    }
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    struct gn_stream *s = gn_stream_of(fd);
    if (s)
        return s->ops->accept ? s->ops->accept(s, addr, len) : gn_fail(-EOPNOTSUPP);
    if (!gn_may_park())
        return gn_real()->accept4(fd, addr, len, flags);
    return accept_any(fd, addr, len, flags);
}

int accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    return accept4(fd, addr, len, 0);
}

/* A Unix socket whose listener's queue is full says EAGAIN, and no event tells when
 * that ends. */
static int wait_for_connection(int fd)
{
    if (errno != EAGAIN)
        return gn_wait_writable(fd);
    int r = gn_sleep_until(gn_after_ms(CONNECT_AGAIN_MS));
    return r < 0 ? gn_fail(r) : 0;
}

/* Called again after the wait, connect() tells how it went. */
int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    if (!gn_may_park())
        return gn_real()->connect(fd, addr, len);
    for (;;) {
        int old = gn_nonblock_begin(fd);
        int r = gn_real()->connect(fd, addr, len);
        gn_nonblock_end(fd, old);
        bool pending = errno == EINPROGRESS || errno == EALREADY || errno == EAGAIN;
        if (r == 0 || !pending || old & O_NONBLOCK)
            return r;
        if (wait_for_connection(fd) < 0)
            return -1;
    }
}

int listen(int fd, int backlog)
{
    struct gn_stream *s = gn_stream_of(fd);
    if (s && s->ops->listen)
        return s->ops->listen(s);
    return gn_real()->listen(fd, backlog);
}

int getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    struct gn_stream *s = gn_stream_of(fd);
    if (s && s->ops->name)
        return s->ops->name(s, addr, len);
    return gn_real()->getsockname(fd, addr, len);
}

int shutdown(int fd, int how)
{
    struct gn_stream *s = gn_stream_of(fd);
    if (s && s->ops->shutdown)
        return s->ops->shutdown(s, how);
    return gn_real()->shutdown(fd, how);
}

/* ---- a listener of the host in the place of the library's own ---- */

static _Thread_local struct gn_fiber *adopting;
static _Thread_local struct gn_stream *adopted;

void gn_bind_adopts(struct gn_stream *s)
{
    adopting = gn_fiber_self();
    adopted = s;
}

static int adopt(struct gn_stream *s, int fd)
{
    if (dup3(s->fd, fd, O_CLOEXEC) < 0)
        return -1;
    gn_real()->close(s->fd);
    s->fd = fd;
    int r = gn_stream_own(s);
    return r < 0 ? gn_fail(r) : 0;
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    if (!adopting || adopting != gn_fiber_self())
        return gn_real()->bind(fd, addr, len);
    adopting = NULL;
    return adopt(adopted, fd);
}

ssize_t __recv_chk(int fd, void *buf, size_t n, size_t size, int flags)
{
    if (n > size)
        abort();
    return recv(fd, buf, n, flags);
}

ssize_t __recvfrom_chk(int fd, void *buf, size_t n, size_t size, int flags,
                       struct sockaddr *from, socklen_t *len)
{
    if (n > size)
        abort();
    return recvfrom(fd, buf, n, flags, from, len);
}
