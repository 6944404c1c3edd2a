#include "crew.h"

#include "../log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const int64_t RETRY = GN_SECOND;        /* after a load that has failed */
static const int64_t PATIENCE = 2 * GN_SECOND; /* with a thread that is blocked */

/* ---- all of them ---- */

/* What one of them is to do, on its own thread. */
struct order {
    struct gn_errand errand;
    struct gn_hand *hand;
    int64_t deadline; /* of what is to be done */
    unsigned left;    /* what gn_generations_drain() has said */
};

static void drop_order(struct gn_errand *e)
{
    free(gn_container_of(e, struct order, errand));
}

static struct order *send_order(struct gn_hand *h, void (*fn)(void *), int64_t deadline)
{
    struct order *o = malloc(sizeof *o);
    if (!o)
        return NULL;
    *o = (struct order){.hand = h, .deadline = deadline};
    gn_errand_send(&o->errand, h->runner.sched, "order", fn, o);
    return o;
}

/* Waits for one, which may be NULL. Returns what is left; 1 when it has not been done
 * by `until`. */
static unsigned await_order(struct order *o, int64_t until)
{
    if (!o || gn_errand_await_until(&o->errand, until, drop_order) == -ETIMEDOUT)
        return 1;
    unsigned left = o->errand.error < 0 ? 1 : o->left;
    free(o);
    return left;
}

/* Has every hand run fn(its order), and waits until they have, or `until`: one whose
 * thread is blocked does so when it can. Returns the sum of what is left. */
static unsigned order_all(struct gn_crew *c, void (*fn)(void *), int64_t deadline,
                          int64_t until)
{
    unsigned left = 0, n = c->options.count;
    struct order **orders = calloc(n, sizeof *orders);
    if (!orders)
        return n;
    for (unsigned i = 0; i < n; i++)
        orders[i] = send_order(&c->hands[i], fn, deadline);
    for (unsigned i = 0; i < n; i++)
        left += await_order(orders[i], until);
    free(orders);
    return left;
}

/* ---- generations ---- */

static bool is_behind(const struct gn_hand *h)
{
    return h->generations.last != atomic_load(&h->crew->latest);
}

/* The leader's generation: its number, and a reference to its sources. */
static unsigned latest_of(struct gn_crew *c, struct gn_sources **sources)
{
    pthread_mutex_lock(&c->lock);
    unsigned number = atomic_load(&c->latest);
    *sources = gn_sources_ref(c->sources);
    pthread_mutex_unlock(&c->lock);
    return number;
}

static void keep_up(struct gn_hand *h)
{
    struct gn_sources *sources;
    unsigned latest = latest_of(h->crew, &sources);
    bool waits = h->failed == latest && gn_now() < h->retry;
    if (!waits && gn_generations_follow(&h->generations, latest, sources) < 0) {
        h->failed = latest;
        h->retry = gn_after(RETRY);
    }
    atomic_store(&h->serving, h->generations.last);
    gn_sources_unref(sources);
}

static void follow(void *arg)
{
    struct order *o = arg;
    if (!o->hand->generations.current)
        gn_lookout_count(&o->hand->lookout, atomic_load(&o->hand->crew->counts));
    else if (is_behind(o->hand))
        keep_up(o->hand);
}

static void follow_at_desk(void *arg)
{
    struct gn_crew *c = arg;
    gn_lookout_count(&c->lookout, atomic_load(&c->counts));
}

static void publish(struct gn_crew *c, struct gn_app *a)
{
    pthread_mutex_lock(&c->lock);
    gn_sources_unref(c->sources);
    c->sources = gn_sources_ref(a->sources);
    atomic_store(&c->latest, a->vm.number);
    atomic_store(&c->counts,
                 c->options.leader->options.telemetry->observer->stats != NULL);
    pthread_mutex_unlock(&c->lock);
}

void gn_crew_follow(struct gn_crew *c)
{
    publish(c, c->options.leader->current);
    gn_elsewhere(c->desk.sched, "desk", follow_at_desk, c);
    unsigned late = order_all(c, follow, GN_NEVER, gn_after(PATIENCE));
    if (late > 0)
        gn_log(GN_WARN, "generation %u: %u threads are busy, and follow later",
               atomic_load(&c->latest), late);
}

void gn_crew_handle(struct gn_request *r)
{
    struct gn_counter *counter = gn_sched_self()->owner;
    struct gn_hand *h = gn_container_of(counter, struct gn_hand, counter);
    if (is_behind(h)) {
        keep_up(h);
        gn_wire_remind(r->wire);
    }
    if (h->generations.current)
        gn_generations_handle(&h->generations, r);
    else
        gn_respond_error(r, 503, NULL);
}

/* ---- looking at them ---- */

struct gn_hand *gn_crew_hand(struct gn_crew *c, unsigned number)
{
    return number >= 1 && number <= c->options.count ? &c->hands[number - 1] : NULL;
}

void gn_crew_tell(struct gn_crew *c, FILE *out)
{
    for (unsigned i = 0; i < c->options.count; i++) {
        unsigned serving = atomic_load(&c->hands[i].serving);
        if (serving)
            fprintf(out, "%u  thread, generation %u, %llu requests\n", i + 1, serving,
                    (unsigned long long)atomic_load(&c->hands[i].requests));
        else
            fprintf(out, "%u  thread, has served nothing yet\n", i + 1);
    }
}

/* ---- the end ---- */

static void begin_drain(void *arg)
{
    struct order *o = arg;
    gn_wires_begin_drain(&o->hand->counter.wires);
}

void gn_crew_begin_drain(struct gn_crew *c)
{
    order_all(c, begin_drain, GN_NEVER, gn_after(PATIENCE));
}

static void cancel_requests(void *arg)
{
    struct order *o = arg;
    gn_wires_abort(&o->hand->counter.wires);
}

void gn_crew_abort(struct gn_crew *c)
{
    order_all(c, cancel_requests, GN_NEVER, gn_after(PATIENCE));
}

static void drain(void *arg)
{
    struct order *o = arg;
    o->left = gn_generations_drain(&o->hand->generations, o->deadline);
}

unsigned gn_crew_drain(struct gn_crew *c, int64_t deadline)
{
    int64_t grace = 2 * GN_ABORT_SECONDS * GN_SECOND;
    return order_all(c, drain, deadline,
                     deadline > gn_now() ? deadline + grace : gn_after(grace));
}

/* ---- life ---- */

/* Returns whether that went well. */
static bool open_lookout(struct gn_crew *c, struct gn_lookout *l,
                         const struct gn_telemetry *where)
{
    char error[sizeof c->error];
    gn_lookout_init(l, &c->options.lookout, where);
    l->telemetry.born = c->options.born;
    l->telemetry.guest = true;
    if (gn_lookout_open(l, error, sizeof error) == 0)
        return true;
    pthread_mutex_lock(&c->lock);
    memcpy(c->error, error, sizeof error);
    pthread_mutex_unlock(&c->lock);
    return false;
}

static void open_desk(void *arg)
{
    struct gn_crew *c = arg;
    open_lookout(c, &c->lookout,
                 &(struct gn_telemetry){.worker = c->options.count + 1,
                                        .wires = &c->reception.wires});
}

static void close_desk(void *arg)
{
    struct gn_crew *c = arg;
    gn_lookout_close(&c->lookout);
}

static void open_hand(void *arg)
{
    struct order *o = arg;
    struct gn_hand *h = o->hand;
    const struct gn_crew_options *co = &h->crew->options;
    struct gn_generations_options options = co->leader->options;
    options.hub = &h->hub;
    options.telemetry = &h->lookout.telemetry;
    options.watcher = NULL;
    options.swapped = NULL;
    options.on_load = NULL;
    options.role = &h->role;
    options.requests = &h->requests;
    options.record = false;
    options.leader = co->leader;
    h->role = (struct gn_role){GN_MODE_THREADED, (unsigned)(h - h->crew->hands) + 1,
                               co->count};
    gn_hub_init(&h->hub, h->runner.sched, &co->hub);
    gn_generations_init(&h->generations, h->runner.sched, &options);
    o->left = !open_lookout(h->crew, &h->lookout,
                            &(struct gn_telemetry){.worker = h->role.index,
                                                   .wires = &h->counter.wires,
                                                   .hub = &h->hub,
                                                   .generations = &h->generations});
    if (gn_guard_start(&options.limits) < 0)
        gn_log(GN_WARN, "no timer: what computes for long is not preempted");
}

static void close_hand(void *arg)
{
    struct order *o = arg;
    gn_generations_close(&o->hand->generations);
    gn_lookout_close(&o->hand->lookout);
    gn_hub_term(&o->hand->hub);
    gn_counter_term(&o->hand->counter);
}

static int start_hand(struct gn_crew *c, unsigned i)
{
    struct gn_hand *h = &c->hands[i];
    h->crew = c;
    int r = gn_runner_start(&h->runner, c->options.pool, &h->counter);
    if (r < 0)
        return r;
    c->places[i] = h->runner.sched;
    gn_reception_add(&c->reception, &h->counter, h->runner.sched, &c->options.wires);
    return 0;
}

int gn_crew_open(struct gn_crew *c, const struct gn_crew_options *o)
{
    *c = (struct gn_crew){.options = *o};
    pthread_mutex_init(&c->lock, NULL);
    c->hands = calloc(o->count, sizeof *c->hands);
    c->places = calloc(o->count, sizeof *c->places);
    int r = c->hands && c->places ? gn_runner_start(&c->desk, o->pool, NULL) : -ENOMEM;
    gn_reception_init(&c->reception, c->desk.sched, &o->wires);
    c->options.count = 0; /* of those that have started */
    for (unsigned i = 0; r == 0 && i < o->count; i++) {
        r = start_hand(c, i);
        c->options.count += r == 0;
    }
    unsigned bad = r == 0 ? order_all(c, open_hand, GN_NEVER, GN_NEVER) : 0;
    if (r == 0)
        r = gn_elsewhere(c->desk.sched, "desk", open_desk, c);
    if (r == 0 && (bad > 0 || *c->error))
        r = -ENOMEM;
    return r;
}

void gn_crew_close(struct gn_crew *c)
{
    if (c->options.count > 0 && c->hands[0].hub.sched)
        order_all(c, close_hand, GN_NEVER, GN_NEVER);
    if (c->lookout.telemetry.wires)
        gn_elsewhere(c->desk.sched, "desk", close_desk, c);
    for (unsigned i = 0; i < c->options.count; i++)
        gn_runner_stop(&c->hands[i].runner);
    gn_runner_stop(&c->desk);
    gn_reception_term(&c->reception);
    gn_sources_unref(c->sources);
    pthread_mutex_destroy(&c->lock);
    free(c->hands);
    free(c->places);
}
