/* The access log: a line for each request that has ended.
 *
 * Lines are gathered in memory and written together, a fiftieth of a second later at
 * most, on a thread of the pool: a slow disk or reader holds nobody up. As long as a
 * reader takes nothing, a megabyte of lines waits; what is more is dropped, counted,
 * and told in the log. A crash loses what has not been written.
 *
 * One belongs to one scheduler; several may write to the same file. */
#ifndef GN_ACCESS_LOG_H
#define GN_ACCESS_LOG_H

#include "../http/request.h"

struct gn_access_log;

/* What is told of a request. */
struct gn_access {
    const struct gn_request *request;
    const char *client, *id; /* its address; the request's id */
    int status;
    long long bytes;            /* of the answer's body */
    int64_t total, parked, run; /* ns */
};

/* Makes one that writes to `where`, see gn_sink_open(). `format` is "common",
 * "combined", "json", "dev", which is for people, or a text with variables as nginx
 * names them: see the table in access_log.c. Returns owned; NULL with a line in
 * `error`. */
struct gn_access_log *gn_access_log_open(const char *where, const char *format,
                                         char *error, size_t room);

/* Begins to write, on a fiber of the calling thread's scheduler. Returns 0 or -ENOMEM.
 */
int gn_access_log_start(struct gn_access_log *);

/* Whether its lines tell ids of requests. */
bool gn_access_log_has_ids(const struct gn_access_log *);

/* Adds a line. Never waits. */
void gn_access_log_put(struct gn_access_log *, const struct gn_access *);

/* Writes what is left, in a second at most, and frees it. May wait. NULL is allowed. */
void gn_access_log_close(struct gn_access_log *);

#endif
