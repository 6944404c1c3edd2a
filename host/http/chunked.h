/* The chunked coding of a request's body (RFC 9112, section 7.1), decoded strictly.
 *
 * A pure byte machine like the gate: framing is read byte by byte, data is moved as it
 * comes, and the verdict does not depend on the pieces. Only CRLF ends a line; a size
 * is 1 to 16 hexadecimal digits; extensions are skipped and trailers checked and
 * dropped, both bounded. */
#ifndef GN_CHUNKED_H
#define GN_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gn_chunked {
    bool done;          /* the last chunk and the trailers have been seen */
    const char *reason; /* why it was refused: a sentence for a person; static */
    int state, status;  /* the status is negated, once refused */
    unsigned digits;    /* of the size being read */
    uint64_t left;      /* bytes of this chunk still to come */
    uint64_t received;  /* bytes of data in all */
    uint64_t skipped;   /* bytes of extensions in all */
    size_t extension;   /* bytes of extensions of this chunk */
    size_t trailers, max_trailers; /* bytes, without the last CRLF */
};

/* Begins a body whose trailer section may have so many bytes. */
void gn_chunked_init(struct gn_chunked *, size_t max_trailers);

/* Decodes in[0..*in_len) and moves the data to out[0..out_room), which may be the same
 * place or lie before it. Sets *in_len to what it has used up: less than given only
 * when there is no room for more data, when the body is done (what follows is not of
 * it) or refused. Returns the bytes of data, or the negated status of a refusal, which
 * is final: 400 malformed (also extensions over 4 KiB for a chunk, or in all over
 * 16 KiB more than the data so far), 431 trailers too long. */
ssize_t gn_chunked_decode(struct gn_chunked *, const char *in, size_t *in_len,
                          char *out, size_t out_room);

#endif
