#include "frame.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_ROOM = 4,
    IDLE_ROOM = 16 /* an empty ring that is larger is given back */
};

/* ---- frames ---- */

static size_t put_length(char *out, uint64_t n, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (char)(n >> 8 * (bytes - 1 - i));
    return (size_t)bytes;
}

size_t gn_frame_header(char *out, enum gn_opcode opcode, size_t payload)
{
    out[0] = (char)(0x80 | (int)opcode);
    if (payload < 126) {
        out[1] = (char)payload;
        return 2;
    }
    out[1] = payload <= UINT16_MAX ? 126 : 127;
    return 2 + put_length(out + 2, payload, payload <= UINT16_MAX ? 2 : 8);
}

struct gn_frame *gn_frame_new(enum gn_opcode opcode, const char *payload, size_t n)
{
    char header[GN_FRAME_HEADER];
    size_t head = gn_frame_header(header, opcode, n);
    struct gn_frame *f = malloc(sizeof *f + head + n);
    if (!f)
        return NULL;
    f->refs = 1;
    f->opcode = opcode;
    f->header = (unsigned)head;
    f->length = head + n;
    memcpy(f->bytes, header, head);
    if (n > 0)
        memcpy(f->bytes + head, payload, n);
    return f;
}

void gn_frame_unref(struct gn_frame *f)
{
    if (f && --f->refs == 0)
        free(f);
}

/* ---- outboxes ---- */

static struct gn_frame **place(const struct gn_outbox *o, unsigned i)
{
    return &o->ring[(o->first + i) % o->room];
}

static int grow(struct gn_outbox *o)
{
    unsigned room = o->room ? 2 * o->room : FIRST_ROOM;
    struct gn_frame **ring = calloc(room, sizeof *ring);
    if (!ring)
        return -ENOMEM;
    for (unsigned i = 0; i < o->count; i++)
        ring[i] = *place(o, i);
    free(o->ring);
    o->ring = ring;
    o->room = room;
    o->first = 0;
    return 0;
}

int gn_outbox_put(struct gn_outbox *o, struct gn_frame *f)
{
    if (o->count == o->room && grow(o) < 0)
        return -ENOMEM;
    f->refs++;
    *place(o, o->count++) = f;
    o->bytes += f->length;
    return 0;
}

size_t gn_outbox_look(const struct gn_outbox *o, struct iovec *iov, size_t most)
{
    size_t skip = o->sent, n = 0;
    for (; n < o->count && n < most; n++) {
        struct gn_frame *f = *place(o, (unsigned)n);
        iov[n] = (struct iovec){f->bytes + skip, f->length - skip};
        skip = 0;
    }
    return n;
}

struct gn_frame *gn_outbox_first(const struct gn_outbox *o)
{
    return o->count > 0 ? *place(o, 0) : NULL;
}

static void release_ring(struct gn_outbox *o)
{
    if (o->count > 0 || o->room <= IDLE_ROOM)
        return;
    free(o->ring);
    o->ring = NULL;
    o->room = o->first = 0;
}

struct gn_frame *gn_outbox_take(struct gn_outbox *o)
{
    if (o->count == 0)
        return NULL;
    struct gn_frame *f = *place(o, 0);
    o->first = (o->first + 1) % o->room;
    o->count--;
    o->bytes -= f->length - o->sent;
    o->sent = 0;
    release_ring(o);
    return f;
}

void gn_outbox_sent(struct gn_outbox *o, size_t n)
{
    while (n > 0) {
        size_t left = (*place(o, 0))->length - o->sent;
        if (n < left) {
            o->sent += n;
            o->bytes -= n;
            return;
        }
        n -= left;
        gn_frame_unref(gn_outbox_take(o));
    }
}

void gn_outbox_cut(struct gn_outbox *o, size_t keep)
{
    while (o->count > 1) {
        struct gn_frame *last = *place(o, o->count - 1);
        if (o->bytes - last->length < keep)
            return;
        o->count--;
        o->bytes -= last->length;
        gn_frame_unref(last);
    }
}

void gn_outbox_clear(struct gn_outbox *o)
{
    struct gn_frame *f;
    while ((f = gn_outbox_take(o)))
        gn_frame_unref(f);
    free(o->ring);
    *o = (struct gn_outbox){0};
}
