/* What the names of this layer share: waiting for a descriptor as a blocking call
 * would. */
#ifndef GN_BLOCK_H
#define GN_BLOCK_H

#include "../sched/poller.h"
#include "../sched/sched.h"
#include "real.h"
#include "stream.h"

#include <errno.h>
#include <fcntl.h>

/* Waits until a call on `fd` that has just said EAGAIN is worth another try. May wait.
 * Returns 0 to try again, or -1 with errno: EAGAIN when the application itself made the
 * descriptor non-blocking or its SO_RCVTIMEO or SO_SNDTIMEO has passed, EBADF when it
 * was closed meanwhile, ECANCELED when the fiber was cancelled. Where waiting is
 * forbidden it blocks the thread. */
int gn_wait_readable(int fd);
int gn_wait_writable(int fd);

/* Drops the first `n` bytes of what an array of buffers still describes; changes the
 * array. */
void gn_iov_advance(struct iovec **iov, size_t *count, size_t n);

/* poll() of the kernel that does not wait; a signal does not make it fail. */
int gn_poll_now(struct pollfd *, nfds_t n);

/* Sets errno from a negative errno, and returns -1. */
int gn_fail(int negative_errno);

/* Makes a descriptor non-blocking for the length of one call. Returns the flags to
 * restore, or -1. */
int gn_nonblock_begin(int fd);
void gn_nonblock_end(int fd, int flags);

#endif
