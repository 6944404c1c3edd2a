/* A sink: where lines of a log go. A file, standard output or error, or syslog.
 *
 * A file that was renamed is opened anew: at once after gn_sinks_reopen(), as logrotate
 * asks for by SIGUSR1, and else when somebody looks, within a second. Any thread. */
#ifndef GN_SINK_H
#define GN_SINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct gn_sink {
    int fd;                  /* -1: syslog */
    int facility;            /* of syslog */
    const char *path;        /* of a file, its own; NULL: not one */
    _Atomic unsigned opened; /* what gn_sinks_reopen() had counted by then */
    _Atomic int64_t looked;  /* when the file was last compared with its name */
};

/* Opens "-" or "stderr", "stdout", "syslog", "syslog:FACILITY", or a file, which is
 * made when it is not there and written to at its end. Returns 0, or -1 with a line in
 * `error`. */
int gn_sink_open(struct gn_sink *, const char *where, char *error, size_t room);

/* Closes what it has opened. */
void gn_sink_close(struct gn_sink *);

/* Opens a file anew that is not the one of its name any more. Costs nothing else than a
 * look at the clock, but for once a second. */
void gn_sink_refresh(struct gn_sink *);

/* Writes a line, or several, as one call. Blocks as write(2) does. To syslog it goes
 * with that priority, without the newline. Returns as writev(2). */
ssize_t gn_sink_write(struct gn_sink *, int priority, const struct iovec *, int count);

/* Has every file opened anew before it is written to again. Any thread;
 * async-signal-safe. */
void gn_sinks_reopen(void);

#endif
