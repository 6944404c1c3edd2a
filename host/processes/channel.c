#include "channel.h"

#include "../libc/real.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct message {
    struct gn_list link;
    size_t size; /* of the bytes, the kind first */
    char bytes[];
};

int gn_channel_pair(int fd[2])
{
    int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
    return socketpair(AF_UNIX, type, 0, fd) < 0 ? -errno : 0;
}

/* ---- out ---- */

/* Returns 0, -EAGAIN, or -EPIPE. */
static int push(struct gn_channel *c, struct iovec *parts, size_t count)
{
    const struct msghdr m = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent;
    do
        sent = gn_real()->sendmsg(c->watch.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 0;
    bool full = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM;
    return full ? -EAGAIN : -EPIPE;
}

static void drop_first(struct gn_channel *c)
{
    struct message *m = gn_container_of(gn_list_pop(&c->queue), struct message, link);
    c->queued -= m->size;
    free(m);
}

static void flush(struct gn_channel *c)
{
    while (c->watch.fd >= 0 && !gn_list_empty(&c->queue)) {
        struct message *m = gn_container_of(c->queue.next, struct message, link);
        struct iovec all = {m->bytes, m->size};
        if (push(c, &all, 1) == -EAGAIN)
            return;
        drop_first(c);
    }
}

static int keep(struct gn_channel *c, const struct iovec parts[2])
{
    size_t size = parts[0].iov_len + parts[1].iov_len;
    if (c->queued + size > GN_CHANNEL_QUEUE)
        return -ENOBUFS;
    struct message *m = malloc(sizeof *m + size);
    if (!m)
        return -ENOMEM;
    *m = (struct message){.size = size};
    memcpy(m->bytes, parts[0].iov_base, parts[0].iov_len);
    if (parts[1].iov_len > 0)
        memcpy(m->bytes + parts[0].iov_len, parts[1].iov_base, parts[1].iov_len);
    gn_list_append(&c->queue, &m->link);
    c->queued += size;
    return 0;
}

int gn_channel_send(struct gn_channel *c, enum gn_kind kind, const void *data, size_t n)
{
    unsigned char first = (unsigned char)kind;
    struct iovec parts[] = {{&first, 1}, {(void *)data, n}};
    if (n >= GN_CHANNEL_MOST)
        return -EMSGSIZE;
    if (c->watch.fd < 0)
        return -EPIPE;
    int r = gn_list_empty(&c->queue) ? push(c, parts, 2) : -EAGAIN;
    return r == -EAGAIN ? keep(c, parts) : r;
}

/* ---- in ---- */

static void hand_out(struct gn_channel *c, const char *bytes, size_t n)
{
    unsigned kind = (unsigned char)bytes[0];
    if (kind < GN_KINDS && c->handlers[kind].fn)
        c->handlers[kind].fn(c, bytes + 1, n - 1, c->handlers[kind].arg);
}

static void end(struct gn_channel *c)
{
    gn_channel_close(c);
    if (c->on_end)
        c->on_end(c, c->end_arg);
}

/* The end comes as an empty message. ECONNRESET comes before it, once, when the other
 * side has left something unread; what it has sent is still to be had. */
static void pull(struct gn_channel *c)
{
    char bytes[GN_CHANNEL_MOST];
    while (c->watch.fd >= 0) {
        ssize_t n = gn_real()->recv(c->watch.fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n > 0)
            hand_out(c, bytes, (size_t)n);
        else if (n < 0 && errno == EAGAIN)
            return;
        else if (n == 0 || (errno != EINTR && errno != ECONNRESET))
            end(c);
    }
}

static void on_ready(struct gn_watch *w, uint32_t events)
{
    struct gn_channel *c = gn_container_of(w, struct gn_channel, watch);
    if (events & EPOLLOUT)
        flush(c);
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        pull(c);
}

/* ---- life ---- */

int gn_channel_open(struct gn_channel *c, int fd)
{
    *c = (struct gn_channel){.watch = {.fd = fd, .fn = on_ready}};
    gn_list_init(&c->queue);
    int r = gn_watch_add(&gn_sched_self()->poller, &c->watch,
                         EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    if (r < 0)
        gn_channel_close(c);
    return r;
}

void gn_channel_on(struct gn_channel *c, enum gn_kind kind, gn_channel_fn *fn,
                   void *arg)
{
    c->handlers[kind].fn = fn;
    c->handlers[kind].arg = arg;
}

void gn_channel_close(struct gn_channel *c)
{
    if (c->watch.fd < 0)
        return;
    close(c->watch.fd);
    c->watch.fd = -1;
    while (!gn_list_empty(&c->queue))
        drop_first(c);
}
