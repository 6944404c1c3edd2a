/* Listening sockets: IPv4, IPv6, Unix and inherited ones, bound by the host itself. */
#ifndef GN_LISTENER_H
#define GN_LISTENER_H

#include "../sched/poller.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

struct gn_acceptor;

struct gn_listener {
    struct gn_watch watch;
    struct gn_acceptor *acceptor; /* whose it is; its caller's to set */
    bool secure;                  /* its connections speak TLS */
    bool inherited;               /* others may hold it too */
    bool readable;    /* by epoll; false means that accept(2) would say EAGAIN */
    int port;         /* 0 when it has none */
    char *unix_path;  /* to remove at the end; NULL for other families */
    ino_t unix_inode; /* of the file we have made there */
    char url[160];    /* "http://127.0.0.1:5000", for people */
};

/* Opens what an address names:
 *
 *     127.0.0.1:5000   [::1]:5000   localhost:0      TCP; port 0 takes a free one
 *     https://0.0.0.0:443                             the same with TLS
 *     unix:/run/site.sock   unix:/run/site.sock?mode=0660
 *     fd:3                                            a listening socket that was
 * inherited
 *
 * A socket file that nobody listens on any more is replaced. May wait for a name to be
 * resolved. Returns 0, or -1 with a line in `error` that names the address. */
int gn_listener_open(struct gn_listener *, const char *address, char *error,
                     size_t room);

/* Registers it with the running scheduler; `on_ready` is called when a connection may
 * have come, and must set `readable`. Of several processes that wait on one socket the
 * kernel wakes one. Returns 0 or a negative errno. */
int gn_listener_watch(struct gn_listener *,
                      void (*on_ready)(struct gn_watch *, uint32_t));

/* Takes one connection, non-blocking. Returns the descriptor, or -1 with errno: EAGAIN
 * when there is none. */
int gn_listener_accept(struct gn_listener *, struct sockaddr_storage *peer);

/* Lets nobody new in, while those that the kernel has let in can still be accepted:
 * else whoever comes between the last look and the close is reset. An inherited socket
 * stays as it is, as whoever else has it may go on. */
void gn_listener_seal(struct gn_listener *);

/* Closes it: who has not been accepted is refused. Twice is fine. */
void gn_listener_close(struct gn_listener *);

#endif
