#include "follower.h"

#include "../log.h"
#include "../sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what the parent is told ---- */

/* A text that is too long for a message is cut. */
static void tell(struct gn_follower *f, enum gn_kind kind, unsigned turn,
                 const char *text)
{
    struct gn_order o = {.turn = turn};
    size_t n = text ? strlen(text) : 0, most = GN_CHANNEL_MOST / 2;
    char bytes[sizeof o + GN_CHANNEL_MOST / 2];
    n = n < most ? n : most;
    memcpy(bytes, &o, sizeof o);
    memcpy(bytes + sizeof o, text ? text : "", n);
    gn_channel_send(&f->worker->channel, kind, bytes, sizeof o + n);
}

static void note_generation(struct gn_follower *f)
{
    atomic_store(&f->worker->line->generation, f->generations->last);
}

void gn_follower_fail(struct gn_follower *f, const char *why)
{
    tell(f, GN_KIND_FAILED, 0, why);
}

int gn_follower_await(struct gn_follower *f)
{
    int r = 0;
    note_generation(f);
    tell(f, GN_KIND_LOADED, 0, NULL);
    while (r == 0 && !f->serves && !f->stopped)
        r = gn_park_in(&f->waiter, GN_NEVER);
    if (f->serves) /* who was told both serves what waits, and ends as all do */
        return 0;
    return f->stopped ? -ECANCELED : r;
}

/* ---- generations ---- */

static void want(unsigned wish, void *arg)
{
    struct gn_follower *f = arg;
    gn_channel_send(&f->worker->channel, GN_KIND_WANT, &wish, sizeof wish);
}

/* Waits for the verdict even on what has failed: whoever waits for the load learns what
 * all know. An order that another has overtaken has been given up. */
static int agree(unsigned turn, const char *error, char **why, void *arg)
{
    struct gn_follower *f = arg;
    int r = 0;
    tell(f, error ? GN_KIND_FAILED : GN_KIND_LOADED, turn, error);
    while (r == 0 && f->order.turn == turn && f->verdict == GN_UNDECIDED)
        r = gn_park_in(&f->waiter, GN_NEVER);
    if (r < 0)
        return r;
    if (f->order.turn == turn && f->verdict == GN_COMMITTED)
        return 0;
    *why = f->why;
    f->why = NULL;
    return -ECANCELED;
}

static void swapped(unsigned turn, void *arg)
{
    struct gn_follower *f = arg;
    note_generation(f);
    tell(f, GN_KIND_SWAPPED, turn, NULL);
}

/* ---- what the parent says ---- */

static bool read_order(const char *data, size_t n, struct gn_order *o)
{
    if (n < sizeof *o)
        return false;
    memcpy(o, data, sizeof *o);
    return true;
}

static void on_load(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    struct gn_follower *f = arg;
    (void)c;
    if (!read_order(data, n, &f->order))
        return;
    f->verdict = GN_UNDECIDED;
    f->on_load(f->arg);
    if (gn_generations_load(f->generations, &f->order) < 0)
        tell(f, GN_KIND_FAILED, f->order.turn, "out of memory");
    gn_wake_in(&f->waiter);
}

static void decide(struct gn_follower *f, const char *data, size_t n, int verdict)
{
    struct gn_order o;
    if (!read_order(data, n, &o) || o.turn != f->order.turn)
        return;
    free(f->why);
    f->why = strndup(data + sizeof o, n - sizeof o);
    f->verdict = verdict;
    gn_wake_in(&f->waiter);
}

static void on_commit(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    (void)c;
    decide(arg, data, n, GN_COMMITTED);
}

static void on_abort(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    (void)c;
    decide(arg, data, n, GN_ABORTED);
}

static void on_serve(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    struct gn_follower *f = arg;
    (void)c;
    (void)data;
    (void)n;
    f->serves = true;
    gn_wake_in(&f->waiter);
}

static void on_count(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    struct gn_follower *f = arg;
    (void)c;
    if (n == sizeof f->role.count)
        memcpy(&f->role.count, data, n);
}

static void on_stop(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    struct gn_follower *f = arg;
    (void)c;
    (void)data;
    (void)n;
    f->stopped = true;
    gn_wake_in(&f->waiter);
    f->on_stop(f->arg);
}

static void on_reopen(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    (void)c;
    (void)data;
    (void)n;
    (void)arg;
    gn_sinks_reopen();
}

static void on_end(struct gn_channel *c, void *arg)
{
    on_stop(c, NULL, 0, arg);
}

/* ---- life ---- */

int gn_follower_open(struct gn_follower *f, struct gn_worker *w,
                     struct gn_generations *gs)
{
    static const struct {
        enum gn_kind kind;
        gn_channel_fn *fn;
    } handlers[] = {{GN_KIND_LOAD, on_load},    {GN_KIND_COMMIT, on_commit},
                    {GN_KIND_ABORT, on_abort},  {GN_KIND_SERVE, on_serve},
                    {GN_KIND_COUNT, on_count},  {GN_KIND_STOP, on_stop},
                    {GN_KIND_REOPEN, on_reopen}};
    *f = (struct gn_follower){
        .worker = w,
        .generations = gs,
        .peers = {.want = want, .agree = agree, .swapped = swapped, .arg = f},
        .role = {.mode = GN_MODE_PROCESSES, .index = w->index, .count = w->count},
    };
    int r = gn_worker_start(w);
    for (size_t i = 0; i < sizeof handlers / sizeof *handlers; i++)
        gn_channel_on(&w->channel, handlers[i].kind, handlers[i].fn, f);
    w->channel.on_end = on_end;
    w->channel.end_arg = f;
    return r;
}

void gn_follower_close(struct gn_follower *f)
{
    gn_channel_close(&f->worker->channel);
    free(f->why);
    f->why = NULL;
}
