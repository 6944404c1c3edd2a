/* The member of a bus that stands for the other machines: all hosts that use the same
 * Redis.
 *
 * Two connections: one publishes, in pipelined bursts; the other has subscribed, once,
 * to all channels of the bus. A message goes out on a channel that tells whose it is,
 * so that a host passes over its own and the payload stays as it is:
 *
 *     genet:ORIGIN:text:TOPIC   genet:ORIGIN:binary:TOPIC
 *
 * where ORIGIN is a random number, 16 hexadecimal digits, of each host that has begun.
 * Others publish to `genet:topic:TOPIC`: what is not UTF-8 there is binary. Redis
 * itself filters nothing by database.
 *
 * While Redis is not there it is looked for again and again, after 0.1 s and up to 5 s.
 * What is published meanwhile is dropped, counted, and told of when it is back. */
#ifndef GN_REDIS_H
#define GN_REDIS_H

#include "bus.h"

struct gn_redis;

struct gn_redis_options {
    const char *url;  /* copied */
    int64_t patience; /* ns for Redis to answer; 0: 5 s */
};

/* Whether a URL can be used:
 *
 *     redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?prefix=NAME]
 *     redis+unix://[[USER]:PASSWORD@]/PATH[?prefix=NAME]
 *
 * The prefix stands for `genet` in the names of the channels. Returns 0, or -EINVAL and
 * a line in `error`. */
int gn_redis_check(const char *url, char *error, size_t room);

/* Joins the bus, on the calling thread's scheduler, and begins to connect. The URL must
 * be a good one. NULL when out of memory. */
struct gn_redis *gn_redis_open(struct gn_bus *, const struct gn_redis_options *);

/* Leaves the bus, and frees it; what waits to be published has a second to go out. NULL
 * is allowed. On a fiber. May wait. */
void gn_redis_close(struct gn_redis *);

/* Whether it is connected. On its thread. */
bool gn_redis_is_up(const struct gn_redis *);

#endif
