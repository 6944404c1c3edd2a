/* The parent of several processes. No request comes here. */
#include "server.h"

#include "../log.h"

#include <stdlib.h>

/* Where all processes will have genet.shared, if that is not on disk. */
static const char *place_shared(struct genet *g)
{
    char error[500];
    if (g->state)
        return NULL;
    const char *place = gn_shared_place(&g->shared, error, sizeof error);
    if (!place)
        gn_log(GN_WARN, "genet.shared is not shared: %s", error);
    return place;
}

static void on_load_of_all(const struct gn_supervisor *s, bool done, void *arg)
{
    gn_notice_load(arg, done, s->generation, s->error);
}

static int begin_parenthood(struct genet *g)
{
    const struct genet_options *o = &g->options;
    const struct gn_supervisor_options so = {
        .shared = place_shared(g),
        .processes = (unsigned)o->processes,
        .drain = (int64_t)(o->drain * GN_SECOND),
        .load_timeout = (int64_t)(o->load_timeout * GN_SECOND),
        .on_load = on_load_of_all,
        .arg = g,
        .bus = &g->bus,
    };
    gn_server_raise_file_limit(g);
    if (gn_entrance_listen(g, g->listen) < 0)
        return -1;
    gn_server_tell_separation(o->processes, "processes");
    return gn_parent_open(g->parent, &g->acceptor, g->urls, &so, g->control_path,
                          g->error, sizeof g->error);
}

void gn_server_supervise(void *arg)
{
    struct genet *g = arg;
    struct gn_parent parent;
    g->parent = &parent;
    gn_wires_init(&g->own, g->sched, &(struct gn_wire_options){.head_timeout = 0});
    g->wires = &g->own;
    gn_server_open_bus(g);
    g->status = begin_parenthood(g);
    if (g->status == 0) {
        if (g->options.ready)
            g->options.ready(g, g->options.ready_arg);
        gn_notice_ready(g);
        gn_server_obey(g);
        gn_notice_stopping(g);
        if (gn_parent_close(&parent) > 0)
            g->status = gn_server_fail(g, "not all processes have ended well");
        gn_notice_end(g);
        free(parent.supervisor.error);
    }
    gn_redis_close(g->redis);
    g->parent = NULL;
    gn_wires_term(g->wires);
}
