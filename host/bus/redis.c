#include "redis.h"

#include "../log.h"
#include "redis_url.h"

#include <errno.h>
#include <hiredis.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

enum {
    ORIGIN = 16,        /* digits */
    BURST = 256 * 1024, /* bytes written before answers are read */
    FIRST_PAUSE_MS = 100,
    LAST_PAUSE_MS = 5000,
    LAST_WORDS_MS = 1000 /* for what is published before the end to go out */
};

struct gn_redis {
    struct gn_bus_member member;
    struct gn_redis_url place;
    int64_t patience;
    char origin[ORIGIN + 1];
    redisContext *in, *out; /* NULL unless connected */
    bool up;
    bool closing;
    bool publishing;         /* somebody works with `out` */
    struct gn_fiber *fiber;  /* that connects and listens; NULL once it has ended */
    struct gn_fiber *waiter; /* for `publishing` to end; or NULL */
    struct gn_fiber *closer; /* for `fiber` to end; or NULL */
    size_t lost;             /* messages since it was up */
    int pause_ms;
    char why[160]; /* what was last told of it; "" while it is up */
};

/* ---- URLs ---- */

int gn_redis_check(const char *url, char *error, size_t room)
{
    struct gn_redis_url p;
    const char *problem = gn_redis_url_read(&p, url);
    free(p.text);
    if (!problem)
        return 0;
    /* Without the URL, which may hold a password. */
    snprintf(error, room, "a URL such as redis://127.0.0.1:6379 was expected: %s",
             problem);
    return -EINVAL;
}

/* ---- telling ---- */

static void tell_down(struct gn_redis *r, const char *why)
{
    if (strcmp(r->why, why) == 0)
        return;
    snprintf(r->why, sizeof r->why, "%s", why);
    gn_log(GN_WARN, "the bus has no Redis at %s: %s; trying again", r->place.shown,
           r->why);
}

static void tell_up(struct gn_redis *r)
{
    r->why[0] = '\0';
    if (r->lost > 0)
        gn_log(GN_WARN, "the bus has Redis at %s again; %zu messages were dropped",
               r->place.shown, r->lost);
    else
        gn_log(GN_INFO, "the bus has Redis at %s", r->place.shown);
    r->lost = 0;
}

/* What is told of a connection, without its line breaks. */
static const char *error_of(const redisContext *c)
{
    return !c ? "out of memory" : c->err ? c->errstr : "no answer";
}

/* ---- connecting ---- */

static struct timeval patience(const struct gn_redis *r)
{
    return (struct timeval){r->patience / GN_SECOND, r->patience % GN_SECOND / 1000};
}

static redisContext *dial(const struct gn_redis *r)
{
    const struct gn_redis_url *p = &r->place;
    redisContext *c = p->path ? redisConnectUnixWithTimeout(p->path, patience(r))
                              : redisConnectWithTimeout(p->host, p->port, patience(r));
    if (c && !c->err && redisSetTimeout(c, patience(r)) == REDIS_OK && !p->path)
        redisEnableKeepAlive(c);
    return c;
}

/* Whether an answer, which it frees, is none of failure; tells of what is. */
static bool succeeds(struct gn_redis *r, redisContext *c, redisReply *reply)
{
    bool good = reply && reply->type != REDIS_REPLY_ERROR;
    if (!good && !r->closing)
        tell_down(r, reply ? reply->str : error_of(c));
    freeReplyObject(reply);
    return good;
}

static bool log_in(struct gn_redis *r, redisContext *c)
{
    const struct gn_redis_url *p = &r->place;
    if (!p->password)
        return true;
    return succeeds(r, c,
                    p->user ? redisCommand(c, "AUTH %s %s", p->user, p->password)
                            : redisCommand(c, "AUTH %s", p->password));
}

static redisContext *connect_for(struct gn_redis *r, const char *command)
{
    redisContext *c = dial(r);
    bool good = c && !c->err;
    if (!good && !r->closing)
        tell_down(r, error_of(c));
    if (good && log_in(r, c) &&
        succeeds(r, c, redisCommand(c, command, r->place.prefix)))
        return c;
    if (c)
        redisFree(c);
    return NULL;
}

static bool bring_up(struct gn_redis *r)
{
    r->in = connect_for(r, "PSUBSCRIBE %s:*");
    r->out = r->in ? connect_for(r, "PING %s") : NULL;
    if (!r->out)
        return false;
    r->up = true;
    tell_up(r);
    return true;
}

static void hang_up(redisContext **c)
{
    if (*c)
        redisFree(*c);
    *c = NULL;
}

/* Whoever publishes must have let go of the connection. */
static void bring_down(struct gn_redis *r)
{
    r->up = false;
    if (r->publishing)
        shutdown(r->out->fd, SHUT_RDWR);
    r->waiter = gn_fiber_self();
    while (r->publishing)
        gn_park_shielded(GN_NEVER);
    r->waiter = NULL;
    hang_up(&r->in);
    hang_up(&r->out);
}

/* ---- in ---- */

static void publish(struct gn_redis *r, enum gn_bus_kind kind, const char *topic,
                    size_t n, const redisReply *payload)
{
    struct gn_bus_message *m =
        gn_bus_message_new(kind, topic, n, payload->str, payload->len);
    if (m)
        gn_bus_publish(r->member.bus, &r->member, m);
    else
        gn_bus_drop(&r->member, 1);
    gn_bus_message_unref(m);
}

/* Skips `start` at the head of a text. */
static bool eat(const char **text, size_t *n, const char *start)
{
    size_t length = strlen(start);
    if (*n < length || memcmp(*text, start, length) != 0)
        return false;
    *text += length;
    *n -= length;
    return true;
}

/* What comes on a channel of the bus; on those that are none of its own nothing does.
 */
static void take_message(struct gn_redis *r, const redisReply *channel,
                         const redisReply *payload)
{
    const char *at = channel->str;
    size_t n = channel->len;
    if (!eat(&at, &n, r->place.prefix) || !eat(&at, &n, ":"))
        return;
    if (eat(&at, &n, "topic:")) {
        publish(r, GN_BUS_EITHER, at, n, payload);
        return;
    }
    if (n <= ORIGIN || memcmp(at, r->origin, ORIGIN) == 0)
        return;
    at += ORIGIN, n -= ORIGIN;
    if (eat(&at, &n, ":text:"))
        publish(r, GN_BUS_EITHER, at, n, payload);
    else if (eat(&at, &n, ":binary:"))
        publish(r, GN_BUS_BINARY, at, n, payload);
}

static void take_reply(struct gn_redis *r, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 4)
        return; /* the answer to a PING */
    redisReply **e = reply->element;
    if (e[2]->type == REDIS_REPLY_STRING && e[3]->type == REDIS_REPLY_STRING)
        take_message(r, e[2], e[3]);
}

/* Takes all that has been read. */
static bool take_replies(struct gn_redis *r)
{
    void *reply = NULL;
    while (redisGetReplyFromReader(r->in, &reply) == REDIS_OK) {
        if (!reply)
            return true;
        take_reply(r, reply);
        freeReplyObject(reply);
        gn_spend(1024);
    }
    return false;
}

static bool ask(redisContext *c)
{
    int done = 0, e = redisAppendCommand(c, "PING");
    while (e == REDIS_OK && !done)
        e = redisBufferWrite(c, &done);
    return e == REDIS_OK;
}

/* Reads until the connection is lost. Returns why. One that is silent is asked whether
 * it is there. */
static const char *listen_on(struct gn_redis *r)
{
    bool asked = false;
    while (take_replies(r)) {
        struct pollfd p = {.fd = r->in->fd, .events = POLLIN};
        int n = poll(&p, 1, (int)(r->patience / GN_MS));
        if (!r->up || n < 0)
            return "the connection is lost";
        if (n == 0 && asked)
            return "it does not answer";
        if (n == 0 && !ask(r->in))
            return error_of(r->in);
        if (n > 0 && redisBufferRead(r->in) != REDIS_OK)
            return error_of(r->in);
        asked = n == 0;
    }
    return error_of(r->in);
}

/* ---- out ---- */

static int append(struct gn_redis *r, const struct gn_bus_message *m)
{
    const char *kind = m->kind == GN_BUS_BINARY ? "binary" : "text";
    char *command;
    /* Lengths are given: a topic may hold any byte. */
    int n = redisFormatCommand(&command, "PUBLISH %s:%s:%s:%b %b", r->place.prefix,
                               r->origin, kind, m->bytes, m->topic_length,
                               gn_bus_payload(m), m->length);
    if (n < 0)
        return -ENOMEM;
    int e = redisAppendFormattedCommand(r->out, command, (size_t)n);
    redisFreeCommand(command);
    return e == REDIS_OK ? n : -ENOMEM;
}

/* Reads the answers of a burst. Returns how many of them were received. */
static size_t await(struct gn_redis *r, size_t n)
{
    size_t i = 0;
    void *reply;
    for (; i < n && redisGetReply(r->out, &reply) == REDIS_OK; i++) {
        const redisReply *answer = reply;
        if (answer->type == REDIS_REPLY_ERROR)
            gn_log(GN_WARN, "the bus: Redis refuses a message: %s", answer->str);
        freeReplyObject(reply);
    }
    return i;
}

/* Sends messages until they fill a burst. Returns how many were taken by Redis, and in
 * `tried` how many were tried. */
static size_t send_burst(struct gn_redis *r, struct gn_bus_message *const *batch,
                         size_t n, size_t *tried)
{
    int bytes = 0, added = 1;
    size_t i = 0;
    while (i < n && bytes < BURST && (added = append(r, batch[i])) > 0) {
        bytes += added;
        i++;
    }
    *tried = added > 0 ? i : i + 1;
    return await(r, i);
}

static void lose(struct gn_redis *r, size_t n)
{
    r->lost += n;
    gn_bus_drop(&r->member, n);
}

static void deliver(struct gn_bus_member *member, struct gn_bus_message *const *batch,
                    size_t n)
{
    struct gn_redis *r = gn_container_of(member, struct gn_redis, member);
    r->publishing = r->up;
    while (n > 0 && r->up) {
        size_t tried, taken = send_burst(r, batch, n, &tried);
        lose(r, tried - taken);
        batch += tried;
        n -= tried;
        if (r->out->err && r->up) {
            r->up = false;
            shutdown(r->in->fd, SHUT_RDWR); /* so that it is noticed */
        }
    }
    lose(r, n);
    r->publishing = false;
    if (r->waiter)
        gn_wake(r->waiter);
}

/* ---- life ---- */

/* Between a half and all of the pause, so that hosts do not come all at once. */
static void pause_for_a_while(struct gn_redis *r)
{
    uint16_t random = 0;
    getrandom(&random, sizeof random, GRND_NONBLOCK);
    int64_t half = r->pause_ms * GN_MS / 2;
    gn_sleep_until(gn_after(half + half * random / UINT16_MAX));
    r->pause_ms = 2 * r->pause_ms < LAST_PAUSE_MS ? 2 * r->pause_ms : LAST_PAUSE_MS;
}

static void run(void *arg)
{
    struct gn_redis *r = arg;
    while (!r->closing) {
        int64_t since = gn_now();
        if (bring_up(r)) {
            const char *why = listen_on(r);
            if (!r->closing)
                tell_down(r, why);
        }
        bring_down(r);
        if (gn_now() - since > LAST_PAUSE_MS * GN_MS)
            r->pause_ms = FIRST_PAUSE_MS; /* it had been there for long */
        if (!r->closing)
            pause_for_a_while(r);
    }
    r->fiber = NULL;
    if (r->closer)
        gn_wake(r->closer);
}

static void make_origin(char *out)
{
    uint64_t n = 0;
    if (getrandom(&n, sizeof n, 0) < 0)
        n = (uint64_t)gn_now();
    snprintf(out, ORIGIN + 1, "%016llx", (unsigned long long)n);
}

struct gn_redis *gn_redis_open(struct gn_bus *b, const struct gn_redis_options *o)
{
    struct gn_redis *r = calloc(1, sizeof *r);
    if (!r || gn_redis_url_read(&r->place, o->url))
        goto fail;
    r->patience = o->patience ? o->patience : 5 * GN_SECOND;
    r->pause_ms = FIRST_PAUSE_MS;
    make_origin(r->origin);
    r->fiber = gn_fiber_new(gn_sched_self(), "redis", run, r);
    if (!r->fiber)
        goto fail;
    gn_bus_join(b, &r->member, "Redis", deliver);
    return r;
fail:
    if (r)
        free(r->place.text);
    free(r);
    return NULL;
}

bool gn_redis_is_up(const struct gn_redis *r)
{
    return r->up;
}

void gn_redis_close(struct gn_redis *r)
{
    if (!r)
        return;
    if (r->up)
        gn_bus_flush(&r->member, gn_after(LAST_WORDS_MS * GN_MS));
    gn_bus_leave(&r->member);
    r->closing = true;
    if (r->fiber)
        gn_cancel(r->fiber, -ECANCELED);
    while (r->fiber) {
        r->closer = gn_fiber_self();
        gn_park_shielded(GN_NEVER);
    }
    free(r->place.text);
    free(r);
}
