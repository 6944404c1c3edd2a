/* Addresses of peers. */
#ifndef GN_ADDRESS_H
#define GN_ADDRESS_H

#include <sys/socket.h>

/* What civetweb is told instead of an address, since it knows only IPv4: the loopback
 * and a port. */
void gn_address_stand_in(struct sockaddr *, socklen_t *, int port);

/* Holds an IPv6 address with the name of its scope. */
enum { GN_ADDRESS_ROOM = 64 };

/* Writes it in numbers, an IPv4-mapped one as the IPv4 address that it is (RFC 4291,
 * section 2.5.5.2), that of a Unix socket as "unix:". Returns the port, 0 when it has
 * none. */
int gn_address_format(const struct sockaddr_storage *, char out[GN_ADDRESS_ROOM]);

#endif
