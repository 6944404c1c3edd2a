#include "server.h"

#include "../systemd.h"

#include <errno.h>

/* Of several processes the parent does. */
static bool speaks(const struct genet *g)
{
    return g->options.systemd && !g->worker;
}

void gn_notice_load(const struct genet *g, bool done, unsigned generation,
                    const char *error)
{
    if (!speaks(g) || g->stopping)
        return;
    if (done)
        gn_systemd_reloaded(generation, error);
    else
        gn_systemd_reloading();
}

/* Only while the scheduler comes round. */
static void ping(void *arg)
{
    int64_t half = *(int64_t *)arg / 2;
    while (gn_sleep_until(gn_after(half)) == 0)
        gn_systemd_ping();
}

void gn_notice_ready(struct genet *g)
{
    if (!speaks(g))
        return;
    gn_systemd_ready(g->urls);
    g->watchdog_ns = gn_systemd_watchdog();
    if (g->watchdog_ns > 0)
        g->watchdog = gn_fiber_new(g->sched, "watchdog", ping, &g->watchdog_ns);
}

void gn_notice_end(struct genet *g)
{
    if (g->watchdog)
        gn_cancel(g->watchdog, -ECANCELED);
    g->watchdog = NULL;
}

void gn_notice_stopping(struct genet *g)
{
    g->stopping = true;
    if (speaks(g))
        gn_systemd_stopping(g->options.drain + 4 * GN_ABORT_SECONDS);
}
