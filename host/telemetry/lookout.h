/* The lookout: what a worker of a host, on its own thread, has for the access log and
 * the metrics.
 *
 * Each worker writes its lines to the same file, and counts in a block of its own. Of
 * several, each brings what it has counted up to date once a second while an app serves
 * metrics, so that whoever is asked tells of all. */
#ifndef GN_LOOKOUT_H
#define GN_LOOKOUT_H

#include "stats.h"

struct gn_lookout_options {
    const char *access_log, *log_format; /* borrowed; NULL: none */
    bool request_ids;                    /* answers tell the ids of requests */
    struct gn_stats_area *area;          /* borrowed */
};

struct gn_lookout {
    struct gn_lookout_options options;
    struct gn_observer observer;
    struct gn_telemetry telemetry;
    struct gn_fiber *refresher; /* NULL: nobody wants metrics */
    struct gn_fiber *closer;    /* waits for its end, or NULL */
    bool closing;
};

/* Fills it in for a worker whose place is `where`; the observer and the area are the
 * lookout's to add. The wires have it observe their requests once they are told. */
void gn_lookout_init(struct gn_lookout *, const struct gn_lookout_options *,
                     const struct gn_telemetry *where);

/* Begins to write the access log, and observes the requests of its wires. On the thread
 * of its wires. Returns 0, or -1 with a line in `error`. */
int gn_lookout_open(struct gn_lookout *, char *error, size_t room);

/* Has it count from the next request on, or not any more. On the same thread. The state
 * of a worker sees to that, too, see gn_telemetry; this is for one that has none yet.
 */
void gn_lookout_count(struct gn_lookout *, bool wanted);

/* Writes what is left of the log. On the same thread. May wait; does nothing to one
 * that has not been opened. */
void gn_lookout_close(struct gn_lookout *);

#endif
