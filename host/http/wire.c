#include "wire.h"

#include "../libc/block.h"
#include "../libc/faults.h"
#include "../log.h"
#include "intake.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    HELD_ROOM = 16 * 1024,
    SEND_PARTS = 8,        /* buffers that leave together with what is held */
    PROGRESS_SECONDS = 30, /* for a body or a write, and ... */
    PROGRESS_RATE = 1024,  /* ... a second more for so many bytes that have moved */
    LINGER_SECONDS = 2,
    LINGER_BYTES = 4 * 1024 * 1024,
    GRACE_MS = 250 /* for a request that is on its way while the host stops */
};

/* ---- readiness ---- */

/* Whether the peer has closed its side, everything that it had sent has been read, and
 * nobody is about to find out by himself: it may still wait for an answer, but more
 * likely it has gone. Of TLS nobody knows what the bytes of its last record say. */
static bool has_left(const struct gn_wire *w)
{
    char byte;
    if (w->reader || w->writer || (w->in && w->in->off < w->in->len))
        return false;
    return w->tls || recv(w->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void on_hang_up(struct gn_wire *w, uint32_t events)
{
    w->hung_up = true;
    if (w->on_gone && (events & (EPOLLHUP | EPOLLERR) || has_left(w))) {
        w->gone = true;
        w->on_gone(w);
    }
}

static void push_held(struct gn_wire *w);

/* TLS may have to write in order to read, and the other way round: there each event is
 * news to both. */
static void take_events(struct gn_wire *w, uint32_t events)
{
    bool in = events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR);
    bool out = events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        on_hang_up(w, events);
    w->readable |= in;
    w->writable |= out;
    if (out && w->held)
        push_held(w);
    if (in || w->tls)
        gn_wake_in(&w->reader);
    if (out || w->tls)
        gn_wake_in(&w->writer);
    if (w->tenant)
        w->tenant->on_ready(w->tenant);
}

/* Of one that is away, home only notes what it is told. */
static void on_events(struct gn_watch *watch, uint32_t events)
{
    struct gn_wire *w = gn_container_of(watch, struct gn_wire, watch);
    if (!w->loan.out) {
        take_events(w, events);
        return;
    }
    atomic_fetch_or(&w->loan.missed, events);
    atomic_fetch_add(&w->home->missed, 1);
}

static void on_events_away(struct gn_watch *watch, uint32_t events)
{
    take_events(gn_container_of(watch, struct gn_wire, loan.watch), events);
}

static const uint32_t WATCHED = EPOLLIN | EPOLLOUT | EPOLLRDHUP;

static bool is_away(const struct gn_wire *w)
{
    return w->wires != w->home;
}

void gn_wire_settle(struct gn_wire *w)
{
    struct gn_loan *l = &w->loan;
    if (!is_away(w) || l->watched || w->broken)
        return;
    l->watch = (struct gn_watch){.fn = on_events_away, .fd = w->stream.fd};
    gn_watch_change(&w->home->sched->poller, &w->watch, 0);
    l->watched = true;
    if (gn_watch_add(&w->wires->sched->poller, &l->watch, WATCHED) < 0)
        w->broken = w->ended = true;
}

void gn_wire_remind(struct gn_wire *w)
{
    if (w->loan.watched)
        gn_watch_change(&w->wires->sched->poller, &w->loan.watch, WATCHED);
}

/* Its events come home again, beginning with what is the case. */
static void unsettle(struct gn_wire *w)
{
    if (!w->loan.watched)
        return;
    gn_watch_remove(&w->wires->sched->poller, &w->loan.watch);
    gn_watch_change(&w->home->sched->poller, &w->watch, WATCHED);
    w->loan.watched = false;
}

/* Parks in `place` of a wire. */
static int await(struct gn_wire *w, struct gn_fiber **place, int64_t deadline)
{
    gn_wire_settle(w);
    return w->broken ? -EPIPE : gn_park_in(place, deadline);
}

int64_t gn_wire_deadline(int64_t start, size_t moved)
{
    return start + (PROGRESS_SECONDS + (int64_t)(moved / PROGRESS_RATE)) * GN_SECOND;
}

/* ---- the kernel's socket ---- */

ssize_t gn_wire_pull(struct gn_wire *w, char *buf, size_t room)
{
    ssize_t n = gn_real()->recv(w->stream.fd, buf, room, MSG_DONTWAIT);
    if (n < 0) {
        w->readable = errno != EAGAIN;
        return -errno;
    }
    if ((size_t)n < room && !w->hung_up && !gn_faults_cut())
        w->readable = false; /* drained: the next call would only say EAGAIN */
    return n;
}

ssize_t gn_wire_push(struct gn_wire *w, struct iovec *iov, size_t count)
{
    int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = count};
    ssize_t n = count == 1
                    ? gn_real()->send(w->stream.fd, iov->iov_base, iov->iov_len, flags)
                    : gn_real()->sendmsg(w->stream.fd, &m, flags);
    if (n >= 0)
        return n;
    w->writable = errno != EAGAIN;
    return -errno;
}

/* ---- the same through TLS ---- */

static ssize_t get(struct gn_wire *w, char *buf, size_t n)
{
    if (!w->tls)
        return gn_wire_pull(w, buf, n);
    ssize_t got = gn_tls_read(w->tls, buf, n);
    w->buffered = got > 0 && gn_tls_pending(w->tls);
    return got;
}

/* Copies what the buffers hold, as far as there is room. Returns the bytes. */
static size_t gather(char *to, size_t room, const struct iovec *iov, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count && n < room; i++) {
        size_t len = iov[i].iov_len < room - n ? iov[i].iov_len : room - n;
        if (len > 0)
            memcpy(to + n, iov[i].iov_base, len);
        n += len;
    }
    return n;
}

/* One record at most. What several buffers hold is gathered: a record for each would
 * cost more than the copy. */
static ssize_t put(struct gn_wire *w, struct iovec *iov, size_t count)
{
    static _Thread_local char record[GN_WIRE_RECORD];
    if (!w->tls)
        return gn_wire_push(w, iov, count);
    if (count == 1)
        return gn_tls_write(w->tls, iov->iov_base, iov->iov_len);
    return gn_tls_write(w->tls, record, gather(record, sizeof record, iov, count));
}

/* ---- in ---- */

/* A peer whose connection is closed just as it sends a request does not know whether
 * that was served. So one that has been told that it may send another gets a moment. */
static int64_t patience(const struct gn_wire *w, int64_t deadline)
{
    if (!w->wires->draining || w->state != GN_WIRE_IDLE)
        return deadline;
    int64_t grace = gn_after_ms(GRACE_MS);
    return grace < deadline ? grace : deadline;
}

int gn_wire_wait(struct gn_wire *w, int64_t deadline)
{
    int r = 0;
    while (!w->readable && !w->buffered && !w->ended && r == 0) {
        if (w->wires->wanted && w->state != GN_WIRE_BUSY)
            return -EAGAIN;
        r = await(w, &w->reader, patience(w, deadline));
    }
    return r;
}

ssize_t gn_wire_read(struct gn_wire *w, char *buf, size_t n, int64_t deadline)
{
    for (;;) {
        int r = gn_wire_wait(w, deadline);
        if (r < 0)
            return r;
        if (w->ended)
            return 0;
        ssize_t got = get(w, buf, n);
        if (got > 0)
            gn_spend((size_t)got);
        if (got != -EAGAIN && got != -EINTR)
            return got;
        bool wants_to_write = w->tls && w->readable && !w->writable;
        if (wants_to_write && (r = await(w, &w->reader, deadline)) < 0)
            return r;
    }
}

int gn_wire_secure(struct gn_wire *w, int64_t deadline)
{
    int r = 0;
    while (w->tls && !w->secured && r == 0) {
        r = gn_tls_handshake(w->tls);
        w->secured = r == 0;
        w->buffered = w->secured && gn_tls_pending(w->tls); /* a request, already */
        if (r == -EAGAIN)
            r = await(w, &w->reader, patience(w, deadline));
    }
    if (r == -ENOMSG) {
        gn_tls_session_free(w->tls);
        w->tls = NULL;
    }
    return r;
}

/* ---- out ---- */

static int broken(struct gn_wire *w, int error)
{
    w->broken = w->ended = true;
    return error;
}

static int send_all(struct gn_wire *w, struct iovec *iov, size_t count)
{
    int64_t start = w->wires->sched->now;
    size_t sent = 0;
    while (count > 0) {
        if (w->broken)
            return -EPIPE;
        ssize_t n = put(w, iov, count);
        if (n >= 0) {
            sent += (size_t)n;
            gn_spend((size_t)n);
            gn_iov_advance(&iov, &count, (size_t)n);
            continue;
        }
        if (n == -EINTR)
            continue;
        if (n != -EAGAIN)
            return broken(w, -EPIPE);
        int r = await(w, &w->writer, gn_wire_deadline(start, sent));
        if (r < 0)
            return broken(w, r);
    }
    return 0;
}

struct sender {
    struct gn_list link;
    struct gn_fiber *fiber;
};

/* Waits until nobody else sends. Returns 0 or the cause. */
static int begin_send(struct gn_wire *w)
{
    struct sender self = {.fiber = gn_fiber_self()};
    if (!w->sending) {
        w->sending = true;
        return 0;
    }
    gn_list_append(&w->senders, &self.link);
    int r = gn_park(GN_NEVER); /* 0: the turn has been left to us */
    gn_list_del(&self.link);
    return r;
}

static void end_send(struct gn_wire *w)
{
    for (struct gn_list *l; (l = gn_list_pop(&w->senders));) {
        struct gn_fiber *next = gn_container_of(l, struct sender, link)->fiber;
        if (next->parked) { /* else it has just been interrupted */
            gn_wake(next);
            return;
        }
    }
    w->sending = false;
}

/* Nothing is held any more; the bytes are the caller's. */
static char *let_go(struct gn_wire *w)
{
    char *held = w->held;
    w->held = NULL;
    w->held_len = w->held_off = 0;
    return held;
}

static int send_with_held(struct gn_wire *w, struct iovec *iov, size_t count)
{
    struct iovec all[1 + SEND_PARTS] = {
        {w->held + w->held_off, w->held_len - w->held_off}};
    bool together = count <= SEND_PARTS;
    if (count > 0 && together)
        memcpy(all + 1, iov, count * sizeof *iov);
    char *held = let_go(w);
    int r = send_all(w, all, together ? 1 + count : 1);
    free(held);
    return r < 0 || together ? r : send_all(w, iov, count);
}

int gn_wire_send(struct gn_wire *w, struct iovec *iov, size_t count)
{
    int r = begin_send(w);
    if (r < 0)
        return r;
    r = w->held ? send_with_held(w, iov, count) : send_all(w, iov, count);
    end_send(w);
    return r;
}

int gn_wire_flush(struct gn_wire *w)
{
    return w->held ? gn_wire_send(w, NULL, 0) : 0;
}

/* Sends of what is held as much as the peer takes at once; never waits. */
static void push_held(struct gn_wire *w)
{
    while (w->held && w->writable && !w->broken) {
        struct iovec iov = {w->held + w->held_off, w->held_len - w->held_off};
        ssize_t n = put(w, &iov, 1);
        if (n == -EAGAIN)
            return;
        if (n < 0 && n != -EINTR)
            broken(w, -EPIPE);
        if (n > 0)
            w->held_off += (size_t)n;
        if (w->broken || w->held_off == w->held_len)
            free(let_go(w));
    }
}

/* What is neither the file's nor that the call is to be made again is the socket's. */
ssize_t gn_wire_push_file(struct gn_wire *w, int fd, off_t at, size_t n)
{
    ssize_t sent = gn_real()->sendfile(w->stream.fd, fd, &at, n);
    if (sent >= 0)
        return sent;
    w->writable = errno != EAGAIN;
    switch (errno) {
    case EAGAIN:
    case EINTR:
    case EINVAL:
    case EIO:
    case ENOSYS:
    case EOPNOTSUPP:
        return -errno;
    default:
        return broken(w, -EPIPE);
    }
}

int gn_wire_wait_room(struct gn_wire *w, int64_t deadline)
{
    int r = w->writable ? 0 : await(w, &w->writer, deadline);
    return r < 0 ? broken(w, r) : 0;
}

/* What the peer does not take leaves by take_events() while the fiber waits for
 * something else: to wait here would cost it the wake that it is about to wait for. */
static void before_park(struct gn_fiber *f)
{
    struct gn_wire *w = f->slot[GN_SLOT_WIRE];
    gn_wire_settle(w);
    push_held(w);
}

static size_t length_of(const struct iovec *iov, size_t count)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += iov[i].iov_len;
    return n;
}

int gn_wire_hold(struct gn_wire *w, struct iovec *iov, size_t count)
{
    if (gn_fiber_self() != w->worker || w->sending ||
        length_of(iov, count) > HELD_ROOM - w->held_len ||
        (!w->held && !(w->held = malloc(HELD_ROOM))))
        return gn_wire_send(w, iov, count);
    w->held_len += gather(w->held + w->held_len, HELD_ROOM - w->held_len, iov, count);
    return 0;
}

size_t gn_wire_held(const struct gn_wire *w)
{
    return w->held_len;
}

bool gn_wire_take_back(struct gn_wire *w, size_t mark)
{
    if (w->held_len <= mark || w->held_off > 0)
        return false;
    w->held_len = mark;
    if (mark == 0)
        free(let_go(w));
    return true;
}

/* The kernel goes on sending to a peer that acknowledges nothing for a quarter of an
 * hour unless it is told otherwise. */
void gn_wire_set_endless(struct gn_wire *w, bool endless)
{
    unsigned ms = endless ? PROGRESS_SECONDS * 1000 : 0;
    if (w->endless == endless)
        return;
    w->endless = endless;
    setsockopt(w->stream.fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    if (endless && w->wires->draining && w->on_gone)
        w->on_gone(w);
}

/* ---- for a tenant ---- */

ssize_t gn_wire_try_read(struct gn_wire *w, char *buf, size_t n)
{
    return w->readable || w->buffered ? get(w, buf, n) : -EAGAIN;
}

ssize_t gn_wire_try_send(struct gn_wire *w, struct iovec *iov, size_t count)
{
    if (w->broken)
        return -EPIPE;
    ssize_t n = w->writable ? put(w, iov, count) : -EAGAIN;
    if (n >= 0 || n == -EAGAIN)
        return n;
    return n == -EINTR ? 0 : broken(w, -EPIPE);
}

void gn_wire_say_end(struct gn_wire *w)
{
    if (w->tls)
        gn_tls_say_end(w->tls);
    gn_real()->shutdown(w->stream.fd, SHUT_WR);
}

/* ---- life ---- */

static int attach(struct gn_wire *w, struct gn_tls_site *site)
{
    if (!gn_peers_enter(&w->wires->peers, &w->peer))
        return -EUSERS;
    if (site && !(w->tls = gn_tls_session_new(site, w)))
        return -ENOMEM;
    int r = gn_stream_own(&w->stream);
    return r < 0 ? r : gn_watch_add(&w->wires->sched->poller, &w->watch, WATCHED);
}

/* One more is open, or one fewer. */
static void count(struct gn_wires *ws, int by)
{
    ws->count += (size_t)by;
    if (ws->options.gauge)
        atomic_store_explicit(ws->options.gauge, (unsigned)ws->count,
                              memory_order_relaxed);
}

struct gn_wire *gn_wire_open(struct gn_wires *ws, int fd,
                             const struct sockaddr_storage *peer,
                             struct gn_tls_site *site)
{
    struct gn_wire *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->stream = (struct gn_stream){.ops = &gn_intake, .fd = fd};
    w->watch = (struct gn_watch){.fn = on_events, .fd = fd};
    w->wires = w->home = ws;
    w->peer = *peer;
    w->readable = w->writable = true;
    gn_list_init(&w->senders);
    int r = attach(w, site);
    if (r < 0) {
        if (r != -EUSERS)
            gn_peers_leave(&ws->peers, peer);
        gn_stream_disown(&w->stream);
        gn_tls_session_free(w->tls);
        free(w);
        errno = -r;
        return NULL;
    }
    gn_list_append(&ws->all, &w->link);
    count(ws, 1);
    return w;
}

void gn_wire_put_worker(struct gn_wire *w, struct gn_fiber *f)
{
    if (w->worker == f)
        return;
    if (w->worker) {
        w->worker->slot[GN_SLOT_WIRE] = NULL;
        w->worker->before_park = NULL;
    }
    if (f) {
        f->slot[GN_SLOT_WIRE] = w;
        f->before_park = before_park;
    }
    w->worker = f;
}

struct gn_wire *gn_wire_self(void)
{
    struct gn_fiber *f = gn_fiber_self();
    return f ? f->slot[GN_SLOT_WIRE] : NULL;
}

/* ---- from thread to thread ---- */

void gn_wire_leave(struct gn_wire *w)
{
    struct gn_loan *l = &w->loan;
    gn_wire_put_worker(w, NULL);
    if (is_away(w)) {
        unsettle(w);
        l->input = w->in ? NULL : gn_input_take_spare(w->wires);
    } else {
        l->out = true;
        atomic_store(&l->missed, w->readable ? EPOLLIN : 0);
    }
    gn_list_del(&w->link);
    w->wires = NULL;
}

/* Away, what epoll would say nobody knows. */
void gn_wire_enter(struct gn_wire *w, struct gn_wires *ws)
{
    struct gn_loan *l = &w->loan;
    w->wires = ws;
    w->readable = w->writable = true;
    gn_list_append(&ws->all, &w->link);
    if (is_away(w))
        return;
    if (l->input)
        gn_input_drop(ws, l->input);
    l->input = NULL;
    l->out = w->readable = false;
    take_events(w, atomic_exchange(&l->missed, 0));
}

/* ---- the end ---- */

/* Reads and forgets what the peer still sends: closing a socket with unread bytes
 * resets it, and the answer would be lost. Bounded in time and bytes. */
static void linger(struct gn_wire *w)
{
    int64_t deadline = gn_after(LINGER_SECONDS * GN_SECOND);
    size_t total = 0;
    struct gn_input *in = gn_input_take(w->wires);
    w->state = GN_WIRE_BUSY; /* the answer is still on its way */
    w->ended = false;
    while (in && total < LINGER_BYTES) {
        ssize_t n = gn_wire_read(w, in->bytes, gn_input_room(w->wires), deadline);
        if (n <= 0)
            break;
        total += (size_t)n;
    }
    gn_input_drop(w->wires, in);
}

int gn_wire_close(struct gn_wire *w)
{
    struct gn_wires *ws = w->wires;
    int fd = w->stream.fd;
    gn_wire_flush(w);
    gn_tls_session_free(w->tls);
    w->tls = NULL;
    if (w->cut) {
        struct linger reset = {.l_onoff = 1};
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    } else if (w->lingers && !w->broken) {
        gn_real()->shutdown(fd, SHUT_WR);
        linger(w);
    }
    if (w->head != w->in)
        gn_input_drop(ws, w->head);
    gn_input_drop(ws, w->in);
    gn_stream_disown(&w->stream);
    gn_fd_closed(&ws->sched->poller, fd);
    gn_list_del(&w->link);
    gn_peers_leave(&ws->peers, &w->peer);
    gn_wire_put_worker(w, NULL);
    free(w);
    count(ws, -1);
    if (ws->count == 0)
        gn_wake_in(&ws->drainer);
    return gn_real()->close(fd);
}
