#include "wire.h"

#include "../libc/block.h"
#include "../log.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_AHEAD = 16 * 1024, /* bytes; civetweb's own buffer is as large */
    BUFFERS_KEPT = 256,
    IDLE_SECONDS = 15,
    PROGRESS_SECONDS = 30, /* between two reads, or two writes, of one request */
    LINGER_SECONDS = 2,
    LINGER_BYTES = 4 * 1024 * 1024
};

/* ---- read buffers ---- */

static char *take_buffer(struct gn_wires *ws)
{
    void **b = ws->buffers;
    if (!b)
        return malloc(READ_AHEAD);
    ws->buffers = *b;
    ws->buffer_count--;
    return (char *)b;
}

static void drop_buffer(struct gn_wire *w)
{
    struct gn_wires *ws = w->wires;
    void **b = (void **)w->in;
    w->in = NULL;
    w->in_len = w->in_off = 0;
    if (!b || ws->buffer_count == BUFFERS_KEPT) {
        free(b);
        return;
    }
    *b = ws->buffers;
    ws->buffers = b;
    ws->buffer_count++;
}

void gn_wires_init(struct gn_wires *ws, struct gn_sched *sched)
{
    *ws = (struct gn_wires){.sched = sched};
    gn_list_init(&ws->all);
}

void gn_wires_term(struct gn_wires *ws)
{
    while (ws->buffers) {
        void **b = ws->buffers;
        ws->buffers = *b;
        free(b);
    }
}

/* ---- readiness ---- */

static void wake(struct gn_fiber **waiting)
{
    struct gn_fiber *f = *waiting;
    *waiting = NULL;
    if (f)
        gn_wake(f);
}

static void on_events(struct gn_watch *watch, uint32_t events)
{
    struct gn_wire *w = gn_container_of(watch, struct gn_wire, watch);
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        w->hung_up = true;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        w->readable = true;
        wake(&w->reader);
    }
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        w->writable = true;
        wake(&w->writer);
    }
}

/* Parks the running fiber in `place` until an event or the deadline. */
static int park_in(struct gn_fiber **place, int64_t deadline)
{
    *place = gn_fiber_self();
    int r = gn_park(deadline);
    *place = NULL;
    return r;
}

/* ---- reading ---- */

/* One read from the kernel. Returns the bytes, 0 at the end, or a negative errno. */
static ssize_t pull(struct gn_wire *w, char *buf, size_t room)
{
    ssize_t n = gn_real()->recv(w->stream.fd, buf, room, MSG_DONTWAIT);
    if (n < 0) {
        w->readable = errno != EAGAIN;
        return -errno;
    }
    if ((size_t)n < room && !w->hung_up)
        w->readable = false; /* drained: the next call would only say EAGAIN */
    return n;
}

static int64_t read_deadline(const struct gn_wire *w)
{
    int64_t seconds = w->state == GN_WIRE_IDLE ? IDLE_SECONDS : PROGRESS_SECONDS;
    return w->wires->sched->now + seconds * GN_SECOND;
}

/* Fills the empty read-ahead. Returns as pull() does. */
static ssize_t read_ahead(struct gn_wire *w)
{
    if (!(w->in = take_buffer(w->wires)))
        return -ENOMEM;
    ssize_t n = pull(w, w->in, READ_AHEAD);
    if (n > 0)
        w->in_len = (unsigned)n;
    else
        drop_buffer(w);
    return n;
}

/* Reads ahead until something is there. Returns false at the end of the stream,
 * whatever ended it. */
static bool fill(struct gn_wire *w)
{
    int64_t deadline = read_deadline(w);
    while (!w->ended) {
        ssize_t n = w->readable ? read_ahead(w) : -EAGAIN;
        if (n > 0)
            return true;
        if (n != -EAGAIN || park_in(&w->reader, deadline) < 0)
            w->ended = true;
    }
    return false;
}

/* A wire is served by the worker that polls it. */
static void serve(struct gn_wire *w)
{
    w->worker = gn_fiber_self();
    w->worker->slot[GN_SLOT_WIRE] = w;
}

static short wire_poll(struct gn_stream *s, short events, int timeout_ms)
{
    struct gn_wire *w = gn_container_of(s, struct gn_wire, stream);
    (void)timeout_ms; /* the wire keeps the time */
    serve(w);
    if (!(events & POLLIN))
        return events & POLLOUT; /* sending waits by itself */
    if (w->in_off == w->in_len && fill(w) && w->state == GN_WIRE_IDLE)
        w->state = GN_WIRE_HEAD;
    return POLLIN; /* bytes, or the end: recv() will tell */
}

static ssize_t wire_recv(struct gn_stream *s, void *buf, size_t n, int flags)
{
    struct gn_wire *w = gn_container_of(s, struct gn_wire, stream);
    if (w->in_off == w->in_len && !fill(w))
        return 0;
    size_t got = w->in_len - w->in_off;
    if (got > n)
        got = n;
    memcpy(buf, w->in + w->in_off, got);
    if (flags & MSG_PEEK)
        return (ssize_t)got;
    w->in_off += (unsigned)got;
    if (w->in_off == w->in_len)
        drop_buffer(w);
    return (ssize_t)got;
}

/* ---- writing ---- */

static ssize_t push(struct gn_wire *w, struct iovec *iov, size_t count)
{
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    if (count == 1)
        return gn_real()->send(w->stream.fd, iov->iov_base, iov->iov_len, flags);
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = count};
    return gn_real()->sendmsg(w->stream.fd, &m, flags);
}

static int broken(struct gn_wire *w, int error)
{
    w->broken = w->ended = true;
    return error;
}

int gn_wire_send(struct gn_wire *w, struct iovec *iov, size_t count)
{
    while (count > 0) {
        if (w->broken)
            return -EPIPE;
        ssize_t n = push(w, iov, count);
        if (n >= 0) {
            gn_iov_advance(&iov, &count, (size_t)n);
            continue;
        }
        if (errno != EAGAIN)
            return broken(w, -EPIPE);
        int r = park_in(&w->writer, gn_after(PROGRESS_SECONDS * GN_SECOND));
        if (r < 0)
            return broken(w, r);
    }
    return 0;
}

static ssize_t wire_send(struct gn_stream *s, const void *buf, size_t n, int flags)
{
    struct iovec iov = {(void *)buf, n};
    (void)flags;
    int r = gn_wire_send(gn_container_of(s, struct gn_wire, stream), &iov, 1);
    if (r < 0) {
        errno = -r;
        return -1;
    }
    return (ssize_t)n;
}

/* ---- life ---- */

/* Reads and forgets what the peer still sends: closing a socket with unread bytes
 * resets it, and the answer would be lost. Bounded in time and bytes. */
static void linger(struct gn_wire *w)
{
    int64_t deadline = gn_after(LINGER_SECONDS * GN_SECOND);
    size_t total = 0;
    if (!w->in && !(w->in = take_buffer(w->wires)))
        return;
    while (total < LINGER_BYTES) {
        ssize_t n = pull(w, w->in, READ_AHEAD);
        if (n == -EAGAIN && park_in(&w->reader, deadline) == 0)
            continue;
        if (n <= 0)
            break;
        total += (size_t)n;
    }
}

static int wire_close(struct gn_stream *s)
{
    struct gn_wire *w = gn_container_of(s, struct gn_wire, stream);
    struct gn_wires *ws = w->wires;
    int fd = s->fd;
    if (w->lingers && !w->broken)
        linger(w);
    drop_buffer(w);
    gn_stream_disown(s);
    gn_fd_closed(&ws->sched->poller, fd);
    gn_list_del(&w->link);
    if (w->worker)
        w->worker->slot[GN_SLOT_WIRE] = NULL;
    free(w);
    if (--ws->count == 0)
        wake(&ws->drainer);
    return gn_real()->close(fd);
}

void gn_wire_stand_in(struct sockaddr *addr, socklen_t *len, int port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    memcpy(addr, &in, *len < sizeof in ? *len : sizeof in);
    *len = sizeof in;
}

static int wire_name(struct gn_stream *s, struct sockaddr *addr, socklen_t *len)
{
    (void)s;
    gn_wire_stand_in(addr, len, 0);
    return 0;
}

static const struct gn_stream_ops wire_ops = {
    .poll = wire_poll,
    .recv = wire_recv,
    .send = wire_send,
    .name = wire_name,
    .close = wire_close,
};

struct gn_wire *gn_wire_open(struct gn_wires *ws, int fd,
                             const struct sockaddr_storage *peer)
{
    struct gn_wire *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->stream = (struct gn_stream){.ops = &wire_ops, .fd = fd};
    w->watch = (struct gn_watch){.fn = on_events, .fd = fd};
    w->wires = ws;
    w->peer = *peer;
    w->readable = w->writable = true;
    int r = gn_stream_own(&w->stream);
    if (r == 0)
        r = gn_watch_add(&ws->sched->poller, &w->watch,
                         EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    if (r < 0) {
        gn_stream_disown(&w->stream);
        free(w);
        errno = -r;
        return NULL;
    }
    gn_list_append(&ws->all, &w->link);
    ws->count++;
    return w;
}

struct gn_wire *gn_wire_self(void)
{
    return gn_fiber_self()->slot[GN_SLOT_WIRE];
}

/* ---- requests and draining ---- */

void gn_wire_begin(struct gn_wire *w)
{
    w->state = GN_WIRE_BUSY;
}

void gn_wire_end(struct gn_wire *w, bool keep)
{
    w->state = GN_WIRE_IDLE;
    if (!keep || w->wires->draining)
        w->ended = true;
}

size_t gn_wires_drain(struct gn_wires *ws, int64_t deadline)
{
    ws->draining = true;
    for (struct gn_list *l = ws->all.next; l != &ws->all; l = l->next) {
        struct gn_wire *w = gn_container_of(l, struct gn_wire, link);
        if (w->state != GN_WIRE_IDLE)
            continue;
        w->ended = true;
        wake(&w->reader);
    }
    while (ws->count > 0)
        if (park_in(&ws->drainer, deadline) < 0)
            break;
    return ws->count;
}

void gn_wires_abort(struct gn_wires *ws)
{
    for (struct gn_list *l = ws->all.next; l != &ws->all; l = l->next) {
        struct gn_wire *w = gn_container_of(l, struct gn_wire, link);
        if (w->worker)
            gn_cancel(w->worker, -ECANCELED);
    }
}

int gn_wire_peer(const struct gn_wire *w, char *out, size_t room)
{
    char port[NI_MAXSERV];
    const struct sockaddr *peer = (const struct sockaddr *)&w->peer;
    socklen_t len = peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                : sizeof(struct sockaddr_in);
    if (peer->sa_family == AF_UNIX ||
        getnameinfo(peer, len, out, (socklen_t)room, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        snprintf(out, room, "unix:");
        return 0;
    }
    return atoi(port);
}
