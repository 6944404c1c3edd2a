#include "stream.h"

#include "real.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { CHUNK = 1024, CHUNKS = 1024 };

typedef _Atomic(struct gn_stream *) slot;

static _Atomic(slot *)
    chunks[CHUNKS]; /* by fd / CHUNK; made when first needed, kept for ever */

static slot *find(int fd)
{
    if (fd < 0 || fd >= CHUNK * CHUNKS)
        return NULL;
    slot *chunk = atomic_load_explicit(&chunks[fd / CHUNK], memory_order_acquire);
    return chunk ? &chunk[fd % CHUNK] : NULL;
}

static slot *find_or_make(int fd)
{
    slot *made, *none = NULL;
    if (fd < 0 || fd >= CHUNK * CHUNKS)
        return NULL;
    if (!atomic_load(&chunks[fd / CHUNK])) {
        made = calloc(CHUNK, sizeof *made);
        if (!made || !atomic_compare_exchange_strong(&chunks[fd / CHUNK], &none, made))
            free(made); /* out of memory, or another thread was faster */
    }
    return find(fd);
}

struct gn_stream *gn_stream_of(int fd)
{
    slot *s = find(fd);
    return s ? atomic_load_explicit(s, memory_order_acquire) : NULL;
}

int gn_stream_own(struct gn_stream *s)
{
    slot *place = find_or_make(s->fd);
    if (!place)
        return s->fd < 0 || s->fd >= CHUNK * CHUNKS ? -EBADF : -ENOMEM;
    atomic_store_explicit(place, s, memory_order_release);
    return 0;
}

void gn_stream_disown(struct gn_stream *s)
{
    slot *place = find(s->fd);
    if (place)
        atomic_store_explicit(place, NULL, memory_order_release);
}

int gn_stream_close(struct gn_stream *s)
{
    int fd = s->fd;
    gn_stream_disown(s);
    s->fd = -1;
    return fd < 0 ? 0 : gn_real()->close(fd);
}
