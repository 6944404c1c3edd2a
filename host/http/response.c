#include "../telemetry/observer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    HEAD_BYTES =
        512, /* status line and the headers that are ours; more than they ever take */
    SMALL_ANSWER = 4 * 1024 /* answers up to this size leave in one copy */
};

/* ---- reasons ---- */

static const struct {
    short status;
    const char *reason;
} reasons[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
    {511, "Network Authentication Required"},
};

const char *gn_reason(int status)
{
    if (status == 200)
        return "OK";
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* ---- the head ---- */

/* "Date: Sun, 22 Nov 2026 16:20:47 GMT\r\n", made once a second. */
static size_t put_date(char *out)
{
    static _Thread_local char line[48];
    static _Thread_local size_t length;
    static _Thread_local time_t made;
    time_t now = time(NULL);
    if (now != made) {
        struct tm utc;
        made = now;
        length = strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n",
                          gmtime_r(&now, &utc));
    }
    memcpy(out, line, length);
    return length;
}

static size_t put(char *out, const char *text)
{
    size_t n = strlen(text);
    memcpy(out, text, n);
    return n;
}

static size_t put_number(char *out, unsigned long long n)
{
    char digits[24], *p = digits + sizeof digits;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    size_t len = (size_t)(digits + sizeof digits - p);
    memcpy(out, p, len);
    return len;
}

/* Only what differs from the version's default needs saying (RFC 9112, section 9.3),
 * and with 426 what to upgrade to (RFC 9110, section 15.5.22). */
static size_t put_connection(char *out, const struct gn_request *r)
{
    if (r->status == 426)
        return put(out, r->keep
                            ? "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                            : "Upgrade: websocket\r\nConnection: Upgrade, close\r\n");
    if (!r->keep)
        return put(out, "Connection: close\r\n");
    return r->head->minor == 0 ? put(out, "Connection: keep-alive\r\n") : 0;
}

static size_t put_id(char *out, struct gn_request *r)
{
    size_t n = put(out, "X-Request-Id: ");
    n += put(out + n, gn_request_id(r));
    return n + put(out + n, "\r\n");
}

/* Neither a body nor a length (RFC 9110, section 8.6). */
static bool has_no_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* Writes the status line and the headers that are ours, and the empty line unless
 * `head` follows. */
static size_t put_head(char *out, struct gn_request *r, int status)
{
    char *p = out;
    r->status = status;
    r->keep = gn_request_may_keep(r);
    r->body_less =
        has_no_body(status) || status == 205 || strcmp(r->head->method, "HEAD") == 0;
    p += put(p, "HTTP/1.1 ");
    p += put_number(p, (unsigned)status);
    *p++ = ' ';
    p += put(p, gn_reason(status));
    p += put(p, "\r\n");
    p += put_date(p);
    p += put_connection(p, r);
    if (r->wire->wires->observer && r->wire->wires->observer->tells_ids)
        p += put_id(p, r);
    return (size_t)(p - out);
}

static size_t put_length(char *out, int status, size_t body_len)
{
    if (has_no_body(status))
        return 0;
    size_t n = put(out, "Content-Length: ");
    n += put_number(out + n, body_len);
    return n + put(out + n, "\r\n");
}

/* ---- whole answers ---- */

/* An answer that is followed by another request's at once leaves together with that. */
static int send_answer(struct gn_request *r, struct iovec *iov, size_t count)
{
    const struct gn_input *in = r->wire->in;
    bool more = r->keep && r->body_done && in && in->off < in->len;
    return more ? gn_wire_hold(r->wire, iov, count) : gn_wire_send(r->wire, iov, count);
}

int gn_respond(struct gn_request *r, int status, const char *head, size_t head_len,
               const char *body, size_t body_len)
{
    char small[SMALL_ANSWER];
    if (status == 205)
        body_len = 0; /* it tells the client to empty a form, and says so itself */
    size_t n = put_head(small, r, status);
    n += put_length(small + n, status, body_len);
    r->progress = GN_ANSWERED;
    if (r->body_less)
        body_len = 0;
    r->written = (long long)body_len;
    if (n + head_len + 2 + body_len <= sizeof small) {
        memcpy(small + n, head, head_len);
        memcpy(small + n + head_len, "\r\n", 2);
        if (body_len)
            memcpy(small + n + head_len + 2, body, body_len);
        return send_answer(r, &(struct iovec){small, n + head_len + 2 + body_len}, 1);
    }
    struct iovec parts[] = {
        {small, n}, {(char *)head, head_len}, {"\r\n", 2}, {(char *)body, body_len}};
    return send_answer(r, parts, 4);
}

int gn_respond_switch(struct gn_request *r, const char *head, size_t head_len)
{
    char ours[HEAD_BYTES];
    char *p = ours;
    r->status = 101;
    r->progress = GN_ANSWERED;
    r->keep = false;
    r->body_less = true;
    p += put(p, "HTTP/1.1 101 Switching Protocols\r\n");
    p += put_date(p);
    struct iovec parts[] = {
        {ours, (size_t)(p - ours)}, {(char *)head, head_len}, {"\r\n", 2}};
    return gn_wire_send(r->wire, parts, 3);
}

int gn_respond_error(struct gn_request *r, int status, const char *why)
{
    static const char head[] = "Content-Type: text/plain; charset=utf-8\r\n";
    static const char busy[] =
        "Content-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\n";
    char body[256];
    int n = snprintf(body, sizeof body, "%d %s\n%s%s", status, gn_reason(status),
                     why ? why : "", why ? "\n" : "");
    size_t len = n < (int)sizeof body ? (size_t)n : sizeof body - 1;
    if (status == 503)
        return gn_respond(r, status, busy, sizeof busy - 1, body, len);
    return gn_respond(r, status, head, sizeof head - 1, body, len);
}

/* ---- answers in pieces ---- */

static bool is_chunked(const struct gn_request *r)
{
    return r->head->minor != 0 && !r->body_less && r->promised < 0;
}

/* Any fiber's gn_wire_hold(), which only the worker's keeps back. */
static int hold(struct gn_request *r, struct iovec *iov, size_t count)
{
    struct gn_guest g;
    int e = gn_guest_enter(&g, r);
    if (e < 0)
        return e;
    e = gn_wire_hold(r->wire, iov, count);
    gn_guest_leave(&g);
    return e;
}

/* Any fiber's gn_wire_send(). */
static int send_parts(struct gn_request *r, struct iovec *iov, size_t count)
{
    struct gn_guest g;
    int e = gn_guest_enter(&g, r);
    if (e < 0)
        return e;
    e = gn_wire_send(r->wire, iov, count);
    gn_guest_leave(&g);
    return e;
}

int gn_respond_start(struct gn_request *r, int status, const char *head,
                     size_t head_len, long long length)
{
    char ours[HEAD_BYTES];
    r->mark = gn_wire_held(r->wire);
    if (status < 300 && !r->body_done)
        gn_request_invite(r);
    r->progress = GN_STREAMING;
    r->promised = length;
    r->written = 0;
    if (r->head->minor == 0 && length < 0)
        r->keep = false;
    size_t n = put_head(ours, r, status);
    if (length >= 0)
        n += put_length(ours + n, status, (size_t)length);
    const char *last = is_chunked(r) ? "Transfer-Encoding: chunked\r\n\r\n" : "\r\n";
    struct iovec parts[] = {
        {ours, n}, {(char *)head, head_len}, {(char *)last, strlen(last)}};
    return hold(r, parts, 3);
}

/* An empty chunk would end the body. */
int gn_respond_write(struct gn_request *r, const char *data, size_t n)
{
    char size[24];
    if (n == 0 || r->body_less)
        return r->wire->broken ? -EPIPE : 0;
    if (r->promised >= 0 && r->written + (long long)n > r->promised)
        return -EMSGSIZE;
    r->written += (long long)n;
    if (!is_chunked(r))
        return send_parts(r, &(struct iovec){(char *)data, n}, 1);
    int len = snprintf(size, sizeof size, "%zx\r\n", n);
    struct iovec parts[] = {{size, (size_t)len}, {(char *)data, n}, {"\r\n", 2}};
    return send_parts(r, parts, 3);
}

int gn_respond_finish(struct gn_request *r)
{
    if (r->promised > r->written && !r->body_less)
        return -EMSGSIZE;
    r->progress = GN_ANSWERED;
    struct iovec last = {"0\r\n\r\n", 5};
    return send_parts(r, &last, is_chunked(r)); /* after those who still write */
}

bool gn_respond_retract(struct gn_request *r)
{
    if (r->progress != GN_STREAMING || r->written > 0 ||
        !gn_wire_take_back(r->wire, r->mark))
        return false;
    r->progress = GN_UNANSWERED;
    r->keep = r->head->keep_alive;
    r->invited = r->received > 0;
    return true;
}

/* A missing last chunk or a missing rest tells the peer by itself. */
void gn_respond_cut(struct gn_request *r)
{
    r->keep = false;
    r->wire->cut = !is_chunked(r) && !r->body_less && r->promised < 0;
}
