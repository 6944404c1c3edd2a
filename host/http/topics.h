/* Topics: names that anything may listen to, and frames published to all who do.
 *
 * They know no Lua and no socket: a subscriber is whoever has a function that takes a
 * frame. So they outlive the Lua state that subscribed, and a subscriber may one day
 * pass frames on to another thread; the topics themselves belong to one. Joining and
 * leaving take a time that depends on nothing, publishing one that grows with the
 * receivers. A topic exists while somebody listens. */
#ifndef GN_TOPICS_H
#define GN_TOPICS_H

#include "../sched/list.h"
#include "frame.h"

#include <stdint.h>

struct gn_subscriber {
    /* Takes a frame of a topic, and refers to it if it keeps it. Returns whether it
     * did. Must not wait; may leave any topic. */
    bool (*deliver)(struct gn_subscriber *, struct gn_frame *);
    struct gn_list memberships;
};

/* An entry of a table, by its hash; in chains. */
struct gn_entry {
    struct gn_entry *next;
    uint64_t hash;
};

struct gn_table {
    struct gn_entry **chains;
    size_t count, room; /* room is a power of two; 0 before the first entry */
};

struct gn_topics {
    struct gn_table names, memberships;
    unsigned long delivered; /* messages, once for each subscriber */
    uint64_t seed;           /* so that nobody can choose names that collide */
};

void gn_topics_init(struct gn_topics *);

/* Nobody may be subscribed any more. */
void gn_topics_term(struct gn_topics *);

void gn_subscriber_init(struct gn_subscriber *,
                        bool (*deliver)(struct gn_subscriber *, struct gn_frame *));

/* Borrows the subscriber until it leaves. Returns 1, 0 when it had joined already, or
 * -ENOMEM. */
int gn_topics_join(struct gn_topics *, struct gn_subscriber *, const char *name,
                   size_t n);

/* Returns whether it had joined. */
bool gn_topics_leave(struct gn_topics *, struct gn_subscriber *, const char *name,
                     size_t n);

void gn_topics_leave_all(struct gn_topics *, struct gn_subscriber *);

/* Whether anybody has joined. */
bool gn_topics_has(const struct gn_topics *, const char *name, size_t n);

/* Gives the frame to all who have joined, in the order they did; who joins meanwhile
 * does not get it. Returns how many took it. Never waits. */
size_t gn_topics_publish(struct gn_topics *, const char *name, size_t n,
                         struct gn_frame *);

#endif
