/* A hub: what the WebSockets and subscriptions of one scheduler share.
 *
 * It has the topics they listen to, and what is kept to be used again. There is one for
 * each thread that serves; everything here is called on that thread. */
#ifndef GN_HUB_H
#define GN_HUB_H

#include "../bus/bus.h"
#include "decoder.h"
#include "deflate.h"
#include "topics.h"

struct gn_sched;

enum { GN_PUBLISH_COST = 1024 }; /* of a receiver, as gn_spend() counts */

struct gn_hub_options {
    size_t queue; /* bytes that may wait for a slow reader */
    int64_t ping; /* ns of silence after which a peer is asked whether it is there, and
                     after twice as many dropped; 0: never */
    struct gn_bus *bus; /* of the host; NULL: this hub is alone */
};

struct gn_hub {
    struct gn_sched *sched;
    struct gn_hub_options options;
    struct gn_topics topics;
    struct gn_deflate deflate;
    struct gn_decoder *spare; /* to reuse */
    unsigned spare_count;
    unsigned long dropped;   /* sockets that read too slowly */
    unsigned long published; /* messages, here */
    struct gn_list unsent;   /* sockets whose queue a publisher has filled */
    bool flushing;           /* a fiber is at work on those */
    struct gn_bus_member member;
};

/* On the thread of its scheduler. */
void gn_hub_init(struct gn_hub *, struct gn_sched *, const struct gn_hub_options *);

/* Every socket must have ended. May wait. */
void gn_hub_term(struct gn_hub *);

/* Gives the frame to all who have joined the topic here, and to the bus. Returns how
 * many took it here. Never waits. */
size_t gn_hub_publish(struct gn_hub *, const char *topic, size_t n, struct gn_frame *);

/* Returns an idle decoder, owned; NULL when out of memory. */
struct gn_decoder *gn_hub_take_decoder(struct gn_hub *);

/* Takes a decoder back; NULL is allowed. */
void gn_hub_give_decoder(struct gn_hub *, struct gn_decoder *);

#endif
