/* Fuzzes the gate: what it accepts keeps its promises, and pieces do not matter.
 *
 * The first byte of the input seeds the sizes of the pieces; the rest is a head. */
#include "../../host/http/gate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct gn_gate_limits limits = {2048, 512, 16};

static void require(bool promise)
{
    if (!promise)
        abort();
}

/* Feeds pieces of 1 to 9 bytes. */
static int feed(struct gn_gate *g, char *buf, size_t len, unsigned seed)
{
    size_t had = 0;
    int verdict = 0;
    gn_gate_init(g, limits);
    while (verdict == 0 && had < len) {
        seed = seed * 1103515245 + 12345;
        size_t n = 1 + (seed >> 16) % 9;
        had = len - had < n ? len : had + n;
        verdict = gn_gate_feed(g, buf, had);
    }
    return verdict;
}

static void check_text(const char *text, const char *buf, size_t len, unsigned class)
{
    require(text >= buf && text < buf + len);
    for (; *text; text++)
        require(gn_bytes[(unsigned char)*text] & class);
    require(text < buf + len);
}

static void check_target(const struct gn_head *h, const char *buf, size_t len)
{
    bool connect = !strcmp(h->method, "CONNECT");
    bool star = !strcmp(h->target, "*");
    require(strlen(h->target) <= limits.target);
    require(connect || star || h->target[0] == '/');
    require(!star || !strcmp(h->method, "OPTIONS"));
    require(!connect || (!h->query && strchr(h->target, ':')));
    require(!strchr(h->target, '?') && !strchr(h->target, '#'));
    if (h->query) {
        check_text(h->query, buf, len, GN_TEXT);
        require(!strpbrk(h->query, " #"));
    }
}

static void check_host(const struct gn_head *h, const char *buf, size_t len)
{
    require(h->host || h->minor == 0);
    if (!h->host)
        return;
    check_text(h->host, buf, len, GN_TARGET | GN_TOKEN);
    require(!strpbrk(h->host, "/@?#\\ <>\"") && h->host[0] != ':');
}

static void check_headers(const struct gn_head *h, const char *buf, size_t len)
{
    require(h->header_count <= limits.headers);
    for (int i = 0; i < h->header_count; i++) {
        const char *value = h->headers[i].value;
        size_t n = strlen(value);
        check_text(h->headers[i].name, buf, len, GN_TOKEN);
        check_text(value, buf, len, GN_TEXT);
        require(h->headers[i].name[0]);
        require(n == 0 || (value[0] != ' ' && value[n - 1] != ' '));
    }
}

static int count(const struct gn_head *h, const char *name)
{
    int n = 0;
    for (int i = 0; i < h->header_count; i++)
        n += !strcasecmp(h->headers[i].name, name);
    return n;
}

static void check_body(const struct gn_head *h)
{
    int lengths = count(h, "Content-Length"), codings = count(h, "Transfer-Encoding");
    require(lengths + codings <= 1);
    require((h->content_length >= 0) == (lengths == 1));
    require(h->chunked == (codings == 1));
    require(!h->chunked || h->minor == 1);
    require(!h->upgrade || (!h->chunked && h->content_length <= 0));
    require(count(h, "Host") <= 1 && (h->minor == 0 || count(h, "Host") == 1));
}

/* Two heads, each in its own buffer, that must say the same. */
static void check_same(const char *a, const char *b)
{
    require(!a == !b);
    require(!a || !strcmp(a, b));
}

static void check_alike(const struct gn_head *a, const struct gn_head *b)
{
    check_same(a->method, b->method);
    check_same(a->target, b->target);
    check_same(a->query, b->query);
    check_same(a->host, b->host);
    require(a->minor == b->minor && a->header_count == b->header_count);
    require(a->content_length == b->content_length && a->chunked == b->chunked);
    require(a->keep_alive == b->keep_alive && a->upgrade == b->upgrade);
    require(a->expects_continue == b->expects_continue);
    for (int i = 0; i < a->header_count; i++) {
        check_same(a->headers[i].name, b->headers[i].name);
        check_same(a->headers[i].value, b->headers[i].value);
    }
}

static void check_accepted(const struct gn_gate *g, const char *buf, const char *bytes,
                           size_t len)
{
    const struct gn_head *h = &g->head;
    require(len >= 16 && len <= limits.head && !memcmp(bytes + len - 2, "\r\n", 2));
    check_text(h->method, buf, len, GN_TOKEN);
    require(h->method[0] && strlen(h->method) <= 32);
    check_target(h, buf, len);
    check_host(h, buf, len);
    check_headers(h, buf, len);
    check_body(h);
}

static void check_refused(const struct gn_gate *g, int verdict)
{
    static const int statuses[] = {400, 414, 417, 431, 501, 505};
    bool known = false;
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        known |= -verdict == statuses[i];
    require(known && g->reason);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gn_gate whole, pieces;
    if (size < 1)
        return 0;
    size_t len = size - 1;
    char *bytes = malloc(len + !len), *a = malloc(len + !len), *b = malloc(len + !len);
    memcpy(bytes, data + 1, len);
    memcpy(a, bytes, len);
    memcpy(b, bytes, len);
    gn_gate_init(&whole, limits);
    int verdict = gn_gate_feed(&whole, a, len);
    require(feed(&pieces, b, len, data[0]) == verdict);
    require(verdict >= 0 || whole.reason == pieces.reason);
    if (verdict > 0) {
        check_accepted(&whole, a, bytes, verdict);
        check_alike(&whole.head, &pieces.head);
        require(!memcmp(a + verdict, bytes + verdict, len - verdict));
    }
    if (verdict < 0)
        check_refused(&whole, verdict);
    free(bytes);
    free(a);
    free(b);
    return 0;
}
