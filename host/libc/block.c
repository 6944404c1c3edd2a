#include "block.h"

int gn_fail(int negative_errno)
{
    errno = -negative_errno;
    return -1;
}

int gn_poll_now(struct pollfd *fds, nfds_t n)
{
    int r;
    while ((r = gn_real()->poll(fds, n, 0)) < 0 && errno == EINTR)
        continue;
    return r;
}

/* The deadline that SO_RCVTIMEO or SO_SNDTIMEO sets for a blocking call; none off
 * sockets. */
static int64_t socket_deadline(int fd, int option)
{
    struct timeval t;
    socklen_t size = sizeof t;
    if (getsockopt(fd, SOL_SOCKET, option, &t, &size) < 0 ||
        (t.tv_sec == 0 && t.tv_usec == 0))
        return GN_NEVER;
    return gn_after(gn_from_timeval(&t));
}

static int wait_ready(int fd, uint32_t events, int64_t deadline)
{
    if (gn_may_park())
        return gn_wait_fd(fd, events, deadline);
    struct pollfd p = {.fd = fd, .events = (short)events};
    int r;
    while ((r = gn_real()->poll(&p, 1, -1)) < 0 && errno == EINTR)
        continue;
    return r < 0 ? -errno : 0;
}

static int wait_for(int fd, uint32_t events, int timeout_option)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    if (flags & O_NONBLOCK)
        return gn_fail(-EAGAIN);
    int r = wait_ready(fd, events, socket_deadline(fd, timeout_option));
    if (r == -ETIMEDOUT)
        r = -EAGAIN;
    return r < 0 ? gn_fail(r) : 0;
}

int gn_wait_readable(int fd)
{
    return wait_for(fd, EPOLLIN | EPOLLRDHUP, SO_RCVTIMEO);
}

int gn_wait_writable(int fd)
{
    return wait_for(fd, EPOLLOUT, SO_SNDTIMEO);
}

int gn_nonblock_begin(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    return flags;
}

void gn_nonblock_end(int fd, int flags)
{
    int saved_errno = errno;
    if (flags >= 0 && !(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags);
    errno = saved_errno;
}

void gn_iov_advance(struct iovec **iov, size_t *count, size_t n)
{
    while (*count > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (*count > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}
