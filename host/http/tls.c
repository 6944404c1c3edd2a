#include "tls.h"

#include "wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CERTIFICATES = 32 };

struct gn_tls_site {
    unsigned refs;
    SSL_CTX *contexts[MOST_CERTIFICATES]; /* one for each certificate */
    int count;
    BIO_METHOD *bio;
};

struct gn_tls_session {
    SSL *ssl;
    struct gn_tls_site *site;
    struct gn_wire *wire;
};

/* ---- the wire as OpenSSL sees it ---- */

static int bio_result(BIO *bio, ssize_t n, int retry)
{
    BIO_clear_retry_flags(bio);
    if (n == -EAGAIN)
        BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
    return n < 0 ? -1 : (int)n;
}

static int bio_read(BIO *bio, char *buf, int n)
{
    return bio_result(bio, gn_wire_pull(BIO_get_data(bio), buf, (size_t)n),
                      BIO_FLAGS_READ);
}

static int bio_write(BIO *bio, const char *buf, int n)
{
    struct iovec iov = {(char *)buf, (size_t)n};
    return bio_result(bio, gn_wire_push(BIO_get_data(bio), &iov, 1), BIO_FLAGS_WRITE);
}

static long bio_ctrl(BIO *bio, int command, long number, void *p)
{
    (void)bio, (void)number, (void)p;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *new_bio_method(void)
{
    BIO_METHOD *m =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "genet wire");
    if (m) {
        BIO_meth_set_read(m, bio_read);
        BIO_meth_set_write(m, bio_write);
        BIO_meth_set_ctrl(m, bio_ctrl);
    }
    return m;
}

/* ---- certificates ---- */

/* What OpenSSL complained of first, for people. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());
    return text ? text : "no certificate in it";
}

/* Writes the line that says what is wrong with a file. Returns -1. */
static int refuse(char *error, size_t room, const char *what, const char *file,
                  const char *why)
{
    snprintf(error, room, "%s '%s': %s", what, file, why);
    ERR_clear_error();
    return -1;
}

static int check_validity(SSL_CTX *c, const char *file, char *error, size_t room)
{
    const X509 *x = SSL_CTX_get0_certificate(c);
    if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
        return refuse(error, room, "certificate", file, "it has expired");
    if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
        return refuse(error, room, "certificate", file, "it is not valid yet");
    return 0;
}

static int load(SSL_CTX *c, const char *certificate, const char *key, char *error,
                size_t room)
{
    ERR_clear_error();
    if (access(certificate, R_OK) < 0)
        return refuse(error, room, "certificate", certificate, strerror(errno));
    if (access(key, R_OK) < 0)
        return refuse(error, room, "key", key, strerror(errno));
    if (SSL_CTX_use_certificate_chain_file(c, certificate) != 1)
        return refuse(error, room, "certificate", certificate, reason());
    if (SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) != 1)
        return refuse(error, room, "key", key, reason());
    if (SSL_CTX_check_private_key(c) != 1)
        return refuse(error, room, "key", key, "it does not belong to the certificate");
    return check_validity(c, certificate, error, room);
}

static int require_client(SSL_CTX *c, const char *ca, char *error, size_t room)
{
    ERR_clear_error();
    if (access(ca, R_OK) < 0)
        return refuse(error, room, "client authority", ca, strerror(errno));
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);
    if (!names || SSL_CTX_load_verify_file(c, ca) != 1)
        return refuse(error, room, "client authority", ca, reason());
    SSL_CTX_set_client_CA_list(c, names);
    SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

/* ---- choosing, as the client wishes ---- */

/* A key that is locked is an error: nobody is there to be asked. */
static int no_passphrase(char *buf, int room, int writing, void *arg)
{
    (void)buf, (void)room, (void)writing, (void)arg;
    return 0;
}

/* ALPN: HTTP/1.1 if the client knows it, else nothing is agreed (RFC 7301). */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl, (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* SNI: the first certificate that is for this name; the first of all for others. */
static int choose_certificate(SSL *ssl, int *alert, void *arg)
{
    const struct gn_tls_site *site = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    for (int i = 0; name && i < site->count; i++) {
        X509 *x = SSL_CTX_get0_certificate(site->contexts[i]);
        if (X509_check_host(x, name, 0, 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, site->contexts[i]);
            break;
        }
    }
    return SSL_TLSEXT_ERR_OK;
}

static SSL_CTX *new_context(struct gn_tls_site *site)
{
    static const unsigned char id[] = "genet";
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    if (!c)
        return NULL;
    SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_default_passwd_cb(c, no_passphrase);
    SSL_CTX_set_read_ahead(c, 1); /* one system call for a record, not two */
    SSL_CTX_set_session_id_context(c, id, sizeof id - 1);
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
    SSL_CTX_set_tlsext_servername_callback(c, choose_certificate);
    SSL_CTX_set_tlsext_servername_arg(c, site);
    return c;
}

/* ---- tickets (RFC 5077; RFC 8446, section 4.6.1) ---- */

/* Digests what a session relies on: who has begun one must not resume it after the
 * certificates or the authority have changed. */
static bool digest_files(const struct gn_tls_site *site, const char *client_ca,
                         unsigned char *out, unsigned *n)
{
    char bytes[4096];
    EVP_MD_CTX *d = EVP_MD_CTX_new();
    bool ok = d && EVP_DigestInit_ex(d, EVP_sha256(), NULL) == 1;
    for (int i = 0; ok && i < site->count; i++) {
        X509 *x = SSL_CTX_get0_certificate(site->contexts[i]);
        ok = X509_digest(x, EVP_sha256(), (unsigned char *)bytes, n) == 1 &&
             EVP_DigestUpdate(d, bytes, *n) == 1;
    }
    BIO *ca = ok && client_ca ? BIO_new_file(client_ca, "rb") : NULL;
    for (int got; ok && ca && (got = BIO_read(ca, bytes, sizeof bytes)) > 0;)
        ok = EVP_DigestUpdate(d, bytes, (size_t)got) == 1;
    ok = ok && (ca || !client_ca) && EVP_DigestFinal_ex(d, out, n) == 1;
    BIO_free(ca);
    EVP_MD_CTX_free(d);
    return ok;
}

/* HKDF (RFC 5869). */
static bool derive(const unsigned char *secret, const unsigned char *salt, unsigned n,
                   unsigned char *out, size_t room)
{
    static const unsigned char purpose[] = "genet tickets";
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    bool ok = c && EVP_PKEY_derive_init(c) > 0 &&
              EVP_PKEY_CTX_set_hkdf_md(c, EVP_sha256()) > 0 &&
              EVP_PKEY_CTX_set1_hkdf_salt(c, salt, (int)n) > 0 &&
              EVP_PKEY_CTX_set1_hkdf_key(c, secret, GN_TLS_SECRET) > 0 &&
              EVP_PKEY_CTX_add1_hkdf_info(c, purpose, sizeof purpose - 1) > 0 &&
              EVP_PKEY_derive(c, out, &room) > 0;
    EVP_PKEY_CTX_free(c);
    return ok;
}

/* Without its own key a site goes on with the random one that OpenSSL has made. */
static void share_tickets(struct gn_tls_site *site, const char *client_ca,
                          const unsigned char *secret)
{
    unsigned char salt[EVP_MAX_MD_SIZE], key[256];
    unsigned n = 0;
    long size = SSL_CTX_get_tlsext_ticket_keys(site->contexts[0], NULL, 0);
    if (size <= 0 || size > (long)sizeof key ||
        !digest_files(site, client_ca, salt, &n) ||
        !derive(secret, salt, n, key, (size_t)size))
        return;
    for (int i = 0; i < site->count; i++)
        SSL_CTX_set_tlsext_ticket_keys(site->contexts[i], key, size);
    OPENSSL_cleanse(key, sizeof key);
}

/* ---- sites ---- */

static int add(struct gn_tls_site *site, const char *certificate, const char *key,
               const char *client_ca, char *error, size_t room)
{
    SSL_CTX *c = site->count < MOST_CERTIFICATES ? new_context(site) : NULL;
    if (!c)
        return refuse(error, room, "certificate", certificate, "there are too many");
    site->contexts[site->count++] = c;
    if (load(c, certificate, key, error, room) < 0)
        return -1;
    return client_ca ? require_client(c, client_ca, error, room) : 0;
}

struct gn_tls_site *gn_tls_site_new(const struct gn_tls_options *o, char *error,
                                    size_t room)
{
    struct gn_tls_site *site = calloc(1, sizeof *site);
    if (site)
        site->refs = 1;
    if (!site || !(site->bio = new_bio_method())) {
        snprintf(error, room, "out of memory");
        goto fail;
    }
    for (int i = 0; o->certificates[i]; i++)
        if (add(site, o->certificates[i], o->keys[i], o->client_ca, error, room) < 0)
            goto fail;
    if (o->secret)
        share_tickets(site, o->client_ca, o->secret);
    return site;
fail:
    gn_tls_site_unref(site);
    return NULL;
}

void gn_tls_site_unref(struct gn_tls_site *site)
{
    if (!site || --site->refs > 0)
        return;
    for (int i = 0; i < site->count; i++)
        SSL_CTX_free(site->contexts[i]);
    BIO_meth_free(site->bio);
    free(site);
}

/* ---- sessions ---- */

struct gn_tls_session *gn_tls_session_new(struct gn_tls_site *site, struct gn_wire *w)
{
    struct gn_tls_session *s = calloc(1, sizeof *s);
    BIO *bio = BIO_new(site->bio);
    if (!s || !bio || !(s->ssl = SSL_new(site->contexts[0]))) {
        BIO_free(bio);
        free(s);
        return NULL;
    }
    s->wire = w;
    s->site = site;
    site->refs++;
    BIO_set_data(bio, w);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_accept_state(s->ssl);
    return s;
}

void gn_tls_say_end(struct gn_tls_session *s)
{
    ERR_clear_error();
    if (SSL_is_init_finished(s->ssl) && !(SSL_get_shutdown(s->ssl) & SSL_SENT_SHUTDOWN))
        SSL_shutdown(s->ssl);
    ERR_clear_error();
}

void gn_tls_session_free(struct gn_tls_session *s)
{
    if (!s)
        return;
    if (!s->wire->cut)
        gn_tls_say_end(s);
    SSL_free(s->ssl);
    ERR_clear_error();
    gn_tls_site_unref(s->site);
    free(s);
}

/* What a call that gave `r` means, as a negative errno; 0 at the end of the stream. */
static int failure(const struct gn_tls_session *s, int r)
{
    switch (SSL_get_error(s->ssl, r)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return -EPROTO;
    }
}

int gn_tls_handshake(struct gn_tls_session *s)
{
    ERR_clear_error();
    int r = SSL_do_handshake(s->ssl);
    if (r == 1)
        return 0;
    if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST)
        return -ENOMSG;
    r = failure(s, r);
    return r == 0 ? -EPROTO : r;
}

ssize_t gn_tls_read(struct gn_tls_session *s, char *buf, size_t n)
{
    ERR_clear_error();
    int r = SSL_read(s->ssl, buf, n > INT32_MAX ? INT32_MAX : (int)n);
    return r > 0 ? r : failure(s, r);
}

ssize_t gn_tls_write(struct gn_tls_session *s, const char *buf, size_t n)
{
    ERR_clear_error();
    int r = SSL_write(s->ssl, buf, n > INT32_MAX ? INT32_MAX : (int)n);
    if (r > 0)
        return r;
    r = failure(s, r);
    return r == 0 ? -EPIPE : r;
}

bool gn_tls_pending(const struct gn_tls_session *s)
{
    return SSL_has_pending(s->ssl);
}

void gn_tls_describe(const struct gn_tls_session *s, struct gn_tls_info *info)
{
    const char *name = SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name);
    X509 *client = SSL_get0_peer_certificate(s->ssl);
    info->version = SSL_get_version(s->ssl);
    info->cipher = SSL_get_cipher(s->ssl);
    info->server_name = name ? name : "";
    info->client[0] = '\0';
    if (client)
        X509_NAME_oneline(X509_get_subject_name(client), info->client,
                          sizeof info->client);
}
