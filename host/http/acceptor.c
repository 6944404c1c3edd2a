#include "acceptor.h"

#include "../libc/real.h"
#include "../log.h"
#include "address.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

enum {
    STREAK = 64,     /* connections taken in a row before others run */
    REST_MS = 100,   /* between two attempts when descriptors or memory have run out */
    FINISH_MS = 250, /* for those who wait when it is told to stop */
    STOP_MS = 10     /* between two looks at civetweb's stop flag */
};

/* ---- taking connections ---- */

static struct gn_acceptor *acceptor_of(struct gn_stream *s)
{
    return gn_container_of(s, struct gn_acceptor, stream);
}

/* A wire for a connection that has just been accepted. NULL with errno. */
static struct gn_wire *open_wire(struct gn_acceptor *a, const struct gn_listener *l,
                                 int fd, const struct sockaddr_storage *peer)
{
    struct gn_wire *w = gn_wire_open(a->wires, fd, peer, l->secure ? a->tls : NULL);
    if (w)
        return w;
    int failed = errno;
    gn_real()->close(fd);
    errno = failed;
    return NULL;
}

/* Whether a connection waits, as the kernel tells. */
static bool is_any_queued(struct gn_acceptor *a)
{
    bool any = false;
    for (unsigned i = 0; i < a->count; i++) {
        struct gn_listener *l = &a->listeners[i];
        struct pollfd p = {.fd = l->watch.fd, .events = POLLIN};
        l->readable = l->readable && gn_real()->poll(&p, 1, 0) > 0;
        any = any || l->readable;
    }
    return any;
}

/* Leaves what waits to a sibling that has clearly less to do, and tells it. */
static bool leave_to_sibling(struct gn_acceptor *a)
{
    int other = gn_worker_better(a->worker);
    if (other >= 0 && is_any_queued(a))
        gn_worker_poke(a->worker, other);
    return other >= 0;
}

static bool is_any_readable(const struct gn_acceptor *a)
{
    for (unsigned i = 0; i < a->count; i++)
        if (a->listeners[i].readable)
            return true;
    return false;
}

static struct gn_wire *note_taken(struct gn_acceptor *a, struct gn_wire *w)
{
    if (a->worker && w)
        gn_worker_took(a->worker);
    return w;
}

/* Takes one connection, the listeners taking turns. NULL with errno: EAGAIN when none
 * has any for us. */
static struct gn_wire *take(struct gn_acceptor *a)
{
    errno = EAGAIN;
    if (a->worker && is_any_readable(a) && leave_to_sibling(a)) {
        errno = EAGAIN;
        return NULL;
    }
    for (unsigned i = 0; a->open && i < a->count; i++) {
        struct sockaddr_storage peer = {0};
        struct gn_listener *l = &a->listeners[a->turn++ % a->count];
        int fd = l->readable ? gn_listener_accept(l, &peer) : -1;
        if (fd >= 0)
            return note_taken(a, open_wire(a, l, fd, &peer));
        if (errno != EAGAIN)
            return NULL;
    }
    if (a->worker)
        a->worker->greedy = false;
    return NULL;
}

/* Whether accept(2) should just be called again: it has reported a connection's own
 * failure. */
static bool passing(int error)
{
    return error == ECONNABORTED || error == EINTR || error == EPROTO ||
           error == ENETDOWN || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == ETIMEDOUT || error == EUSERS;
}

static void rest(struct gn_acceptor *a)
{
    if (!a->starved)
        gn_log(GN_WARN, "cannot take connections: %m; trying again every %d ms",
               REST_MS);
    a->starved = true;
    gn_sleep_until(gn_after_ms(REST_MS));
}

/* Parks in `place` until there may be a connection, or somebody should look whether it
 * is time to stop. */
static void wait_for_more(struct gn_acceptor *a, struct gn_fiber **place,
                          int64_t deadline)
{
    a->streak = 0;
    gn_park_in(place, a->stopping ? gn_after_ms(STOP_MS) : deadline);
}

static void on_ready(struct gn_watch *watch, uint32_t events)
{
    struct gn_listener *l = gn_container_of(watch, struct gn_listener, watch);
    struct gn_acceptor *a = l->acceptor;
    (void)events;
    l->readable = true;
    gn_wake_in(a->source ? &a->taking : &a->waiting);
}

/* The next connection of the kernel's. NULL at the deadline, or when it has stopped. */
static struct gn_wire *take_until(struct gn_acceptor *a, struct gn_fiber **place,
                                  int64_t deadline)
{
    struct gn_wire *w;
    if (++a->streak % STREAK == 0)
        gn_yield();
    while (!(w = take(a))) {
        if (errno == EAGAIN)
            wait_for_more(a, place, deadline);
        else if (!passing(errno))
            rest(a);
        if (a->stopping || gn_now() >= deadline)
            return NULL;
    }
    a->starved = false;
    return w;
}

struct gn_wire *gn_acceptor_take(struct gn_acceptor *a)
{
    return a->stopping ? NULL : take_until(a, &a->taking, GN_NEVER);
}

/* ---- another source ---- */

void gn_acceptor_set_source(struct gn_acceptor *a, gn_stream_source source, void *arg)
{
    a->source = source;
    a->source_arg = arg;
}

static struct gn_stream *ask_until(struct gn_acceptor *a, int64_t deadline)
{
    struct gn_stream *s = a->source(a->source_arg);
    if (!s)
        wait_for_more(a, &a->waiting, deadline);
    return s;
}

/* ---- as civetweb's listening socket ---- */

static struct gn_stream *stream_until(struct gn_acceptor *a, int64_t deadline)
{
    struct gn_wire *w = take_until(a, &a->waiting, deadline);
    return w ? &w->stream : NULL;
}

/* "Readable" is a promise: the connection has been taken already. */
static short acceptor_poll(struct gn_stream *s, short events, int timeout_ms)
{
    struct gn_acceptor *a = acceptor_of(s);
    int64_t deadline = gn_after_ms(timeout_ms);
    a->next = a->source ? ask_until(a, deadline) : stream_until(a, deadline);
    return a->next ? events & POLLIN : 0;
}

static int acceptor_accept(struct gn_stream *s, struct sockaddr *addr, socklen_t *len)
{
    struct gn_acceptor *a = acceptor_of(s);
    struct gn_stream *next = a->next;
    if (!next) {
        errno = EAGAIN;
        return -1;
    }
    a->next = NULL;
    gn_address_stand_in(addr, len, 0);
    return next->fd;
}

static int acceptor_name(struct gn_stream *s, struct sockaddr *addr, socklen_t *len)
{
    (void)s;
    gn_address_stand_in(addr, len, 1);
    return 0;
}

static int acceptor_listen(struct gn_stream *s)
{
    (void)s;
    return 0;
}

static const struct gn_stream_ops acceptor_ops = {
    .poll = acceptor_poll,
    .accept = acceptor_accept,
    .name = acceptor_name,
    .listen = acceptor_listen,
    .close = gn_stream_close,
};

/* ---- life ---- */

int gn_acceptor_open(struct gn_acceptor *a, struct gn_wires *ws,
                     struct gn_tls_site *tls, const char *const *addresses, char *error,
                     size_t room)
{
    *a = (struct gn_acceptor){.wires = ws, .tls = tls};
    a->stream = (struct gn_stream){.ops = &acceptor_ops, .fd = eventfd(0, EFD_CLOEXEC)};
    for (; *addresses; addresses++) {
        if (a->count == GN_LISTENERS) {
            snprintf(error, room, "more than %d addresses to listen on", GN_LISTENERS);
            goto fail;
        }
        struct gn_listener *l = &a->listeners[a->count];
        if (gn_listener_open(l, *addresses, error, room) < 0)
            goto fail;
        l->acceptor = a;
        a->count++;
        if (l->secure && !tls) {
            snprintf(error, room, "%s: TLS needs a certificate and a key", *addresses);
            goto fail;
        }
    }
    return 0;
fail:
    gn_acceptor_close(a);
    return -1;
}

int gn_acceptor_start(struct gn_acceptor *a, char *error, size_t room)
{
    for (unsigned i = 0; i < a->count; i++) {
        struct gn_listener *l = &a->listeners[i];
        int r = gn_listener_watch(l, on_ready);
        if (r < 0) {
            snprintf(error, room, "cannot listen on %s: %s", l->url, strerror(-r));
            return -1;
        }
    }
    a->open = true;
    gn_wake_in(&a->waiting);
    gn_wake_in(&a->taking);
    return 0;
}

void gn_acceptor_look(struct gn_acceptor *a)
{
    for (unsigned i = 0; i < a->count; i++)
        a->listeners[i].readable = true;
    gn_wake_in(a->source ? &a->taking : &a->waiting);
}

void gn_acceptor_seal(struct gn_acceptor *a)
{
    for (unsigned i = 0; i < a->count; i++)
        gn_listener_seal(&a->listeners[i]);
}

void gn_acceptor_finish(struct gn_acceptor *a)
{
    int64_t deadline = gn_after_ms(FINISH_MS);
    gn_acceptor_seal(a);
    while (a->open && gn_now() < deadline) {
        gn_acceptor_look(a);
        if (!is_any_queued(a))
            break;
        gn_sleep_until(gn_after_ms(1));
    }
    gn_acceptor_stop(a);
}

void gn_acceptor_stop(struct gn_acceptor *a)
{
    a->open = false;
    a->stopping = true;
    for (unsigned i = 0; i < a->count; i++)
        gn_listener_close(&a->listeners[i]);
    gn_wake_in(&a->waiting);
    gn_wake_in(&a->taking);
}

void gn_acceptor_close(struct gn_acceptor *a)
{
    gn_acceptor_stop(a);
    gn_stream_close(&a->stream);
}

void gn_acceptor_urls(const struct gn_acceptor *a, char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < a->count && used < room; i++)
        used += (size_t)snprintf(out + used, room - used, "%s%s", i ? " " : "",
                                 a->listeners[i].url);
}
