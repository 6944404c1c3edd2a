/* What the connections of a thread share. */
#include "wire.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BODY_ROOM = 16 * 1024, /* bytes of an input beyond the longest head */
    SPARE_INPUTS = 256
};

/* ---- life ---- */

void gn_wires_init(struct gn_wires *ws, struct gn_sched *sched,
                   const struct gn_wire_options *options)
{
    *ws = (struct gn_wires){.sched = sched, .options = *options};
    ws->peers.most = options->max_per_peer;
    gn_list_init(&ws->all);
}

void gn_wires_term(struct gn_wires *ws)
{
    for (struct gn_input *in = ws->spare_inputs, *next; in; in = next) {
        next = in->next_spare;
        free(in);
    }
    ws->spare_inputs = NULL;
}

/* ---- inputs ---- */

size_t gn_input_room(const struct gn_wires *ws)
{
    return ws->options.limits.head + BODY_ROOM;
}

struct gn_input *gn_input_take_spare(struct gn_wires *ws)
{
    struct gn_input *in = ws->spare_inputs;
    if (in) {
        ws->spare_inputs = in->next_spare;
        ws->spare_count--;
    }
    return in;
}

struct gn_input *gn_input_take(struct gn_wires *ws)
{
    struct gn_input *in = gn_input_take_spare(ws);
    if (!in && !(in = malloc(sizeof *in + gn_input_room(ws))))
        return NULL;
    in->off = in->len = 0;
    return in;
}

void gn_input_drop(struct gn_wires *ws, struct gn_input *in)
{
    if (!in || ws->spare_count == SPARE_INPUTS) {
        free(in);
        return;
    }
    in->next_spare = ws->spare_inputs;
    ws->spare_inputs = in;
    ws->spare_count++;
}

/* ---- all of them ---- */

void gn_wires_want(struct gn_wires *ws)
{
    ws->wanted = true;
    for (struct gn_list *l = ws->all.next; l != &ws->all; l = l->next) {
        struct gn_wire *w = gn_container_of(l, struct gn_wire, link);
        if (w->state != GN_WIRE_BUSY)
            gn_wake_in(&w->reader);
    }
}

void gn_wires_begin_drain(struct gn_wires *ws)
{
    ws->draining = true;
    for (struct gn_list *l = ws->all.next; l != &ws->all; l = l->next) {
        struct gn_wire *w = gn_container_of(l, struct gn_wire, link);
        if (w->endless && w->on_gone)
            w->on_gone(w);
        if (w->tenant)
            w->tenant->on_drain(w->tenant);
        if (w->state == GN_WIRE_IDLE)
            gn_wake_in(&w->reader); /* to wait no longer than patience() says */
    }
}

size_t gn_wires_drain(struct gn_wires *ws, int64_t deadline)
{
    while (ws->count > 0)
        if (gn_park_in(&ws->drainer, deadline) < 0)
            break;
    return ws->count;
}

void gn_wires_abort(struct gn_wires *ws)
{
    for (struct gn_list *l = ws->all.next; l != &ws->all; l = l->next) {
        struct gn_wire *w = gn_container_of(l, struct gn_wire, link);
        if (w->worker)
            gn_cancel(w->worker, -ECANCELED);
    }
}
