/* TLS 1.2 and 1.3 by OpenSSL, between a wire and the kernel's socket.
 *
 * OpenSSL never sees the descriptor: it reads and writes through the wire's own two
 * functions, which never wait, and all waiting is done outside of it. Its error queue
 * belongs to the thread, so it is read before anything else can run. */
#ifndef GN_TLS_H
#define GN_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct gn_wire;
struct gn_tls_site;    /* certificates and settings, for all connections of a server */
struct gn_tls_session; /* one connection */

enum { GN_TLS_SECRET = 32 }; /* bytes */

struct gn_tls_options {
    const char *const *certificates; /* PEM files, each with its chain; ended by NULL */
    const char *const *keys;         /* PEM files, one for each certificate */
    const char
        *client_ca; /* PEM file: clients must show a certificate of these; or NULL */
    /* GN_TLS_SECRET bytes. Sites with the same secret and the same files resume each
     * other's sessions. NULL: a site resumes only its own. */
    const unsigned char *secret;
};

/* Loads and checks the certificates: unreadable ones, keys that do not match and
 * validity that is over are named. The first is for clients that name no server or an
 * unknown one. Returns NULL and a line in `error` on failure. */
struct gn_tls_site *gn_tls_site_new(const struct gn_tls_options *, char *error,
                                    size_t room);

/* A site lives while its maker or a session refers to it. NULL is allowed. */
void gn_tls_site_unref(struct gn_tls_site *);

/* Begins a session on a wire, which it borrows; refers to the site. NULL when out of
 * memory. */
struct gn_tls_session *gn_tls_session_new(struct gn_tls_site *, struct gn_wire *);

/* Says goodbye, if the wire takes it at once and is not to be cut, and frees the
 * session. NULL is allowed. */
void gn_tls_session_free(struct gn_tls_session *);

/* Tells the peer that nothing more comes, if the wire takes it at once. */
void gn_tls_say_end(struct gn_tls_session *);

/* Each returns -EAGAIN when the wire has said EAGAIN (its `readable` or `writable`
 * tells which way), and -EPROTO when the peer does not keep to the protocol. Never
 * waits. */
int gn_tls_handshake(
    struct gn_tls_session *); /* 0 when done; -ENOMSG: plain HTTP came */
ssize_t gn_tls_read(struct gn_tls_session *, char *, size_t); /* 0 at the end */
ssize_t gn_tls_write(struct gn_tls_session *, const char *, size_t);

/* Whether bytes have come that gn_tls_read() has not given out yet. */
bool gn_tls_pending(const struct gn_tls_session *);

/* What there is to tell of a session. Strings are borrowed; "" for what is not there.
 */
struct gn_tls_info {
    const char *version, *cipher, *server_name;
    char client[4096]; /* the subject of the client's certificate */
};
void gn_tls_describe(const struct gn_tls_session *, struct gn_tls_info *);

#endif
