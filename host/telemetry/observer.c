#include "observer.h"

#include "../http/address.h"
#include "stats.h"

enum { CLIENT_GONE = 499 }; /* as nginx tells that the client did not wait */

void gn_observer_set(struct gn_observer *o, struct gn_access_log *log,
                     struct gn_stats *stats)
{
    o->sched = gn_sched_self();
    o->log = log;
    o->stats = stats;
    if (stats)
        o->counted = stats;
    o->on = log || stats;
    if (o->on)
        gn_meter_start(o->sched);
}

void gn_observe_begin(struct gn_observer *o, struct gn_request *r)
{
    r->observed = true;
    r->counted = o->stats != NULL;
    if (r->counted)
        gn_stats_add(&o->stats->in_flight, 1);
    r->wire->gone = false;
    r->began = gn_meter_read(o->sched);
}

static void log_request(struct gn_observer *o, struct gn_request *r,
                        struct gn_access *a)
{
    char peer[GN_ADDRESS_ROOM];
    if (!*r->client)
        gn_address_format(&r->wire->peer, peer);
    a->client = *r->client ? r->client : peer;
    bool has_id = gn_access_log_has_ids(o->log) || *r->id;
    a->id = has_id ? gn_request_id(r) : NULL;
    gn_access_log_put(o->log, a);
}

static int status_of(const struct gn_request *r)
{
    if (r->status == 101)
        return 101; /* a WebSocket's ends are all the same */
    return r->wire->gone || r->wire->broken ? CLIENT_GONE : r->status;
}

void gn_observe_end(struct gn_observer *o, struct gn_request *r)
{
    const struct gn_reading now = gn_meter_read(o->sched);
    int64_t total = gn_meter_ns(o->sched, now.at - r->began.at);
    int64_t run = gn_meter_ns(o->sched, now.ran - r->began.ran);
    struct gn_access a = {.request = r,
                          .status = status_of(r),
                          .bytes = r->written,
                          .total = total,
                          .parked = total - run,
                          .run = run};
    if (r->counted && o->stats)
        gn_stats_answer(o->stats, r->route, r->head->method, a.status, total);
    if (r->counted)
        gn_stats_add(&o->counted->in_flight, -1);
    if (o->log)
        log_request(o, r, &a);
}

void gn_observe_refusal(struct gn_observer *o, struct gn_request *r)
{
    struct gn_access a = {.request = r, .status = r->status, .bytes = r->written};
    if (o->stats)
        gn_stats_answer(o->stats, 0, r->head->method, r->status, 0);
    if (o->log)
        log_request(o, r, &a);
}
