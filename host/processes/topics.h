/* What is published, carried over the channel between the parent and one of its
 * processes: a relay whose packets are messages of the channel.
 *
 * The parent's bus has one of these for each process, and perhaps Redis; that of a
 * process has one, to the parent. */
#ifndef GN_TOPIC_LINK_H
#define GN_TOPIC_LINK_H

#include "../bus/relay.h"
#include "channel.h"

struct gn_topic_link {
    struct gn_relay relay;
    struct gn_channel *channel; /* NULL while closed */
    char name[24];              /* who is at the other end, for the log */
};

/* Joins the bus. Borrows the open channel until it is closed; zeroed memory is a closed
 * link. */
void gn_topic_link_open(struct gn_topic_link *, struct gn_channel *, struct gn_bus *,
                        const char *name);

/* Leaves the bus; twice is fine. To be called before the channel is closed for good. On
 * a fiber. May wait, but for nobody. */
void gn_topic_link_close(struct gn_topic_link *);

#endif
