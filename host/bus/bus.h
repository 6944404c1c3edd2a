/* The bus: what is published on one thread of a host reaches the others, and what is
 * beyond.
 *
 * Its members are the hubs, one for each thread that serves, and the links to other
 * processes and machines. Each belongs to a scheduler. What one publishes all the
 * others get, in the order in which each of them published: at most once, since what a
 * member has no room for is dropped there, counted, and told of in the log. The bus
 * knows neither Lua nor sockets.
 *
 * One mutex, `lock`, protects the list of members and the queues of all of them. It is
 * libc's own, never waited for by parking, and held for a few instructions per member;
 * `count` may be read without it. */
#ifndef GN_BUS_H
#define GN_BUS_H

#include "../sched/list.h"
#include "../sched/sched.h"

#include <stdatomic.h>

enum {
    GN_BUS_MESSAGES = 16384, /* that may wait for a member */
    GN_BUS_BYTES = 32 << 20, /* and their size; one alone may be larger */
    GN_BUS_BATCH = 64        /* messages that a member is given at a time */
};

enum gn_bus_kind {
    GN_BUS_TEXT = 1,
    GN_BUS_BINARY = 2,
    GN_BUS_EITHER = 3 /* from outside: text if it is UTF-8 */
};

/* What is published: never changed, and shared by all who get it. */
struct gn_bus_message {
    atomic_uint refs;
    enum gn_bus_kind kind;
    size_t topic_length, length;
    char bytes[]; /* the topic, then the payload */
};

struct gn_bus {
    pthread_mutex_t lock;
    struct gn_list members;
    atomic_uint count; /* of them */
};

/* Its fields are private but where it says otherwise. */
struct gn_bus_member {
    struct gn_list link; /* in bus->members */
    struct gn_bus *bus;  /* NULL: has not joined. Any code of its thread may look */
    struct gn_sched *sched;
    const char *name; /* for the log, such as "Redis"; borrowed */
    void (*deliver)(struct gn_bus_member *, struct gn_bus_message *const *, size_t);
    struct gn_bus_message **ring; /* the queue */
    size_t first, count, room, bytes;
    size_t missed;      /* dropped here since that was told */
    size_t dropped;     /* ever */
    int64_t tell_after; /* the member's thread only, as the last two */
    bool busy; /* a note is under way to its scheduler, or a fiber is at work */
    struct gn_message note;
    struct gn_fiber *fiber, *leaver; /* the member's thread only */
};

void gn_bus_init(struct gn_bus *);

/* Nobody may be a member any more. */
void gn_bus_term(struct gn_bus *);

/* Joins, as a member of the calling thread's scheduler. `deliver` is called on fibers
 * of that scheduler, with one to GN_BUS_BATCH messages that it borrows; it may wait,
 * and is not called again until it returns. */
void gn_bus_join(struct gn_bus *, struct gn_bus_member *, const char *name,
                 void (*deliver)(struct gn_bus_member *, struct gn_bus_message *const *,
                                 size_t));

/* Waits until what has been published has been delivered to the member. On the member's
 * thread; on a fiber. May wait. Does nothing to one that has not joined. Returns 0,
 * -ETIMEDOUT, or why the wait ended. */
int gn_bus_flush(struct gn_bus_member *, int64_t deadline);

/* Leaves; what still waits is dropped, and a `deliver` that waits is cancelled. Does
 * nothing to one that has not joined. On the member's thread; on a fiber. May wait. */
void gn_bus_leave(struct gn_bus_member *);

/* Whether anybody is there but `from`. Any thread. */
static inline bool gn_bus_is_heard(const struct gn_bus *b)
{
    return atomic_load_explicit(&b->count, memory_order_relaxed) > 1;
}

/* Makes a message, with one reference; where the texts are NULL the caller fills in
 * `bytes`. NULL when out of memory. Any thread. */
struct gn_bus_message *gn_bus_message_new(enum gn_bus_kind, const char *topic, size_t n,
                                          const char *payload, size_t length);

/* NULL is allowed. Any thread. */
void gn_bus_message_unref(struct gn_bus_message *);

static inline const char *gn_bus_payload(const struct gn_bus_message *m)
{
    return m->bytes + m->topic_length;
}

/* Gives the message to every member but `from`, which may be NULL. Borrows it. Any
 * thread. Never waits. */
void gn_bus_publish(struct gn_bus *, const struct gn_bus_member *from,
                    struct gn_bus_message *);

/* How many messages the member has missed since it joined. Any thread. */
size_t gn_bus_dropped(struct gn_bus_member *);

/* Counts messages that its `deliver` could not deliver, of which it tells itself. On
 * the member's thread. */
void gn_bus_drop(struct gn_bus_member *, size_t n);

#endif
