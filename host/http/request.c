#include "request.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    MAX_TRAILERS = 16 * 1024, /* bytes */
    REST_MAX = 256 * 1024 /* bytes of an unread body that are read to keep the peer */
};

/* ---- life ---- */

void gn_request_begin(struct gn_request *r, struct gn_wire *w, long long max_body)
{
    r->wire = w;
    r->ws = NULL;
    r->head = &w->head->gate.head;
    r->own_head = NULL;
    r->max_body = max_body;
    r->received = 0;
    r->body_waited = 0;
    r->body_done = !r->head->chunked && r->head->content_length <= 0;
    r->body_failed = r->reading = r->invited = false;
    r->progress = GN_UNANSWERED;
    r->status = 0;
    r->keep = r->head->keep_alive;
    r->body_less = false;
    r->closer = NULL;
    r->over = false;
    r->observed = false;
    r->generation = r->route = 0;
    r->written = 0;
    *r->client = *r->id = '\0';
    gn_list_init(&r->guests);
    if (r->head->chunked)
        gn_chunked_init(&r->chunks, MAX_TRAILERS);
    w->state = GN_WIRE_BUSY;
}

/* Reads what the handler has not, up to REST_MAX. Returns whether that was all. */
static bool read_rest(struct gn_request *r)
{
    char scratch[4096];
    long long until = r->received + REST_MAX;
    ssize_t n = 1;
    r->max_body = r->head->content_length > until ? r->head->content_length : until;
    while (n > 0 && r->received < until)
        n = gn_request_read(r, scratch, sizeof scratch);
    return r->body_done;
}

/* Waits shielded: the calls are in our memory, and about to end. */
static void dismiss_guests(struct gn_request *r)
{
    r->over = true;
    for (struct gn_list *l = r->guests.next; l != &r->guests; l = l->next)
        gn_scope_cancel(&gn_container_of(l, struct gn_guest, link)->scope, -ECANCELED);
    r->closer = gn_fiber_self();
    while (!gn_list_empty(&r->guests))
        gn_park_shielded(GN_NEVER);
    r->closer = NULL;
}

/* Gives back the inputs, but for what has not been consumed. */
static void drop_inputs(struct gn_wire *w)
{
    if (w->head != w->in)
        gn_input_drop(w->wires, w->head);
    w->head = NULL;
    if (w->in && w->in->off == w->in->len) {
        gn_input_drop(w->wires, w->in);
        w->in = NULL;
    }
}

void gn_request_end(struct gn_request *r)
{
    struct gn_wire *w = r->wire;
    if (!gn_list_empty(&r->guests))
        dismiss_guests(r);
    if (r->keep && !r->body_done && !read_rest(r))
        r->keep = false;
    drop_inputs(w);
    free(r->own_head);
    r->own_head = NULL;
    w->state = GN_WIRE_IDLE;
    if (r->keep)
        return;
    w->ended = true;
    w->lingers = w->lingers || !r->body_done || w->in;
}

/* A pointer into the bytes at `from` becomes one into their copy at `to`. */
static void move(const char **p, const char *from, size_t n, char *to)
{
    if (*p && (uintptr_t)*p - (uintptr_t)from < n)
        *p = to + (*p - from);
}

int gn_request_keep_head(struct gn_request *r)
{
    struct gn_wire *w = r->wire;
    const char *from = w->head->bytes;
    size_t count = (size_t)r->head->header_count, n = (size_t)w->head->gate.verdict;
    size_t fixed = offsetof(struct gn_head, headers) + count * sizeof *r->head->headers;
    struct gn_head *h = malloc(fixed + n);
    if (!h)
        return -ENOMEM;
    char *to = (char *)h + fixed;
    memcpy(h, r->head, fixed);
    memcpy(to, from, n);
    const char **words[] = {&h->method, &h->target, &h->query, &h->host};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        move(words[i], from, n, to);
    for (size_t i = 0; i < count; i++) {
        move(&h->headers[i].name, from, n, to);
        move(&h->headers[i].value, from, n, to);
    }
    r->head = r->own_head = h;
    drop_inputs(w);
    return 0;
}

int gn_guest_enter(struct gn_guest *g, struct gn_request *r)
{
    struct gn_fiber *self = gn_fiber_self();
    *g = (struct gn_guest){0};
    if (self == r->wire->worker)
        return 0;
    if (r->over)
        return -ECANCELED;
    g->request = r;
    gn_list_append(&r->guests, &g->link);
    gn_scope_enter(&g->scope, self);
    return 0;
}

void gn_guest_leave(struct gn_guest *g)
{
    struct gn_request *r = g->request;
    if (!r)
        return;
    gn_scope_leave(&g->scope);
    gn_list_del(&g->link);
    if (r->closer)
        gn_wake(r->closer);
}

/* An unread body of unknown length costs the connection, and so does a long one, or one
 * that the peer may never send: what read_rest() would have to read. */
bool gn_request_may_keep(const struct gn_request *r)
{
    bool comes = !r->head->expects_continue || r->invited;
    bool short_rest =
        r->body_done || (!r->head->chunked && comes &&
                         r->head->content_length - r->received <= REST_MAX);
    return r->keep && short_rest && !r->body_failed && !r->wire->ended &&
           !r->wire->wires->draining;
}

const char *gn_request_header(const struct gn_request *r, const char *name)
{
    for (int i = 0; i < r->head->header_count; i++)
        if (strcasecmp(r->head->headers[i].name, name) == 0)
            return r->head->headers[i].value;
    return NULL;
}

/* ---- ids ---- */

/* A number that differs from all others in every bit (splitmix64). */
static uint64_t scramble(uint64_t n)
{
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9;
    n = (n ^ n >> 27) * 0x94d049bb133111eb;
    return n ^ n >> 31;
}

static void put_hex(char *out, uint64_t n)
{
    for (int shift = 60; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[n >> shift & 15];
    *out = '\0';
}

const char *gn_request_id(struct gn_request *r)
{
    static _Thread_local uint64_t state[2];
    static _Thread_local pid_t owner; /* a forked child begins anew */
    if (*r->id)
        return r->id;
    if (owner != getpid() && getrandom(state, sizeof state, 0) == sizeof state)
        owner = getpid();
    state[0] += 0x9e3779b97f4a7c15;
    state[1] += 0xd1342543de82ef95;
    put_hex(r->id, scramble(state[0]));
    put_hex(r->id + 16, scramble(state[1]));
    return r->id;
}

/* ---- the body ---- */

/* RFC 9110, section 10.1.1: who expects 100 Continue sends the body after it. */
int gn_request_invite(struct gn_request *r)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct gn_input *in = r->wire->in;
    bool waits = r->head->expects_continue && !r->invited && in->off == in->len;
    if (!waits || r->progress != GN_UNANSWERED)
        return 0;
    r->invited = true;
    return gn_wire_hold(r->wire, &(struct iovec){(char *)line, sizeof line - 1}, 1);
}

/* Only the time in which the handler waits for the peer counts. */
static int64_t body_deadline(const struct gn_request *r)
{
    return gn_wire_deadline(gn_now() - r->body_waited, (size_t)r->received);
}

/* Bytes that have been read from the wire and wait in its input. */
static size_t waiting(const struct gn_wire *w)
{
    return w->in ? w->in->len - w->in->off : 0;
}

/* A body of known length goes straight from the kernel into the caller's buffer, once
 * what came with the head is used up; never a byte beyond it. */
static ssize_t read_counted(struct gn_request *r, char *buf, size_t n)
{
    struct gn_wire *w = r->wire;
    long long left = r->head->content_length - r->received;
    if ((long long)n > left)
        n = (size_t)left;
    size_t ready = waiting(w);
    if (ready == 0)
        return gn_wire_read(w, buf, n, body_deadline(r));
    if (n > ready)
        n = ready;
    memcpy(buf, w->in->bytes + w->in->off, n);
    w->in->off += n;
    return (ssize_t)n;
}

/* Reads framing into an input of its own, since the head must keep its place. */
static ssize_t refill(struct gn_request *r)
{
    struct gn_wire *w = r->wire;
    if (w->in == w->head && !(w->in = gn_input_take(w->wires)))
        return -ENOMEM;
    ssize_t n =
        gn_wire_read(w, w->in->bytes, gn_input_room(w->wires), body_deadline(r));
    w->in->off = 0;
    w->in->len = n > 0 ? (size_t)n : 0;
    return n;
}

static ssize_t read_chunked(struct gn_request *r, char *buf, size_t n)
{
    struct gn_wire *w = r->wire;
    for (;;) {
        size_t taken = waiting(w);
        const char *from = w->in ? w->in->bytes + w->in->off : NULL;
        ssize_t got = taken ? gn_chunked_decode(&r->chunks, from, &taken, buf, n) : 0;
        if (got < 0)
            return -EBADMSG;
        if (w->in)
            w->in->off += taken;
        if (got > 0 || r->chunks.done)
            return got;
        if (r->received + (long long)r->chunks.left > r->max_body)
            return -EFBIG; /* of what has been announced */
        ssize_t more = waiting(w) ? 1 : refill(r);
        if (more <= 0)
            return more ? more : -EPIPE;
    }
}

/* Notes what a read has brought. */
static ssize_t count(struct gn_request *r, ssize_t got)
{
    if (got < 0 || (got == 0 && !r->head->chunked)) {
        r->body_failed = true;
        return got < 0 ? got : -EPIPE;
    }
    r->received += got;
    r->body_done =
        r->head->chunked ? r->chunks.done : r->received == r->head->content_length;
    return got;
}

static ssize_t read_some(struct gn_request *r, char *buf, size_t n)
{
    if (r->body_failed)
        return -EPIPE;
    if (r->body_done || n == 0)
        return 0;
    if (r->head->content_length > r->max_body)
        return -EFBIG; /* before anything of it is asked for */
    if (r->received == 0 && gn_request_invite(r) < 0)
        return -EPIPE;
    ssize_t got = r->head->chunked ? read_chunked(r, buf, n) : read_counted(r, buf, n);
    got = count(r, got);
    if (r->received > r->max_body)
        return -EFBIG;
    return got;
}

ssize_t gn_request_read(struct gn_request *r, char *buf, size_t n)
{
    struct gn_guest g;
    if (r->reading)
        return -EBUSY;
    int e = gn_guest_enter(&g, r);
    if (e < 0)
        return e;
    int64_t start = gn_now();
    r->reading = true;
    ssize_t got = read_some(r, buf, n);
    r->reading = false;
    r->body_waited += gn_now() - start;
    gn_guest_leave(&g);
    return got;
}
