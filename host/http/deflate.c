#include "deflate.h"

#include <stdlib.h>
#include <string.h>

enum {
    WORTHWHILE = 64, /* bytes; less is sent as it is */
    WINDOW = -15,    /* without a header of zlib's */
    LEVEL = 3,
    MEMORY = 8,
    COMPRESSED = 0x40 /* RSV1, in the first byte of a frame */
};

/* What a sync flush ends with, and no message carries (RFC 7692, section 7.2.1). */
static const char tail[] = {0, 0, (char)0xff, (char)0xff};

void gn_deflate_term(struct gn_deflate *d)
{
    if (d->out_ready)
        deflateEnd(&d->out);
    if (d->in_ready)
        inflateEnd(&d->in);
    *d = (struct gn_deflate){0};
}

/* ---- out ---- */

static bool ready_out(struct gn_deflate *d)
{
    if (d->out_ready)
        return deflateReset(&d->out) == Z_OK;
    d->out_ready = deflateInit2(&d->out, LEVEL, Z_DEFLATED, WINDOW, MEMORY,
                                Z_DEFAULT_STRATEGY) == Z_OK;
    return d->out_ready;
}

/* Compresses into a buffer of `n` bytes. Returns how many are to be sent, 0 when they
 * are too many. */
static size_t compress_into(struct gn_deflate *d, char *to, const char *from, size_t n)
{
    z_stream *z = &d->out;
    if (n > UINT32_MAX || !ready_out(d))
        return 0;
    z->next_in = (unsigned char *)from;
    z->avail_in = (unsigned)n;
    z->next_out = (unsigned char *)to;
    z->avail_out = (unsigned)n;
    if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_in > 0 || z->avail_out == 0)
        return 0;
    return n - z->avail_out - sizeof tail;
}

struct gn_frame *gn_deflate_frame(struct gn_deflate *d, enum gn_opcode opcode,
                                  const char *payload, size_t n)
{
    char *bytes = n >= WORTHWHILE ? malloc(n) : NULL;
    size_t length = bytes ? compress_into(d, bytes, payload, n) : 0;
    struct gn_frame *f = length > 0 ? gn_frame_new(opcode, bytes, length) : NULL;
    free(bytes);
    if (f)
        f->bytes[0] |= COMPRESSED;
    return f;
}

struct gn_frame *gn_deflate_shared(struct gn_deflate *d, struct gn_frame *f)
{
    if (!f->tried)
        f->deflated = gn_deflate_frame(d, f->opcode, gn_frame_payload(f),
                                       gn_frame_payload_length(f));
    f->tried = true;
    return f->deflated ? f->deflated : f;
}

/* ---- in ---- */

static bool ready_in(struct gn_deflate *d)
{
    if (d->in_ready)
        return inflateReset(&d->in) == Z_OK;
    d->in_ready = inflateInit2(&d->in, WINDOW) == Z_OK;
    return d->in_ready;
}

/* Inflates what the stream is given into the letter, which grows. Returns 0 or a code.
 */
static int inflate_into(z_stream *z, struct gn_letter **to, size_t most)
{
    do {
        if ((*to)->length == (*to)->room) {
            if ((*to)->room > most)
                return 1009;
            size_t room = 2 * (*to)->room < most + 1 ? 2 * (*to)->room : most + 1;
            struct gn_letter *grown = realloc(*to, sizeof **to + room);
            if (!grown)
                return 1011;
            *to = grown;
            grown->room = room;
        }
        size_t free_room = (*to)->room - (*to)->length;
        z->next_out = (unsigned char *)(*to)->bytes + (*to)->length;
        z->avail_out = free_room > UINT32_MAX ? UINT32_MAX : (unsigned)free_room;
        size_t before = z->avail_out;
        int r = inflate(z, Z_SYNC_FLUSH);
        (*to)->length += before - z->avail_out;
        if (r == Z_MEM_ERROR)
            return 1011;
        if (r == Z_STREAM_END || (r == Z_BUF_ERROR && z->avail_out > 0))
            return 0;
        if (r != Z_OK && r != Z_BUF_ERROR)
            return 1007;
    } while (z->avail_in > 0 || z->avail_out == 0);
    return 0;
}

int gn_inflate_letter(struct gn_deflate *d, struct gn_letter **letter, size_t most)
{
    struct gn_letter *l = *letter;
    size_t room = 4 * l->length + 64 < most + 1 ? 4 * l->length + 64 : most + 1;
    struct gn_letter *plain = malloc(sizeof *plain + room);
    if (!plain || !ready_in(d)) {
        free(plain);
        return 1011;
    }
    *plain = (struct gn_letter){.kind = l->kind, .room = room};
    int code = 0;
    const struct {
        const char *bytes;
        size_t n;
    } parts[] = {{l->bytes, l->length}, {tail, sizeof tail}};
    for (int i = 0; i < 2 && code == 0; i++) {
        d->in.next_in = (unsigned char *)parts[i].bytes;
        d->in.avail_in = (unsigned)parts[i].n;
        code = inflate_into(&d->in, &plain, most);
    }
    if (code == 0 && plain->length > most)
        code = 1009;
    if (code) {
        free(plain);
        return code;
    }
    free(l);
    *letter = plain;
    return 0;
}
