/* Statistics: what `app:metrics` tells, kept so that the workers of a host can be added
 * up whether they are threads or processes.
 *
 * Each worker has a block of counters in memory that all of them share, and alone
 * writes to it, without locks; whoever is asked reads the blocks of all. Routes and
 * series are known by their texts, so they need not have the same places in each block,
 * and survive a reload. What does not fit is counted as "other", or not at all. */
#ifndef GN_STATS_H
#define GN_STATS_H

#include "../site/generations.h"
#include "observer.h"

#include <stdatomic.h>

enum {
    GN_ROUTE_TEXT = 128,
    GN_ROUTES = 512,
    GN_CELLS = 1024,   /* of routes and methods that have been asked for */
    GN_STATUSES = 10,  /* of such a cell; the last one stands for any more */
    GN_LATENCIES = 15, /* buckets, the last without a bound */
    GN_SERIES = 2048,  /* of metrics that scripts make */
    GN_SERIES_TEXT = 240,
    GN_VALUES = 40
};

struct gn_cell {
    atomic_uint key; /* of route and method; 0: free */
    struct {
        atomic_uint status; /* 0: free */
        atomic_ullong count;
    } answers[GN_STATUSES];
    atomic_ullong latencies[GN_LATENCIES];
    atomic_llong sum; /* ns */
};

/* A number that a script counts. */
struct gn_series {
    char text[GN_SERIES_TEXT]; /* such as `orders_total{kind="book"}` */
    _Atomic double value;
};

/* What one worker has counted. Zeroed memory is one that has counted nothing. */
struct gn_stats {
    atomic_bool used;
    atomic_llong in_flight;
    _Atomic double values[GN_VALUES]; /* as they were when they were last refreshed */
    _Atomic double
        before[GN_VALUES];      /* of counters: what earlier workers have counted */
    atomic_uint routes, series; /* how many there are */
    char route[GN_ROUTES][GN_ROUTE_TEXT];
    struct gn_cell cells[GN_CELLS]; /* the first is for what has no other */
    struct gn_series serial[GN_SERIES];
};

/* The blocks of a host. Made before its workers are. */
struct gn_stats_area {
    unsigned workers;
    struct gn_stats *blocks;
    bool mapped; /* by gn_stats_area_open() */
};

/* Where a worker finds what it is asked for. Everything is borrowed. */
struct gn_telemetry {
    struct gn_stats_area *area;
    unsigned worker; /* whose block is its own */
    struct gn_observer *observer;
    struct gn_wires *wires;
    struct gn_hub *hub;                 /* NULL: it has none */
    struct gn_generations *generations; /* the same */
    bool guest; /* it shares its process with another, who tells of that */
    int64_t born;
    void (*enabled)(struct gn_telemetry *); /* it has been settled whether requests are
                                               counted; must not wait; or NULL */
};

/* Maps the blocks, for threads and forked children; untouched they take no memory.
 * Returns 0 or a negative errno. */
int gn_stats_area_open(struct gn_stats_area *, unsigned workers);

/* The same in zeroed memory that others have mapped. */
void gn_stats_area_place(struct gn_stats_area *, void *memory, unsigned workers);

void gn_stats_area_close(struct gn_stats_area *);

/* For who has seen the worker of a block end, before there is another: what it has
 * counted stays, what it had is gone. */
void gn_stats_retire(struct gn_stats *);

/* Counts an answer. `route` is a number of gn_stats_route(), or 0. */
void gn_stats_answer(struct gn_stats *, unsigned route, const char *method, int status,
                     int64_t ns);

/* The number of a route by its rule; 0 when there are too many. */
unsigned gn_stats_route(struct gn_stats *, const char *rule);

/* Writes what this worker has at present into its block, for others to read: each
 * worker of several does it once a second. */
void gn_stats_refresh(struct gn_telemetry *);

/* Makes `genet.stats` known to require() in a state. May raise. */
void gn_stats_register(lua_State *, struct gn_telemetry *);

static inline void gn_stats_add(atomic_llong *n, long long more)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

#endif
