#include "peers.h"

#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct gn_peer {
    struct gn_peer *next;
    struct in6_addr address;
    unsigned count;
};

/* The address as IPv6. Returns false when it has none to count by. */
static bool key_of(const struct sockaddr_storage *from, struct in6_addr *key)
{
    if (from->ss_family == AF_INET6) {
        *key = ((const struct sockaddr_in6 *)from)->sin6_addr;
        return true;
    }
    if (from->ss_family != AF_INET)
        return false;
    *key = (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&key->s6_addr[12], &((const struct sockaddr_in *)from)->sin_addr, 4);
    return true;
}

/* Where the entry of an address is, or should be linked. */
static struct gn_peer **place_of(struct gn_peers *ps, const struct in6_addr *key)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (int i = 0; i < 16; i++)
        hash = (hash ^ key->s6_addr[i]) * 16777619u;
    struct gn_peer **p = &ps->buckets[hash % GN_PEER_BUCKETS];
    while (*p && memcmp(&(*p)->address, key, sizeof *key) != 0)
        p = &(*p)->next;
    return p;
}

bool gn_peers_enter(struct gn_peers *ps, const struct sockaddr_storage *from)
{
    struct in6_addr key;
    if (ps->most == 0 || !key_of(from, &key))
        return true;
    struct gn_peer **place = place_of(ps, &key);
    if (!*place) {
        if (!(*place = calloc(1, sizeof **place)))
            return false;
        (*place)->address = key;
    }
    if ((*place)->count == ps->most)
        return false;
    (*place)->count++;
    return true;
}

void gn_peers_leave(struct gn_peers *ps, const struct sockaddr_storage *from)
{
    struct in6_addr key;
    if (ps->most == 0 || !key_of(from, &key))
        return;
    struct gn_peer **place = place_of(ps, &key), *peer = *place;
    if (--peer->count > 0)
        return;
    *place = peer->next;
    free(peer);
}
