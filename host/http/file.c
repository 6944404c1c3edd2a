#include "file.h"

#include "../vm/disk.h"

#include <errno.h>
#include <stdlib.h>

enum {
    WINDOW = 256 * 1024, /* bytes that are looked after at once */
    RECORD = 16 * 1024   /* one of TLS */
};

/* Whether sendfile(2) has failed because it cannot read such a file. */
static bool is_no_source(ssize_t error)
{
    return error == -EINVAL || error == -ENOSYS || error == -EOPNOTSUPP;
}

static int send_copies(struct gn_wire *w, int fd, off_t at, long long n)
{
    char *buf = malloc(RECORD);
    int r = buf ? 0 : -ENOMEM;
    while (r == 0 && n > 0) {
        ssize_t got = gn_disk_read(fd, buf, n < RECORD ? (size_t)n : RECORD, at);
        if (got <= 0) {
            r = got == 0 ? -ENODATA : (int)got;
            break;
        }
        r = gn_wire_send(w, &(struct iovec){buf, (size_t)got}, 1);
        at += got;
        n -= got;
    }
    free(buf);
    return r;
}

/* One window. Returns the bytes that have been sent, all of them unless the file cannot
 * be sent in this way, or a negative errno. */
static ssize_t send_window(struct gn_wire *w, int fd, off_t at, size_t n)
{
    int64_t start = w->wires->sched->now;
    size_t sent = 0;
    while (sent < n) {
        if (w->broken)
            return -EPIPE;
        ssize_t r = gn_wire_push_file(w, fd, at + (off_t)sent, n - sent);
        if (r == 0)
            return -ENODATA;
        if (r == -EAGAIN)
            r = gn_wire_wait_room(w, gn_wire_deadline(start, sent));
        else if (r > 0)
            gn_spend((size_t)r);
        if (is_no_source(r))
            break;
        if (r < 0 && r != -EINTR)
            return r;
        sent += r > 0 ? (size_t)r : 0;
    }
    return (ssize_t)sent;
}

/* What is held leaves first. A peer buys time only with the bytes of one window. */
static int send_plain(struct gn_wire *w, int fd, off_t at, long long n)
{
    int r = gn_wire_flush(w);
    while (r == 0 && n > 0) {
        size_t window = n < WINDOW ? (size_t)n : WINDOW;
        if ((r = gn_fiber_cause(gn_fiber_self())) < 0 ||
            (r = gn_disk_warm(fd, at, window)) < 0)
            return r;
        ssize_t sent = send_window(w, fd, at, window);
        if (sent < 0)
            return (int)sent;
        at += sent;
        n -= sent;
        if ((size_t)sent < window)
            return send_copies(w, fd, at, n);
    }
    return r;
}

int gn_respond_file(struct gn_request *r, int fd, off_t at, long long n)
{
    if (n == 0 || r->body_less)
        return r->wire->broken ? -EPIPE : 0;
    if (r->promised < 0 || n > r->promised - r->written)
        return -EMSGSIZE;
    struct gn_guest g;
    int e = gn_guest_enter(&g, r);
    if (e < 0)
        return e;
    r->written += n; /* so nobody else may write until these have left */
    e = r->wire->tls ? send_copies(r->wire, fd, at, n) : send_plain(r->wire, fd, at, n);
    gn_guest_leave(&g);
    return e;
}
