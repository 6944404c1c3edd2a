#include "access_log.h"

#include "../log.h"
#include "../sched/offload.h"
#include "../sink.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

enum {
    DELAY_MS = 20,      /* until lines are written */
    SOON = 64 * 1024,   /* bytes that do not wait so long */
    MOST = 1024 * 1024, /* bytes that wait for a slow reader */
    PATIENCE_MS = 100,  /* of one attempt to write to it */
    LAST_SECONDS = 1    /* for the last lines */
};

/* ---- bytes ---- */

struct buffer {
    char *bytes;
    size_t len, room;
};

/* Makes room for `n` more bytes. */
static bool reserve(struct buffer *b, size_t n)
{
    if (b->room - b->len >= n)
        return true;
    size_t room = b->room ? b->room : 4096;
    while (room - b->len < n)
        room *= 2;
    char *bytes = realloc(b->bytes, room);
    if (!bytes)
        return false;
    b->bytes = bytes;
    b->room = room;
    return true;
}

static void put_bytes(struct buffer *b, const char *text, size_t n)
{
    if (!reserve(b, n))
        return;
    memcpy(b->bytes + b->len, text, n);
    b->len += n;
}

static void put_text(struct buffer *b, const char *text)
{
    put_bytes(b, text, strlen(text));
}

static void put_byte(struct buffer *b, char c)
{
    if (reserve(b, 1))
        b->bytes[b->len++] = c;
}

/* With leading zeros up to `width`. */
static void put_number(struct buffer *b, unsigned long long n, int width)
{
    char digits[24], *p = digits + sizeof digits;
    do
        *--p = (char)('0' + n % 10);
    while ((n /= 10) || digits + sizeof digits - p < width);
    put_bytes(b, p, (size_t)(digits + sizeof digits - p));
}

/* What could end a field or a line, or command a terminal, as \xHH. */
static void put_escaped(struct buffer *b, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = strlen(text);
    if (!reserve(b, 4 * n))
        return;
    char *p = b->bytes + b->len;
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        if (*s >= 0x20 && *s < 0x7f && *s != '"' && *s != '\\') {
            *p++ = (char)*s;
            continue;
        }
        *p++ = '\\';
        *p++ = 'x';
        *p++ = hex[*s >> 4];
        *p++ = hex[*s & 15];
    }
    b->len = (size_t)(p - b->bytes);
}

static void put_string(struct buffer *b, const char *text)
{
    size_t n = strlen(text);
    if (reserve(b, 6 * n + 2))
        b->len += gn_json_string(b->bytes + b->len, text, n);
}

/* ---- time ---- */

/* The last second that was written, in each way. Of a log, so of one thread. */
struct clock {
    time_t second;
    char local[40], iso[32], day[16];
};

static void look(struct clock *c)
{
    struct tm here, utc;
    time_t now = time(NULL);
    if (now == c->second)
        return;
    c->second = now;
    localtime_r(&now, &here);
    gmtime_r(&now, &utc);
    strftime(c->local, sizeof c->local, "%d/%b/%Y:%H:%M:%S %z", &here);
    strftime(c->iso, sizeof c->iso, "%Y-%m-%dT%H:%M:%SZ", &utc);
    strftime(c->day, sizeof c->day, "%H:%M:%S", &here);
}

/* Seconds with six digits behind the point. */
static void put_seconds(struct buffer *b, int64_t ns)
{
    unsigned long long us = (unsigned long long)(ns > 0 ? ns : 0) / 1000;
    put_number(b, us / 1000000, 1);
    put_byte(b, '.');
    put_number(b, us % 1000000, 6);
}

/* ---- variables ---- */

struct gn_access_log {
    struct gn_sink sink;
    struct gn_sched *sched;
    struct gn_fiber *fiber;  /* writes; NULL before and after */
    struct gn_fiber *closer; /* waits for its end, or NULL */
    struct op *ops;          /* of the format; ended by one without function */
    char *format;            /* which they point into */
    void (*line)(struct gn_access_log *, const struct gn_access *);
    struct buffer fill, out; /* to be written; being written */
    struct clock clock;
    size_t dropped; /* lines, since the last were written */
    bool resting;   /* the fiber waits for lines */
    bool closing, colour, has_ids;
    int64_t deadline; /* once it is closing */
};

struct op {
    void (*fn)(struct gn_access_log *, const struct gn_access *, const struct op *);
    const char *text; /* fixed text, or the name of a header */
    size_t len;
};

#define VARIABLE(name)                                                   \
    static void name(struct gn_access_log *l, const struct gn_access *a, \
                     const struct op *op)

static const struct gn_head *head_of(const struct gn_access *a)
{
    return a->request->head;
}

static void put_or_dash(struct gn_access_log *l, const char *text)
{
    put_escaped(&l->fill, text && *text ? text : "-");
}

VARIABLE(fixed)
{
    (void)a;
    put_bytes(&l->fill, op->text, op->len);
}

VARIABLE(remote_addr)
{
    (void)op;
    put_or_dash(l, a->client);
}

VARIABLE(time_local)
{
    (void)a, (void)op;
    put_text(&l->fill, l->clock.local);
}

VARIABLE(time_iso8601)
{
    (void)a, (void)op;
    put_text(&l->fill, l->clock.iso);
}

static void put_target(struct gn_access_log *l, const struct gn_access *a)
{
    put_or_dash(l, head_of(a)->target);
    if (head_of(a)->query) {
        put_byte(&l->fill, '?');
        put_escaped(&l->fill, head_of(a)->query);
    }
}

VARIABLE(request)
{
    const struct gn_head *h = head_of(a);
    (void)op;
    if (!h->method || !*h->method) {
        put_byte(&l->fill, '-');
        return;
    }
    put_escaped(&l->fill, h->method);
    put_byte(&l->fill, ' ');
    put_target(l, a);
    put_text(&l->fill, h->minor ? " HTTP/1.1" : " HTTP/1.0");
}

VARIABLE(request_method)
{
    (void)op;
    put_or_dash(l, head_of(a)->method);
}

VARIABLE(request_uri)
{
    (void)op;
    put_target(l, a);
}

VARIABLE(uri)
{
    (void)op;
    put_or_dash(l, head_of(a)->target);
}

VARIABLE(args)
{
    (void)op;
    put_or_dash(l, head_of(a)->query);
}

VARIABLE(server_protocol)
{
    (void)op;
    put_text(&l->fill, head_of(a)->minor ? "HTTP/1.1" : "HTTP/1.0");
}

VARIABLE(status)
{
    (void)op;
    put_number(&l->fill, (unsigned)a->status, 3);
}

VARIABLE(body_bytes_sent)
{
    (void)op;
    put_number(&l->fill, (unsigned long long)a->bytes, 1);
}

VARIABLE(request_time)
{
    (void)op;
    put_seconds(&l->fill, a->total);
}

VARIABLE(time_parked)
{
    (void)op;
    put_seconds(&l->fill, a->parked);
}

VARIABLE(time_run)
{
    (void)op;
    put_seconds(&l->fill, a->run);
}

VARIABLE(request_id)
{
    (void)op;
    put_or_dash(l, a->id);
}

VARIABLE(scheme)
{
    (void)op;
    put_text(&l->fill, a->request->wire->tls ? "https" : "http");
}

VARIABLE(host)
{
    (void)op;
    put_or_dash(l, head_of(a)->host);
}

VARIABLE(generation)
{
    (void)op;
    put_number(&l->fill, a->request->generation, 1);
}

VARIABLE(pid)
{
    (void)a, (void)op;
    put_number(&l->fill, (unsigned long long)getpid(), 1);
}

VARIABLE(dash)
{
    (void)a, (void)op;
    put_byte(&l->fill, '-');
}

/* "user_agent" is the name of User-Agent. */
static bool is_named(const char *header, const char *variable, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = header[i] == '-' ? '_' : header[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + 32);
        if (c != variable[i])
            return false;
    }
    return header[n] == '\0';
}

static const char *find_header(const struct gn_head *h, const char *name, size_t n)
{
    for (int i = 0; i < h->header_count; i++)
        if (is_named(h->headers[i].name, name, n))
            return h->headers[i].value;
    return NULL;
}

VARIABLE(header)
{
    put_or_dash(l, find_header(head_of(a), op->text, op->len));
}

static const struct {
    const char *name;
    void (*fn)(struct gn_access_log *, const struct gn_access *, const struct op *);
} variables[] = {
    {"remote_addr", remote_addr},
    {"remote_user", dash},
    {"time_local", time_local},
    {"time_iso8601", time_iso8601},
    {"request", request},
    {"request_method", request_method},
    {"request_uri", request_uri},
    {"uri", uri},
    {"args", args},
    {"server_protocol", server_protocol},
    {"status", status},
    {"body_bytes_sent", body_bytes_sent},
    {"request_time", request_time}, /* seconds; waiting, too */
    {"time_parked", time_parked},   /* of these, in which it did not run */
    {"time_run", time_run},         /* and in which it did */
    {"request_id", request_id},
    {"scheme", scheme},
    {"host", host},
    {"generation", generation},
    {"pid", pid},
    /* and http_NAME, a header of the request */
};

/* ---- formats ---- */

#define COMMON \
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent"

static bool read_variable(struct op *op, const char *name, size_t n)
{
    if (n > 5 && strncmp(name, "http_", 5) == 0) {
        *op = (struct op){header, name + 5, n - 5};
        return true;
    }
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (strlen(variables[i].name) == n && memcmp(variables[i].name, name, n) == 0) {
            *op = (struct op){.fn = variables[i].fn};
            return true;
        }
    return false;
}

static const char name_bytes[] = "abcdefghijklmnopqrstuvwxyz_0123456789";

/* Reads l->format. Returns 0, or -1 with a line in `error`. */
static int compile(struct gn_access_log *l, char *error, size_t room)
{
    size_t count = 1;
    for (const char *s = l->format; *s; s++)
        count += 2 * (*s == '$');
    struct op *op = l->ops = calloc(count + 1, sizeof *op);
    for (const char *s = l->format; op && *s; op++) {
        size_t n = *s == '$' ? strspn(s + 1, name_bytes) : strcspn(s, "$");
        if (*s != '$') {
            *op = (struct op){fixed, s, n};
            s += n;
            continue;
        }
        if (!read_variable(op, s + 1, n)) {
            snprintf(error, room, "the log's format has no variable '$%.*s'", (int)n,
                     s + 1);
            return -1;
        }
        l->has_ids |= op->fn == request_id;
        s += 1 + n;
    }
    return op ? 0 : (snprintf(error, room, "out of memory"), -1);
}

static void put_ops(struct gn_access_log *l, const struct gn_access *a)
{
    for (const struct op *op = l->ops; op->fn; op++)
        op->fn(l, a, op);
    put_byte(&l->fill, '\n');
}

static void put_member(struct gn_access_log *l, const char *name, const char *value)
{
    if (!value)
        return;
    put_text(&l->fill, ",\"");
    put_text(&l->fill, name);
    put_text(&l->fill, "\":");
    put_string(&l->fill, value);
}

static void put_json(struct gn_access_log *l, const struct gn_access *a)
{
    const struct gn_head *h = head_of(a);
    struct buffer *b = &l->fill;
    put_text(b, "{\"time\":\"");
    put_text(b, l->clock.iso);
    put_text(b, "\",\"type\":\"access\"");
    put_member(l, "request_id", a->id);
    put_member(l, "remote_addr", a->client);
    put_member(l, "method", h->method);
    put_member(l, "path", h->target);
    put_member(l, "query", h->query);
    put_member(l, "host", h->host);
    put_member(l, "protocol", h->minor ? "HTTP/1.1" : "HTTP/1.0");
    put_text(b, ",\"status\":");
    put_number(b, (unsigned)a->status, 3);
    put_text(b, ",\"bytes\":");
    put_number(b, (unsigned long long)a->bytes, 1);
    put_text(b, ",\"duration\":");
    put_seconds(b, a->total);
    put_text(b, ",\"parked\":");
    put_seconds(b, a->parked);
    put_text(b, ",\"run\":");
    put_seconds(b, a->run);
    put_text(b, ",\"generation\":");
    put_number(b, a->request->generation, 1);
    put_member(l, "referer", find_header(h, "referer", 7));
    put_member(l, "user_agent", find_header(h, "user_agent", 10));
    put_text(b, "}\n");
}

static void put_colour(struct gn_access_log *l, const char *code)
{
    if (l->colour)
        put_text(&l->fill, code);
}

/* "1.4 KB" */
static void put_size(struct gn_access_log *l, long long bytes)
{
    static const char *const units[] = {" B", " KB", " MB", " GB"};
    char text[32];
    double n = (double)bytes;
    size_t unit = 0;
    for (; n >= 1000 && unit < 3; unit++)
        n /= 1000;
    snprintf(text, sizeof text, unit ? "%.1f" : "%.0f", n);
    put_text(&l->fill, text);
    put_text(&l->fill, units[unit]);
}

/* 16:20:47 GET /hello 200 0.4 ms 10 B */
static void put_dev(struct gn_access_log *l, const struct gn_access *a)
{
    static const char *const colours[] = {"\033[36m", "\033[32m", "\033[36m",
                                          "\033[33m", "\033[31m"};
    char ms[64];
    int class = a->status / 100 - 1;
    put_colour(l, "\033[2m");
    put_text(&l->fill, l->clock.day);
    put_colour(l, "\033[0;1m");
    put_byte(&l->fill, ' ');
    put_or_dash(l, head_of(a)->method);
    put_colour(l, "\033[0m");
    put_byte(&l->fill, ' ');
    put_target(l, a);
    put_byte(&l->fill, ' ');
    put_colour(l, colours[class < 0 || class > 4 ? 4 : class]);
    put_number(&l->fill, (unsigned)a->status, 3);
    put_colour(l, "\033[0;2m");
    snprintf(ms, sizeof ms, " %.1f ms, ", (double)a->total / (double)GN_MS);
    put_text(&l->fill, ms);
    put_size(l, a->bytes);
    put_colour(l, "\033[0m");
    put_byte(&l->fill, '\n');
}

/* ---- writing ---- */

struct flush {
    struct gn_job job;
    struct gn_access_log *log;
    size_t done; /* bytes of log->out that have been written, or cannot be */
};

static bool is_file(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* How much to write in one call to what may not take all: lines that a pipe takes whole
 * or not at all. */
static size_t portion(const char *bytes, size_t n)
{
    if (n <= PIPE_BUF)
        return n;
    const char *end = memrchr(bytes, '\n', PIPE_BUF);
    return end ? (size_t)(end + 1 - bytes) : PIPE_BUF;
}

static bool takes_more(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, PATIENCE_MS) > 0;
}

/* On a thread of the pool. What a full disk or a pipe without a reader refuses is lost.
 */
static void write_out(struct gn_job *job)
{
    struct flush *f = gn_container_of(job, struct flush, job);
    struct gn_sink *s = &f->log->sink;
    struct buffer *out = &f->log->out;
    gn_sink_refresh(s);
    bool whole = s->fd < 0 || is_file(s->fd);
    while (f->done < out->len && (whole || takes_more(s->fd))) {
        char *from = out->bytes + f->done;
        size_t n = out->len - f->done;
        struct iovec iov = {from, whole ? n : portion(from, n)};
        ssize_t written = gn_sink_write(s, LOG_INFO, &iov, 1);
        if (written < 0 && errno == EAGAIN)
            return;
        if (written < 0 && errno != EINTR)
            written = (ssize_t)iov.iov_len;
        f->done += written > 0 ? (size_t)written : 0;
    }
}

static void tell_dropped(struct gn_access_log *l)
{
    if (l->dropped > 0)
        gn_log(GN_WARN, "the access log's reader is slow: %zu lines have been dropped",
               l->dropped);
    l->dropped = 0;
}

/* Writes what it can of l->out, after taking what has come since if that is empty. */
static void flush(struct gn_access_log *l)
{
    if (l->out.len == 0) {
        struct buffer empty = l->out;
        l->out = l->fill;
        l->fill = empty;
    }
    struct flush f = {.job.run = write_out, .log = l};
    if (!l->sched->pool || gn_offload_attended(&f.job, NULL) < 0)
        write_out(&f.job);
    l->out.len -= f.done;
    memmove(l->out.bytes, l->out.bytes + f.done, l->out.len);
    if (f.done > 0)
        tell_dropped(l);
}

static bool has_work(const struct gn_access_log *l)
{
    return l->fill.len + l->out.len > 0;
}

static void rest(struct gn_access_log *l, int64_t deadline)
{
    l->resting = true;
    gn_park_shielded(deadline);
    l->resting = false;
}

static void run(void *arg)
{
    struct gn_access_log *l = arg;
    while (!l->closing || (has_work(l) && gn_now() < l->deadline)) {
        if (!has_work(l))
            rest(l, GN_NEVER);
        if (!l->closing && l->fill.len < SOON && l->out.len == 0)
            rest(l, gn_after_ms(DELAY_MS));
        if (has_work(l))
            flush(l);
    }
    l->fiber = NULL;
    if (l->closer)
        gn_wake(l->closer);
}

void gn_access_log_put(struct gn_access_log *l, const struct gn_access *a)
{
    size_t before = l->fill.len;
    if (before >= MOST) {
        l->dropped++;
        return;
    }
    look(&l->clock);
    l->line(l, a);
    if (l->resting && (before == 0 || l->fill.len >= SOON))
        gn_wake(l->fiber);
}

/* ---- life ---- */

static bool wants_colour(const struct gn_sink *s)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return s->fd >= 0 && isatty(s->fd) && !(no && *no) &&
           !(term && strcmp(term, "dumb") == 0);
}

static int choose_format(struct gn_access_log *l, const char *format, char *error,
                         size_t room)
{
    l->line = put_ops;
    if (strcmp(format, "json") == 0) {
        l->line = put_json;
        l->has_ids = true;
        return 0;
    }
    if (strcmp(format, "dev") == 0) {
        l->line = put_dev;
        l->colour = wants_colour(&l->sink);
        return 0;
    }
    if (strcmp(format, "common") == 0)
        format = COMMON;
    else if (strcmp(format, "combined") == 0)
        format = COMMON " \"$http_referer\" \"$http_user_agent\"";
    l->format = strdup(format);
    return l->format ? compile(l, error, room) : (snprintf(error, room, "%m"), -1);
}

static void destroy(struct gn_access_log *l)
{
    gn_sink_close(&l->sink);
    free(l->ops);
    free(l->format);
    free(l->fill.bytes);
    free(l->out.bytes);
    free(l);
}

struct gn_access_log *gn_access_log_open(const char *where, const char *format,
                                         char *error, size_t room)
{
    struct gn_access_log *l = calloc(1, sizeof *l);
    if (!l) {
        snprintf(error, room, "out of memory");
        return NULL;
    }
    if (gn_sink_open(&l->sink, where, error, room) == 0 &&
        choose_format(l, format, error, room) == 0)
        return l;
    destroy(l);
    return NULL;
}

int gn_access_log_start(struct gn_access_log *l)
{
    l->sched = gn_sched_self();
    l->fiber = gn_fiber_new(l->sched, "access log", run, l);
    return l->fiber ? 0 : -ENOMEM;
}

bool gn_access_log_has_ids(const struct gn_access_log *l)
{
    return l->has_ids;
}

void gn_access_log_close(struct gn_access_log *l)
{
    if (!l)
        return;
    l->closing = true;
    l->deadline = gn_after(LAST_SECONDS * GN_SECOND);
    l->closer = gn_fiber_self();
    if (l->resting)
        gn_wake(l->fiber);
    while (l->fiber)
        gn_park_shielded(GN_NEVER);
    tell_dropped(l);
    destroy(l);
}
