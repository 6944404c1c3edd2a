/* The observer: what is noted of each request, for the access log and the metrics.
 * While nobody wants to know, a request costs two comparisons. */
#ifndef GN_OBSERVER_H
#define GN_OBSERVER_H

#include "access_log.h"

struct gn_stats;

struct gn_observer {
    struct gn_sched *sched;
    struct gn_access_log *log; /* NULL: none */
    struct gn_stats *stats;    /* NULL: nobody has asked for any */
    struct gn_stats *counted;  /* the latest; where requests in flight are counted */
    bool on;                   /* there is one of them */
    bool tells_ids;            /* answers have X-Request-Id */
};

/* Sets what is observed from the next request on; either may be NULL. Starts the meter
 * of the scheduler when it is needed. */
void gn_observer_set(struct gn_observer *, struct gn_access_log *, struct gn_stats *);

/* Notes that a request begins, when `on`. */
void gn_observe_begin(struct gn_observer *, struct gn_request *);

/* Notes that it has been answered, or could not be: for one that has begun. Its head is
 * still there. */
void gn_observe_end(struct gn_observer *, struct gn_request *);

/* Notes a head that was refused. */
void gn_observe_refusal(struct gn_observer *, struct gn_request *);

#endif
