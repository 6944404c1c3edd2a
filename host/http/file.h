/* The bytes of a file on disk, sent as an answer without holding up the thread.
 *
 * What is in the page cache is sent at once. What is not is first brought there by a
 * thread of the offload pool. Nothing is buffered beyond one record of TLS. */
#ifndef GN_FILE_H
#define GN_FILE_H

#include "request.h"

/* Writes `n` bytes of the file from `at` on, as a piece of a streamed answer of known
 * length: by sendfile(2) on a plain connection, in pieces of a record through TLS. May
 * wait for the disk or a slow peer. Returns 0, -EMSGSIZE when the answer's length does
 * not allow so many, -ENODATA when the file ends before them, -EIO when it cannot be
 * read, or as gn_wire_send(). */
int gn_respond_file(struct gn_request *, int fd, off_t at, long long n);

#endif
