/* The URL of a Redis, cut into its parts; see redis.h for its grammar. */
#ifndef GN_REDIS_URL_H
#define GN_REDIS_URL_H

struct gn_redis_url {
    char *text;              /* the URL, cut into the rest */
    const char *host, *path; /* one of them */
    int port;
    const char *user, *password; /* or NULL */
    const char *prefix;
    char shown[128]; /* for the log: without the password */
};

/* Reads a URL. `text` is the caller's to free, in any case. Returns what is wrong, a
 * sentence that does not repeat any of it, or NULL. */
const char *gn_redis_url_read(struct gn_redis_url *, const char *url);

#endif
