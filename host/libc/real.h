/* The real libc functions behind the names this layer defines: gn_real()->poll(...).
 *
 * Filled at the first use, which may come before any constructor of ours has run. Any
 * thread. */
#ifndef GN_REAL_H
#define GN_REAL_H

#include "names.h"

#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GN_MEMBER(ret, name, params, how) ret(*name) params;
struct gn_real {
    GN_NAMES(GN_MEMBER)
};
#undef GN_MEMBER

extern struct gn_real gn_real_table;
extern atomic_bool gn_real_loaded;
void gn_real_load(void);

static inline const struct gn_real *gn_real(void)
{
    if (!atomic_load_explicit(&gn_real_loaded, memory_order_acquire))
        gn_real_load();
    return &gn_real_table;
}

/* One row of the list, for people. */
struct gn_name {
    const char *name, *how;
};

/* All names of GN_NAMES and GN_ALIASES, and those of sqlite_real.h, ended by a row of
 * NULLs. */
extern const struct gn_name gn_names[];

#endif
