/* poll ppoll select pselect epoll_wait epoll_pwait: they tell the truth, because the
 * kernel is asked again after every wait. A stream answers for itself. */
#include "block.h"

#include <stdlib.h>
#include <string.h>

enum { WAITS_ON_STACK = 8 };

/* Parks until one of the descriptors may be ready. Returns 0 to ask the kernel again, 1
 * at the deadline, or a negative errno. */
static int park_on(const struct pollfd *fds, nfds_t n, int64_t deadline)
{
    struct gn_wait few[WAITS_ON_STACK], *waits = few;
    if (n > WAITS_ON_STACK && !(waits = calloc(n, sizeof *waits)))
        return -ENOMEM;
    for (nfds_t i = 0; i < n; i++)
        waits[i] = (struct gn_wait){.fd = fds[i].fd, .events = (uint32_t)fds[i].events};
    int r = gn_wait_any(waits, n, deadline);
    if (waits != few)
        free(waits);
    return r > 0 ? 0 : r == 0 ? 1 : r;
}

static int poll_until(struct pollfd *fds, nfds_t n, int64_t deadline)
{
    for (;;) {
        int r = gn_poll_now(fds, n);
        if (r != 0)
            return r;
        if (deadline <= gn_now())
            return 0;
        r = park_on(fds, n, deadline);
        if (r < 0)
            return gn_fail(r);
    }
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    struct gn_stream *s = n == 1 ? gn_stream_of(fds->fd) : NULL;
    if (s) {
        fds->revents = s->ops->poll(s, fds->events, timeout);
        return fds->revents != 0;
    }
    if (timeout == 0)
        return gn_poll_now(fds, n);
    if (!gn_may_park())
        return gn_real()->poll(fds, n, timeout);
    return poll_until(fds, n, gn_after_ms(timeout));
}

/* A fiber receives no signals, so the mask has nothing to do there. */
int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
          const sigset_t *mask)
{
    if (!gn_may_park())
        return gn_real()->ppoll(fds, n, timeout, mask);
    return poll_until(fds, n, timeout ? gn_after(gn_from_timespec(timeout)) : GN_NEVER);
}

/* ---- select: by way of poll ---- */

static bool member(int fd, const fd_set *set)
{
    return set && FD_ISSET(fd, set);
}

static nfds_t from_sets(struct pollfd *fds, int n, const fd_set *in, const fd_set *out,
                        const fd_set *except)
{
    nfds_t count = 0;
    for (int fd = 0; fd < n; fd++) {
        short events =
            (short)((member(fd, in) ? POLLIN : 0) | (member(fd, out) ? POLLOUT : 0) |
                    (member(fd, except) ? POLLPRI : 0));
        if (events)
            fds[count++] = (struct pollfd){.fd = fd, .events = events};
    }
    return count;
}

static int keep(int fd, fd_set *set, bool ready)
{
    if (!member(fd, set))
        return 0;
    if (!ready)
        FD_CLR(fd, set);
    return ready;
}

/* Leaves in the sets what is ready. Returns the count, or -1 with EBADF as select(2)
 * has it. */
static int to_sets(const struct pollfd *fds, nfds_t n, fd_set *in, fd_set *out,
                   fd_set *except)
{
    int count = 0;
    for (nfds_t i = 0; i < n; i++) {
        short r = fds[i].revents;
        if (r & POLLNVAL)
            return gn_fail(-EBADF);
        count += keep(fds[i].fd, in, r & (POLLIN | POLLHUP | POLLERR));
        count += keep(fds[i].fd, out, r & (POLLOUT | POLLERR));
        count += keep(fds[i].fd, except, r & POLLPRI);
    }
    return count;
}

static int select_until(int n, fd_set *in, fd_set *out, fd_set *except,
                        int64_t deadline)
{
    if (n < 0 || n > FD_SETSIZE)
        return gn_fail(-EINVAL);
    struct pollfd *fds = calloc((size_t)n + 1, sizeof *fds);
    if (!fds)
        return -1;
    nfds_t count = from_sets(fds, n, in, out, except);
    int r = poll_until(fds, count, deadline);
    if (r >= 0)
        r = to_sets(fds, count, in, out, except);
    free(fds);
    return r;
}

int select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *t)
{
    if (!gn_may_park())
        return gn_real()->select(n, in, out, except, t);
    int64_t deadline = t ? gn_after(gn_from_timeval(t)) : GN_NEVER;
    return select_until(n, in, out, except, deadline);
}

int pselect(int n, fd_set *in, fd_set *out, fd_set *except, const struct timespec *t,
            const sigset_t *mask)
{
    if (!gn_may_park())
        return gn_real()->pselect(n, in, out, except, t, mask);
    return select_until(n, in, out, except,
                        t ? gn_after(gn_from_timespec(t)) : GN_NEVER);
}

/* ---- epoll: its own descriptor is readable when it has events ---- */

int epoll_wait(int epfd, struct epoll_event *events, int n, int timeout)
{
    if (timeout == 0 || !gn_may_park())
        return gn_real()->epoll_wait(epfd, events, n, timeout);
    int64_t deadline = gn_after_ms(timeout);
    for (;;) {
        int r = gn_real()->epoll_wait(epfd, events, n, 0);
        if (r != 0)
            return r;
        r = gn_wait_fd(epfd, EPOLLIN, deadline);
        if (r == -ETIMEDOUT)
            return 0;
        if (r < 0)
            return gn_fail(r);
    }
}

/* As with ppoll(), the mask has nothing to do on a fiber. */
int epoll_pwait(int epfd, struct epoll_event *events, int n, int timeout,
                const sigset_t *mask)
{
    if (!gn_may_park())
        return gn_real()->epoll_pwait(epfd, events, n, timeout, mask);
    return epoll_wait(epfd, events, n, timeout);
}

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
    if (n > size / sizeof *fds)
        abort();
    return poll(fds, n, timeout);
}

int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
                const sigset_t *mask, size_t size)
{
    if (n > size / sizeof *fds)
        abort();
    return ppoll(fds, n, timeout, mask);
}
