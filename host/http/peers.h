/* How many connections each peer address has open, for --max-per-ip. */
#ifndef GN_PEERS_H
#define GN_PEERS_H

#include <stdbool.h>
#include <sys/socket.h>

struct gn_peer;

enum { GN_PEER_BUCKETS = 1024 };

struct gn_peers {
    unsigned most; /* for one address; 0: no limit, no count */
    struct gn_peer *buckets[GN_PEER_BUCKETS]; /* addresses that have a connection */
};

/* Counts a connection. Returns whether it may stay: false at the limit, and when out of
 * memory. Unix sockets are not counted. IPv4 and IPv4-mapped addresses are the same. */
bool gn_peers_enter(struct gn_peers *, const struct sockaddr_storage *);

/* Uncounts a connection that was let in. */
void gn_peers_leave(struct gn_peers *, const struct sockaddr_storage *);

#endif
