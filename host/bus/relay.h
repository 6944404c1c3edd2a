/* A relay: the member of a bus that stands for another process of the same host.
 *
 * It passes messages on as packets, whole and in order, and publishes those that come
 * from there. How packets travel is its owner's business: `send` takes one, and
 * gn_relay_receive() is given each that comes. Small messages share
 * a packet, and large ones take several. When packets cannot leave as fast as messages
 * come, these wait in the member's queue, and are dropped beyond its bounds. Both ends
 * are of one program on one machine: the format is private. */
#ifndef GN_RELAY_H
#define GN_RELAY_H

#include "bus.h"

enum {
    GN_RELAY_PACKET = 60 * 1024, /* bytes of the largest */
    GN_RELAY_LARGEST = 256 << 20 /* bytes of a message that is accepted */
};

struct gn_relay {
    struct gn_bus_member member;
    /* Sends a packet, which it borrows. May wait, which is what holds the publishers'
     * messages back, and must return -ECANCELED when the fiber is cancelled. Returns 0
     * or a negative errno: the packet is lost. */
    int (*send)(struct gn_relay *, const char *packet, size_t n);
    size_t used, begun; /* of `packet`: bytes, and messages that begin in it */
    struct gn_bus_message *coming; /* the one whose first packets have come; or NULL */
    size_t have;                   /* bytes of it */
    char packet[GN_RELAY_PACKET];  /* that is being put together */
};

/* Joins the bus, as a member of the calling thread's scheduler. `name` says in the log
 * who is at the other end, such as "process 3"; borrowed. */
void gn_relay_open(struct gn_relay *, struct gn_bus *, const char *name,
                   int (*send)(struct gn_relay *, const char *, size_t));

/* Takes a packet that has come. Borrows it. Never waits. Returns 0, or -EBADMSG for one
 * that no relay has sent. */
int gn_relay_receive(struct gn_relay *, const char *packet, size_t n);

/* Leaves the bus. On a fiber. May wait, until `send` has returned. */
void gn_relay_close(struct gn_relay *);

#endif
