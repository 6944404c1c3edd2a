/* Fuzzes the chunked decoder: it keeps within its buffers, and neither pieces, nor
 * room, nor decoding in place change what comes out.
 *
 * The first byte of the input seeds the sizes of pieces and rooms; the rest is a body.
 */
#include "../../host/http/chunked.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TRAILERS = 256 };

struct outcome {
    ssize_t status; /* 0 or a refusal */
    bool done;
    const char *reason;
    size_t used, got;
    char *data; /* owned */
};

static void require(bool promise)
{
    if (!promise)
        abort();
}

static unsigned next_size(unsigned *seed)
{
    *seed = *seed * 1103515245 + 12345;
    return (*seed >> 16) % 17;
}

/* Decodes at most `n` bytes, copied to a place of just their size. */
static void decode(struct gn_chunked *c, const uint8_t *data, size_t n, size_t room,
                   bool in_place, struct outcome *o)
{
    size_t used = n;
    char *in = malloc(n + !n), *out = in_place ? in : malloc(room + !room);
    memcpy(in, data + o->used, n);
    ssize_t got = gn_chunked_decode(c, in, &used, out, in_place ? n : room);
    require(used <= n && got <= (ssize_t)used && (in_place || got <= (ssize_t)room));
    require(got < 0 || c->done || used == n || (size_t)got == room);
    o->used += used;
    o->status = got < 0 ? got : 0;
    if (got > 0)
        memcpy(o->data + o->got, out, got);
    o->got += got > 0 ? got : 0;
    if (!in_place)
        free(out);
    free(in);
}

/* `seed` 0 for one piece. */
static struct outcome decode_all(const uint8_t *data, size_t size, unsigned seed,
                                 bool in_place)
{
    struct gn_chunked c;
    struct outcome o = {.data = malloc(size + 1)};
    bool whole = seed == 0;
    gn_chunked_init(&c, MAX_TRAILERS);
    while (o.used < size && !c.done && o.status == 0) {
        size_t left = size - o.used, n = 1 + next_size(&seed), room = next_size(&seed);
        if (whole || n > left)
            n = left;
        decode(&c, data, n, whole || in_place ? n : room, in_place, &o);
    }
    o.done = c.done;
    o.reason = c.reason;
    return o;
}

static void check_alike(const struct outcome *a, const struct outcome *b)
{
    require(a->status == b->status && a->done == b->done && a->used == b->used);
    require(a->reason == b->reason);
    if (a->status == 0)
        require(a->got == b->got && !memcmp(a->data, b->data, a->got));
}

static void check_outcome(const struct outcome *o, const uint8_t *data)
{
    require(o->status == 0 || o->status == -400 || o->status == -431);
    require((o->status < 0) == (o->reason != NULL));
    require(!o->done || o->status == 0);
    if (o->done)
        require(o->used >= 5 && !memcmp(data + o->used - 2, "\r\n", 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    unsigned seed = data[0] + 1;
    struct outcome whole = decode_all(data + 1, size - 1, 0, false);
    struct outcome in_place = decode_all(data + 1, size - 1, 0, true);
    struct outcome pieces = decode_all(data + 1, size - 1, seed, false);
    struct outcome pieces_in_place = decode_all(data + 1, size - 1, seed, true);
    check_outcome(&whole, data + 1);
    check_alike(&whole, &in_place);
    check_alike(&whole, &pieces);
    check_alike(&whole, &pieces_in_place);
    free(whole.data);
    free(in_place.data);
    free(pieces.data);
    free(pieces_in_place.data);
    return 0;
}
