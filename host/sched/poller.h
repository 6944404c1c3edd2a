/* The poller: epoll, in the two ways the host needs it.
 *
 * A *watch* is for descriptors the host owns from birth to close: registered once,
 * edge-triggered, it calls a function at each change. A *wait* is for descriptors of
 * which only the number is known (a library made them and may close them unseen): each
 * wait arms them anew, one shot, and believes the kernel, so a reused number can never
 * be mistaken for its predecessor. */
#ifndef GN_POLLER_H
#define GN_POLLER_H

#include "list.h"

#include <stdint.h>
#include <sys/epoll.h>

struct gn_watch {
    int fd;
    void (*fn)(struct gn_watch *,
               uint32_t events); /* on the loop's own stack; must not wait */
    uint64_t key;                /* what the kernel knows it by; while it is added */
};

/* One fiber's interest in one descriptor. */
struct gn_wait {
    struct gn_list link;
    struct gn_fiber *fiber;
    int fd;
    uint32_t events; /* EPOLLIN, EPOLLOUT ...; EPOLLERR and EPOLLHUP always count */
    uint32_t ready;  /* what happened; EPOLLNVAL (below) when it was closed meanwhile */
};

#define EPOLLNVAL                                                      \
    ((uint32_t)0x20) /* poll.h's POLLNVAL, which epoll does not define \
                      */

struct gn_fd {
    struct gn_watch *watch; /* NULL when nobody watches */
    struct gn_list waits;
    uint32_t
        generation; /* bumped by gn_fd_closed(): events of a duplicate are not ours */
    bool known; /* probably in the kernel's set: saves a failing epoll_ctl, no more */
};

enum { GN_FD_CHUNK = 1024 };

struct gn_poller {
    int epfd;
    struct gn_fd **chunks; /* by fd / GN_FD_CHUNK; made when first needed */
    size_t chunk_count;
};

/* Returns 0 or a negative errno. */
int gn_poller_open(struct gn_poller *);
void gn_poller_close(struct gn_poller *);

/* Collects events and calls watches and wakes waiting fibers. Blocks until something
 * happens or the deadline (ns, monotonic; 0: does not block; GN_NEVER), as seen at
 * `now`. For the loop only. */
void gn_poller_poll(struct gn_poller *, int64_t deadline, int64_t now);

/* Registers a watch, edge-triggered, until its descriptor is closed. Borrows it.
 * Returns 0 or a negative errno. */
int gn_watch_add(struct gn_poller *, struct gn_watch *, uint32_t events);

/* Changes what a watch is told; it is told at once what is the case. Any thread, while
 * it is added. */
void gn_watch_change(struct gn_poller *, struct gn_watch *, uint32_t events);

/* Ends a watch whose descriptor stays open. */
void gn_watch_remove(struct gn_poller *, struct gn_watch *);

/* Must be called before a watched or waited-for descriptor is closed: forgets the watch
 * and wakes everyone who waits with EPOLLNVAL. Does nothing for other numbers. */
void gn_fd_closed(struct gn_poller *, int fd);

/* Waits for any of n descriptors. May wait. Returns how many `ready` fields are set, 0
 * at the deadline, or a negative errno (-ECANCELED). Regular files are ready at once.
 */
int gn_wait_any(struct gn_wait *waits, size_t n, int64_t deadline);

/* gn_wait_any() for one descriptor. Returns 0 when ready, -ETIMEDOUT, -EBADF when it
 * was closed meanwhile, -EPERM when it can never block (a regular file), or -ECANCELED.
 * May wait. */
int gn_wait_fd(int fd, uint32_t events, int64_t deadline);

#endif
