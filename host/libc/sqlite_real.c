#include "sqlite_real.h"

#include "real.h"

#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>

enum { IMAGES = 64, LIBRARIES = 8 }; /* no caller expects a lack of memory here */

/* Images are added in front and never change: readers need no lock. */
static _Atomic(const struct gn_sqlite_image *) images;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of who adds one */
static struct gn_sqlite_image image_room[IMAGES];
static struct gn_sqlite library_room[LIBRARIES];
static unsigned image_count, library_count;

static const struct gn_sqlite_image *find(uintptr_t address)
{
    const struct gn_sqlite_image *i =
        atomic_load_explicit(&images, memory_order_acquire);
    while (i && (address < i->low || address >= i->high))
        i = i->next;
    return i;
}

/* ---- which functions ---- */

/* What a library bound to `handle` calls by this name, were it not for us: the handle's
 * own scope holds no name of the program's, unless it is the program's. */
static void *look_up(void *handle, const char *name)
{
    void *ours = dlsym(RTLD_DEFAULT, name), *f = handle ? dlsym(handle, name) : NULL;
    if (!f || f == ours)
        f = dlsym(RTLD_NEXT, name);
    return f == ours ? NULL : f;
}

static void *look_up_helper(void *handle, const char *name)
{
    void *f = handle ? dlsym(handle, name) : NULL;
    return f ? f : dlsym(RTLD_DEFAULT, name);
}

static bool offloads(const struct gn_sqlite *real)
{
#define GN_HAS(ret, name, params, what) has_all = has_all && real->name;
    bool has_all = true;
    GN_SQLITE_HELPERS(GN_HAS)
#undef GN_HAS
    return has_all && real->sqlite3_threadsafe();
}

#define GN_FIND(ret, name, params, what) \
    real->name = (ret(*) params)look_up(handle, #name);
#define GN_FIND_HELPER(ret, name, params, what) \
    real->name = (ret(*) params)look_up_helper(handle, #name);
static const struct gn_sqlite *load(void *handle)
{
    struct gn_sqlite *real = &library_room[library_count++];
    GN_SQLITE_NAMES(GN_FIND)
    GN_SQLITE_LISTENERS(GN_FIND)
    GN_SQLITE_HELPERS(GN_FIND_HELPER)
    real->offloads = offloads(real);
    return real;
}

/* Most callers share one SQLite. Returns NULL when there is none, or no room. */
static const struct gn_sqlite *library_of(void *handle)
{
    void *step = look_up(handle, "sqlite3_step");
    for (unsigned i = 0; i < library_count && step; i++)
        if ((void *)library_room[i].sqlite3_step == step)
            return &library_room[i];
    return step && library_count < LIBRARIES ? load(handle) : NULL;
}

/* ---- which image ---- */

static int match(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct gn_sqlite_image *i = arg;
    uintptr_t address = i->low, low = UINTPTR_MAX, high = 0;
    (void)size;
    for (int n = 0; n < info->dlpi_phnum; n++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[n];
        uintptr_t start = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type != PT_LOAD)
            continue;
        low = start < low ? start : low;
        high = start + segment->p_memsz > high ? start + segment->p_memsz : high;
    }
    if (address < low || address >= high)
        return 0;
    i->low = low;
    i->high = high;
    return 1;
}

/* A handle of the image, which keeps it loaded; NULL for code that is in none. */
static void *open_image(const void *address)
{
    struct link_map *map = NULL;
    Dl_info info;
    if (!dladdr1(address, &info, (void **)&map, RTLD_DL_LINKMAP) || !map)
        return NULL;
    return dlopen(*map->l_name ? map->l_name : NULL, RTLD_NOLOAD | RTLD_LAZY);
}

static const struct gn_sqlite_image *learn(const void *caller)
{
    const struct gn_sqlite *real = library_of(open_image(caller));
    if (!real)
        real = library_of(dlopen("libsqlite3.so.0", RTLD_NOLOAD | RTLD_LAZY));
    if (!real || image_count == IMAGES) {
        fprintf(stderr, "genet: no SQLite for a caller of sqlite3_*\n");
        abort();
    }
    struct gn_sqlite_image *i = &image_room[image_count++];
    uintptr_t step = (uintptr_t)real->sqlite3_step;
    *i = (struct gn_sqlite_image){.real = real, .low = (uintptr_t)caller};
    i->high = i->low + 1;
    dl_iterate_phdr(match, i);
    i->inside = step >= i->low && step < i->high;
    i->next = images;
    atomic_store_explicit(&images, i, memory_order_release);
    return i;
}

const struct gn_sqlite_image *gn_sqlite_image(const void *caller)
{
    const struct gn_sqlite_image *i = find((uintptr_t)caller);
    if (i)
        return i;
    gn_real()->pthread_mutex_lock(&lock);
    i = find((uintptr_t)caller);
    if (!i)
        i = learn(caller);
    gn_real()->pthread_mutex_unlock(&lock);
    return i;
}
