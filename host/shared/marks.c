#include "marks.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const unsigned long long MAGIC = UINT64_C(0x67656e6574000001);

enum { BYTES_A_PLACE = 512, LEAST_PLACES = 4096, MOST_PLACES = 1 << 24 };

/* A power of two: about as many as there may be entries of some size. */
static uint32_t places(uint64_t limit)
{
    uint32_t n = LEAST_PLACES;
    while (n < MOST_PLACES && n < limit / BYTES_A_PLACE)
        n *= 2;
    return n;
}

size_t gn_marks_size(uint64_t limit)
{
    return sizeof(struct gn_marks) + places(limit) * sizeof(atomic_uint);
}

static void set_up(struct gn_marks *b, uint64_t limit, size_t size)
{
    memset(b, 0, size);
    b->limit = limit;
    atomic_store(&b->cap, (long long)limit);
    b->use_mask = places(limit) - 1;
    atomic_store(&b->magic, MAGIC);
}

/* The limit of who has set it up holds for all. */
int gn_marks_open(struct gn_marks **out, int fd, uint64_t limit, bool fresh, bool *made)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    struct gn_marks *b =
        mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (b == MAP_FAILED)
        return -errno;
    *made = fresh || atomic_load(&b->magic) != MAGIC;
    if (*made)
        set_up(b, limit, gn_marks_size(limit));
    *out = b;
    if (gn_marks_size(b->limit) <= (size_t)st.st_size)
        return 0;
    munmap(b, (size_t)st.st_size);
    return -EINVAL;
}

void gn_marks_close(struct gn_marks *b)
{
    munmap(b, gn_marks_size(b->limit));
}

void gn_marks_tell(struct gn_marks *b, unsigned stripe)
{
    struct gn_stripe *s = &b->stripes[stripe];
    atomic_fetch_add(&s->changes, 1);
    if (atomic_load(&s->watchers) == 0)
        return;
    atomic_fetch_add(&b->signal, 1);
    syscall(SYS_futex, &b->signal, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
