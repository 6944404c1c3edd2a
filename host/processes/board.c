#include "board.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where what is beside the lines begins: at a page. */
static size_t lines_end(unsigned count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t end = offsetof(struct gn_board, lines) + count * sizeof(struct gn_line);
    return (end + page - 1) / page * page;
}

static size_t size_for(unsigned count, unsigned beside)
{
    return lines_end(count) + (size_t)count * beside;
}

static int map(struct gn_board **b, int fd, size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    *b = p == MAP_FAILED ? NULL : p;
    return *b ? 0 : -errno;
}

int gn_board_new(struct gn_board **b, int *fd, unsigned count, unsigned beside)
{
    size_t size = size_for(count, beside);
    *fd = memfd_create("genet-board", MFD_CLOEXEC);
    if (*fd < 0)
        return -errno;
    int r = ftruncate(*fd, (off_t)size) < 0 ? -errno : map(b, *fd, size);
    if (r == 0) {
        (*b)->count = count;
        (*b)->beside = beside;
    }
    if (r == 0 && getrandom((*b)->secret, GN_SECRET, 0) != GN_SECRET) {
        gn_board_free(*b);
        r = -EIO;
    }
    if (r < 0) {
        close(*fd);
        return r;
    }
    return 0;
}

int gn_board_open(struct gn_board **b, int fd, unsigned count)
{
    struct stat st;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    if (r == 0 && (size_t)st.st_size < size_for(count, 0))
        r = -EINVAL;
    if (r == 0)
        r = map(b, fd, (size_t)st.st_size);
    close(fd);
    return r;
}

void *gn_board_memory(struct gn_board *b)
{
    return (char *)b + lines_end(b->count);
}

void gn_board_free(struct gn_board *b)
{
    if (b)
        munmap(b, size_for(b->count, b->beside));
}

void gn_board_tell(struct gn_board *b, FILE *out)
{
    for (unsigned i = 0; i < b->count; i++) {
        struct gn_line *l = &b->lines[i];
        if (atomic_load(&l->pid))
            fprintf(out, "%u  process, pid %d, generation %u\n", i,
                    atomic_load(&l->pid), atomic_load(&l->generation));
    }
}

/* ---- sharing ---- */

static unsigned get(_Atomic unsigned *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}

static void set(_Atomic unsigned *p, unsigned value)
{
    atomic_store_explicit(p, value, memory_order_relaxed);
}

void gn_line_took(struct gn_line *l, unsigned second)
{
    unsigned last = get(&l->second);
    if (last != second) {
        set(&l->before, last + 1 == second ? get(&l->taken) : 0);
        set(&l->taken, 0);
        set(&l->second, second);
    }
    set(&l->taken, get(&l->taken) + 1);
}

/* Connections taken in this second and the one before. */
static unsigned lately(struct gn_line *l, unsigned second)
{
    unsigned last = get(&l->second);
    if (last == second)
        return get(&l->taken) + get(&l->before);
    return last + 1 == second ? get(&l->taken) : 0;
}

/* By more than chance, and than what is worth another process's attention. */
static bool clearly_more(unsigned mine, unsigned other)
{
    return mine > other + 2 + other / 32;
}

int gn_board_better(struct gn_board *b, unsigned mine, unsigned second)
{
    unsigned open = get(&b->lines[mine].connections),
             took = lately(&b->lines[mine], second), least = open, least_took = took;
    int best = -1;
    for (unsigned i = 0; i < b->count; i++) {
        struct gn_line *l = &b->lines[i];
        if (i == mine || get(&l->standing) != GN_SERVING || get(&l->deaf))
            continue;
        unsigned n = get(&l->connections), t = lately(l, second);
        bool better = clearly_more(open, n) || (n <= open && clearly_more(took, t));
        if (better && (best < 0 || n < least || (n == least && t < least_took))) {
            best = (int)i;
            least = n;
            least_took = t;
        }
    }
    return best;
}
