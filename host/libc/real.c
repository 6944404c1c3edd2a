#include "real.h"

#include "sqlite_real.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

struct gn_real gn_real_table;
atomic_bool gn_real_loaded;

/* dlsym(RTLD_NEXT) gives the oldest version of a symbol, and the oldest pthread_cond_*
 * take another struct; so ask for the version that changed them first. */
static void *find(const char *name)
{
    void *f = NULL;
#if defined(__x86_64__) && !defined(GENET_SANITIZE_THREAD)
    f = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
#endif
    if (!f)
        f = dlsym(RTLD_NEXT, name);
    if (!f) {
        fprintf(stderr, "genet: libc has no %s\n", name);
        abort();
    }
    return f;
}

#define GN_FIND(ret, name, params, how) gn_real_table.name = (ret(*) params)find(#name);
void gn_real_load(void)
{
    GN_NAMES(GN_FIND)
    atomic_store_explicit(&gn_real_loaded, true, memory_order_release);
}

#define GN_ROW(ret, name, params, how) {#name, how},
#define GN_ALIAS_ROW(name, to) {#name, "as " #to},
#define GN_LISTENER_ROW(ret, name, params, args) {#name, GN_SQLITE_LISTENS},
const struct gn_name gn_names[] = {
    GN_NAMES(GN_ROW) GN_ALIASES(GN_ALIAS_ROW) GN_SQLITE_NAMES(GN_ROW)
        GN_SQLITE_LISTENERS(GN_LISTENER_ROW){NULL, NULL}};
