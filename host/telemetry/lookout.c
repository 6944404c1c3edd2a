#include "lookout.h"

#include "../log.h"

#include <stdio.h>

/* ---- once a second ---- */

static void refresh_often(void *arg)
{
    struct gn_lookout *l = arg;
    while (!l->closing && l->observer.stats) {
        gn_stats_refresh(&l->telemetry);
        gn_park_shielded(gn_after(GN_SECOND));
    }
    l->refresher = NULL;
    if (l->closer)
        gn_wake(l->closer);
}

static void on_enabled(struct gn_telemetry *t)
{
    struct gn_lookout *l = gn_container_of(t, struct gn_lookout, telemetry);
    if (!l->refresher && !l->closing && l->observer.stats)
        l->refresher = gn_fiber_new(gn_sched_self(), "statistics", refresh_often, l);
}

void gn_lookout_count(struct gn_lookout *l, bool wanted)
{
    struct gn_telemetry *t = &l->telemetry;
    struct gn_stats *own = &t->area->blocks[t->worker];
    if (wanted == (l->observer.stats != NULL))
        return;
    if (wanted)
        own->used = true;
    gn_observer_set(&l->observer, l->observer.log, wanted ? own : NULL);
    if (t->enabled)
        t->enabled(t);
}

/* ---- life ---- */

void gn_lookout_init(struct gn_lookout *l, const struct gn_lookout_options *o,
                     const struct gn_telemetry *where)
{
    *l = (struct gn_lookout){.options = *o, .telemetry = *where};
    l->observer.tells_ids = o->request_ids;
    l->telemetry.area = o->area;
    l->telemetry.observer = &l->observer;
    l->telemetry.enabled = o->area->workers > 1 ? on_enabled : NULL;
}

int gn_lookout_open(struct gn_lookout *l, char *error, size_t room)
{
    const struct gn_lookout_options *o = &l->options;
    struct gn_access_log *log = NULL;
    if (o->access_log &&
        !(log = gn_access_log_open(o->access_log, o->log_format, error, room)))
        return -1;
    if (log && gn_access_log_start(log) < 0) {
        gn_access_log_close(log);
        snprintf(error, room, "out of memory");
        return -1;
    }
    if (o->request_ids || (log && gn_access_log_has_ids(log)))
        gn_log_show_requests(true);
    l->telemetry.wires->observer = &l->observer;
    gn_observer_set(&l->observer, log, l->observer.stats);
    return 0;
}

void gn_lookout_close(struct gn_lookout *l)
{
    l->closing = true;
    l->closer = gn_fiber_self();
    if (l->refresher)
        gn_wake(l->refresher);
    while (l->refresher)
        gn_park_shielded(GN_NEVER);
    gn_access_log_close(l->observer.log);
    l->observer.log = NULL;
    l->observer.on = l->observer.stats != NULL;
}
