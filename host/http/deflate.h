/* permessage-deflate (RFC 7692), without taking over a context from message to message:
 * one compressor and one decompressor serve all sockets of a server, and no connection
 * keeps any memory for it. */
#ifndef GN_DEFLATE_H
#define GN_DEFLATE_H

#include "decoder.h"

#include <zlib.h>

struct gn_deflate {
    z_stream out, in; /* each made when it is first needed */
    bool out_ready, in_ready;
};

/* Zeroed memory is a fresh one. */
void gn_deflate_term(struct gn_deflate *);

/* A compressed frame of this payload; NULL when it would not be smaller, or for lack of
 * memory. Returns owned. */
struct gn_frame *gn_deflate_frame(struct gn_deflate *, enum gn_opcode,
                                  const char *payload, size_t n);

/* The same of a frame, made when first asked for and kept by it; the frame itself where
 * there is none. Borrowed from the frame. */
struct gn_frame *gn_deflate_shared(struct gn_deflate *, struct gn_frame *);

/* Puts in the place of a compressed letter what it holds, `most` bytes of it at most.
 * Returns 0, or the code to close with; the letter is then as it was. */
int gn_inflate_letter(struct gn_deflate *, struct gn_letter **, size_t most);

#endif
