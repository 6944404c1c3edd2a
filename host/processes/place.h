/* A place for a process: who has it is started, heard, told to end, and replaced when
 * it dies. See supervisor.h. */
#ifndef GN_PLACE_H
#define GN_PLACE_H

#include "../libc/spawn.h"
#include "topics.h"
#include "worker.h"

struct gn_supervisor;

struct gn_place {
    struct gn_supervisor *supervisor;
    unsigned index;
    struct gn_fiber *fiber; /* keeps it taken; NULL when it is not */
    struct gn_child *child; /* NULL while none runs */
    struct gn_channel channel;
    struct gn_topic_link topics;
    struct gn_line *line;
    bool wanted;
    bool unused;       /* its process was told to stop before it served */
    int64_t deadline;  /* until when its process must have ended; GN_NEVER */
    unsigned failures; /* quick deaths in a row, without having answered anything */
    unsigned wish;     /* its latest to reload */
    enum { GN_NO_VOTE, GN_ASKED, GN_YES, GN_NO, GN_SWAPPED } vote;
    char
        *problem; /* why its process could not load; NULL: it could, or does not know */
};

/* What its process is doing. */
static inline enum gn_standing gn_place_standing(const struct gn_place *p)
{
    return (enum gn_standing)atomic_load(&p->line->standing);
}

/* Has a process started in it, and another whenever that dies. Returns 0 or -ENOMEM. */
int gn_place_take(struct gn_place *);

/* Has its process serve, which has loaded. */
void gn_place_let_serve(struct gn_place *);

/* Has its process end in order, or killed at the deadline for that. */
void gn_place_tell_to_stop(struct gn_place *);

#endif
