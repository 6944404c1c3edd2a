#include "listener.h"

#include "../libc/real.h"
#include "../log.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BACKLOG = 65535, /* the kernel cuts it to net.core.somaxconn */
    STREAK = 64,     /* connections taken in a row before others run */
    REST_MS = 100,   /* between two attempts when descriptors or memory have run out */
    STOP_MS = 10     /* between two looks at civetweb's stop flag */
};

/* ---- opening ---- */

static int refuse(char *error, size_t room, const char *host, int port, const char *why)
{
    snprintf(error, room, "cannot listen on %s:%d: %s", host, port, why);
    return -1;
}

static int bind_and_listen(const struct addrinfo *a)
{
    int on = 1,
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on,
               sizeof on); /* accepted sockets inherit both */
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int failed = -errno;
    close(fd);
    return failed;
}

static void note_url(struct gn_listener *l, const char *host)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    char port[NI_MAXSERV] = "?";
    if (getsockname(l->stream.fd, (struct sockaddr *)&at, &len) == 0)
        getnameinfo((struct sockaddr *)&at, len, NULL, 0, port, sizeof port,
                    NI_NUMERICSERV);
    l->port = atoi(port);
    snprintf(l->url, sizeof l->url,
             strchr(host, ':') ? "http://[%s]:%s" : "http://%s:%s", host, port);
}

static short listener_poll(struct gn_stream *, short events, int timeout_ms);
static int listener_accept(struct gn_stream *, struct sockaddr *, socklen_t *);
static int listener_name(struct gn_stream *, struct sockaddr *, socklen_t *);

static int listener_close(struct gn_stream *s)
{
    struct gn_listener *l = gn_container_of(s, struct gn_listener, stream);
    gn_stream_disown(s);
    gn_fd_closed(&l->wires->sched->poller, s->fd);
    int fd = s->fd;
    s->fd = -1;
    return fd < 0 ? 0 : gn_real()->close(fd);
}

static const struct gn_stream_ops listener_ops = {
    .poll = listener_poll,
    .accept = listener_accept,
    .name = listener_name,
    .close = listener_close,
};

int gn_listener_open(struct gn_listener *l, struct gn_wires *ws, const char *host,
                     int port, char *error, size_t room)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
                    *found;
    char service[16];
    *l = (struct gn_listener){.wires = ws, .stream = {.ops = &listener_ops, .fd = -1}};
    snprintf(service, sizeof service, "%d", port);
    int r = getaddrinfo(host, service, &hints, &found);
    if (r != 0)
        return refuse(error, room, host, port, gai_strerror(r));
    l->stream.fd = bind_and_listen(found);
    freeaddrinfo(found);
    if (l->stream.fd < 0)
        return refuse(error, room, host, port, strerror(-l->stream.fd));
    note_url(l, host);
    return 0;
}

static void wake_acceptor(struct gn_listener *l)
{
    if (l->acceptor)
        gn_wake(l->acceptor);
}

static void on_events(struct gn_watch *watch, uint32_t events)
{
    (void)events;
    wake_acceptor(gn_container_of(watch, struct gn_listener, watch));
}

int gn_listener_start(struct gn_listener *l)
{
    l->watch = (struct gn_watch){.fd = l->stream.fd, .fn = on_events};
    int r = gn_watch_add(&l->wires->sched->poller, &l->watch, EPOLLIN);
    l->open = r == 0;
    return r;
}

/* ---- accepting ---- */

/* Takes one connection from the kernel. Returns its wire, or NULL with errno. */
static struct gn_wire *take(struct gn_listener *l)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    int fd = gn_real()->accept4(l->stream.fd, (struct sockaddr *)&peer, &len,
                                SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct gn_wire *w = gn_wire_open(l->wires, fd, &peer);
    if (w)
        return w;
    int failed = errno;
    gn_real()->close(fd);
    errno = failed;
    return NULL;
}

static void complain(struct gn_listener *l)
{
    if (!l->starved)
        gn_log(GN_WARN, "cannot take connections: %m; trying again every %d ms",
               REST_MS);
    l->starved = true;
}

/* Whether accept(2) should just be called again: what it reports is a connection's own
 * failure. */
static bool passing(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO ||
           error == ENETDOWN || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == ETIMEDOUT;
}

/* Parks until there may be a connection, or it is time for civetweb to look at its stop
 * flag. */
static void wait_for_more(struct gn_listener *l, int64_t deadline)
{
    if (l->open && errno != EAGAIN) {
        complain(l);
        gn_sleep_until(gn_after_ms(REST_MS));
        return;
    }
    l->streak = 0;
    l->acceptor = gn_fiber_self();
    gn_park(l->stopping ? gn_after_ms(STOP_MS) : deadline);
    l->acceptor = NULL;
}

/* "Readable" is a promise: the connection has been accepted already. */
static short listener_poll(struct gn_stream *s, short events, int timeout_ms)
{
    struct gn_listener *l = gn_container_of(s, struct gn_listener, stream);
    int64_t deadline = gn_after_ms(timeout_ms);
    if (++l->streak % STREAK == 0)
        gn_yield();
    for (;;) {
        if (l->open)
            l->next = take(l);
        if (l->next)
            break;
        if (!l->open || !passing(errno))
            wait_for_more(l, deadline);
        if (l->stopping || gn_now() >= deadline)
            return 0;
    }
    l->starved = false;
    return events & POLLIN;
}

static int listener_accept(struct gn_stream *s, struct sockaddr *addr, socklen_t *len)
{
    struct gn_listener *l = gn_container_of(s, struct gn_listener, stream);
    struct gn_wire *w = l->next;
    if (!w) {
        errno = EAGAIN;
        return -1;
    }
    l->next = NULL;
    gn_wire_stand_in(addr, len, 0);
    return w->stream.fd;
}

static int listener_name(struct gn_stream *s, struct sockaddr *addr, socklen_t *len)
{
    gn_wire_stand_in(addr, len, gn_container_of(s, struct gn_listener, stream)->port);
    return 0;
}

/* shutdown(2) takes a listening socket out of the kernel's table while the number
 * stays. */
void gn_listener_stop(struct gn_listener *l)
{
    l->open = false;
    l->stopping = true;
    wake_acceptor(l);
    gn_real()->shutdown(l->stream.fd, SHUT_RD);
}

void gn_listener_close(struct gn_listener *l)
{
    listener_close(&l->stream);
}
