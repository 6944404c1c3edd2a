/* The gate: tables of heads and what must come of them, each fed whole, byte by byte
 * and cut in two at every place. */
#include "../../host/http/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(start, n) ((void)(start), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(start, n) ((void)(start), (void)(n))
#endif

enum { TEXT_MAX = 8192 };

/* `expected` is "400", "more", or the accepted head as render() tells it. */
struct gate_case {
    const char *name, *bytes;
    size_t len;
    const char *expected;
};

#define CASE(name, bytes, expected)             \
    {                                           \
        name, bytes, sizeof bytes - 1, expected \
    }

#define H "Host: h\r\n"
#define GET "GET / HTTP/1.1\r\nHost: h\r\n"
#define POST "POST / HTTP/1.1\r\nHost: h\r\n"
#define OLD "GET / HTTP/1.0\r\n"
#define GOT "GET / h 1.1; Host=h"
#define POSTED "POST / h 1.1"
#define A8 "aaaaaaaa"
#define A32 A8 A8 A8 A8

static const struct gn_gate_limits limits = {16384, 8192, GN_HEADERS};

/* "METHOD target?query host 1.1 close length=N chunked continue upgrade; Name=value" */
static void render(const struct gn_head *h, char *out)
{
    char *p = out;
    p += sprintf(p, "%s %s%s%s %s 1.%d", h->method, h->target, h->query ? "?" : "",
                 h->query ? h->query : "", h->host ? h->host : "-", h->minor);
    if (!h->keep_alive)
        p += sprintf(p, " close");
    if (h->content_length >= 0)
        p += sprintf(p, " length=%lld", h->content_length);
    p += sprintf(p, "%s%s%s", h->chunked ? " chunked" : "",
                 h->expects_continue ? " continue" : "", h->upgrade ? " upgrade" : "");
    for (int i = 0; i < h->header_count; i++)
        p += sprintf(p, "; %s=%s", h->headers[i].name, h->headers[i].value);
    assert_true(p - out < TEXT_MAX);
}

static void render_verdict(const struct gn_gate *g, int verdict, char *out)
{
    if (verdict > 0)
        render(&g->head, out);
    else if (verdict == 0)
        strcpy(out, "more");
    else
        sprintf(out, "%d", -verdict);
    if (verdict < 0)
        assert_true(g->reason && strlen(g->reason) > 10);
}

/* Feeds the pieces that end at `cut` and at the end; `cut` 0 for single bytes. What has
 * not come yet must not be read. */
static int feed_in_pieces(struct gn_gate *g, char *buf, const char *bytes, size_t len,
                          size_t cut)
{
    int verdict = 0;
    size_t had = 0;
    gn_gate_init(g, limits);
    while (had < len && verdict == 0) {
        size_t n = !cut ? had + 1 : had < cut ? cut : len;
        ASAN_UNPOISON_MEMORY_REGION(buf, len);
        memset(buf + n, '\n', len - n);
        memcpy(buf + had, bytes + had, n - had);
        ASAN_POISON_MEMORY_REGION(buf + n, len - n);
        verdict = gn_gate_feed(g, buf, n);
        if (verdict > 0 && !cut)
            assert_int_equal(verdict, n);
        had = n;
    }
    ASAN_UNPOISON_MEMORY_REGION(buf, len);
    return verdict;
}

static void check_pieces(const struct gate_case *c, size_t cut)
{
    struct gn_gate g;
    char text[TEXT_MAX];
    char *buf = malloc(c->len);
    int verdict = feed_in_pieces(&g, buf, c->bytes, c->len, cut);
    render_verdict(&g, verdict, text);
    if (strcmp(text, c->expected))
        fail_msg("%s, cut at %zu: %s, not %s", c->name, cut, text, c->expected);
    assert_int_equal(gn_gate_feed(&g, buf, c->len), verdict);
    free(buf);
}

static void check_case(const struct gate_case *c)
{
    for (size_t cut = 0; cut <= c->len; cut++)
        check_pieces(c, cut);
}

/* What follows a head is neither read nor changed. */
static void check_next(const struct gate_case *c)
{
    static const char next[] = "\r\n\nG\t\0X:\x16";
    struct gn_gate g;
    char *buf = malloc(c->len + sizeof next);
    memcpy(buf, c->bytes, c->len);
    memcpy(buf + c->len, next, sizeof next);
    gn_gate_init(&g, limits);
    assert_int_equal(gn_gate_feed(&g, buf, c->len + sizeof next), c->len);
    assert_memory_equal(buf + c->len, next, sizeof next);
    free(buf);
}

static void check_cases(const struct gate_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_case(&cases[i]);
        if (strlen(cases[i].expected) > 4)
            check_next(&cases[i]);
    }
    print_message("           %zu cases\n", count);
}

#define CHECK(cases) check_cases(cases, sizeof cases / sizeof *cases)

/* ---- the request line ---- */

static void reads_the_request_line(void **state)
{
    static const struct gate_case cases[] = {
        CASE("plain", GET "\r\n", GOT),
        CASE("nothing", "", "more"),
        CASE("incomplete", "GET / HTTP/1.1\r\nHost: h\r\n", "more"),
        CASE("any token is a method", "a!#$%&'*+-.^_`|~9 / HTTP/1.1\r\n" H "\r\n",
             "a!#$%&'*+-.^_`|~9 / h 1.1; Host=h"),
        CASE("methods keep their case", "get / HTTP/1.1\r\n" H "\r\n",
             "get / h 1.1; Host=h"),
        CASE("method of 32", A32 " / HTTP/1.1\r\n" H "\r\n", A32 " / h 1.1; Host=h"),
        CASE("method of 33", A32 "a / HTTP/1.1\r\n" H "\r\n", "501"),
        CASE("endless method", A32 A32 A32, "501"),
        CASE("no method", " / HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("separator in a method", "GE(T / HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("colon in a method", "GET: / HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("high byte in a method", "G\xc3\x8bT / HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("NUL in a method", "G\0T / HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("DEL in a method", "G\x7fT / HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("tab after the method", "GET\t/ HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("two spaces after the method", "GET  / HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("only a method", "GET\r\n", "400"),
        CASE("another method with a C", "COPY / HTTP/1.1\r\n" H "\r\n",
             "COPY / h 1.1; Host=h"),
        CASE("no target", "GET HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("two spaces before the version", "GET /  HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("tab before the version", "GET /\tHTTP/1.1\r\n" H "\r\n", "400"),
        CASE("space after the version", "GET / HTTP/1.1 \r\n" H "\r\n", "400"),
        CASE("a fourth word", "GET / x HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("HTTP/0.9", "GET /\r\n", "400"),
        CASE("HTTP/0.9 and a bare LF", "GET /\n", "400"),
        CASE("HTTP/0.9 and a space", "GET / \r\n", "400"),
        CASE("bare LF", "GET / HTTP/1.1\n" H "\r\n", "400"),
        CASE("bare CR", "GET / HTTP/1.1\rHost: h\r\n\r\n", "400"),
        CASE("two CR", "GET / HTTP/1.1\r\r\n" H "\r\n", "400"),
        CASE("version 1.0", OLD "\r\n", "GET / - 1.0 close"),
        CASE("version 1.2", "GET / HTTP/1.2\r\n" H "\r\n", GOT),
        CASE("version 1.9", "GET / HTTP/1.9\r\n" H "\r\n", GOT),
        CASE("version 2.0", "GET / HTTP/2.0\r\n" H "\r\n", "505"),
        CASE("version 0.9", "GET / HTTP/0.9\r\n" H "\r\n", "505"),
        CASE("version 3.1", "GET / HTTP/3.1\r\n", "505"),
        CASE("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
        CASE("version 1", "GET / HTTP/1\r\n" H "\r\n", "400"),
        CASE("version 1.", "GET / HTTP/1.\r\n" H "\r\n", "400"),
        CASE("version 1.10", "GET / HTTP/1.10\r\n" H "\r\n", "400"),
        CASE("version 01.1", "GET / HTTP/01.1\r\n" H "\r\n", "400"),
        CASE("version 1,1", "GET / HTTP/1,1\r\n" H "\r\n", "400"),
        CASE("version +1.1", "GET / HTTP/+1.1\r\n" H "\r\n", "400"),
        CASE("version 1.a", "GET / HTTP/1.a\r\n" H "\r\n", "400"),
        CASE("lower case", "GET / http/1.1\r\n" H "\r\n", "400"),
        CASE("another protocol", "GET / HTCPCP/1.0\r\n" H "\r\n", "400"),
        CASE("HTTPS/1.1", "GET / HTTPS/1.1\r\n" H "\r\n", "400"),
        CASE("an empty line before", "\r\n" GET "\r\n", GOT),
        CASE("8 empty lines before", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n" GET "\r\n",
             GOT),
        CASE("9 empty lines before", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n" GET "\r\n",
             "400"),
        CASE("only empty lines", "\r\n\r\n", "more"),
        CASE("bare LF before", "\n" GET "\r\n", "400"),
        CASE("bare CR before", "\r" GET "\r\n", "400"),
        CASE("blank line before", " \r\n" GET "\r\n", "400"),
        CASE("TLS", "\x16\x03\x01\x02\x00\x01\x00", "400"),
        CASE("SSH", "SSH-2.0-OpenSSH_9.2\r\n", "400"),
        CASE("SOCKS", "\x05\x01\x00", "400"),
        CASE("NUL first", "\0" GET "\r\n", "400"),
        CASE("byte order mark", "\xef\xbb\xbf" GET "\r\n", "400"),
        CASE("a response", "HTTP/1.1 200 OK\r\n\r\n", "400"),
    };
    (void)state;
    CHECK(cases);
}

/* ---- targets ---- */

#define TARGET(t) "GET " t " HTTP/1.1\r\n" H "\r\n"

static void reads_targets(void **state)
{
    static const struct gate_case cases[] = {
        CASE("path", TARGET("/a/b.c;d=1,2/~e"), "GET /a/b.c;d=1,2/~e h 1.1; Host=h"),
        CASE("query", TARGET("/a?b=c&d"), "GET /a?b=c&d h 1.1; Host=h"),
        CASE("empty query", TARGET("/?"), "GET /? h 1.1; Host=h"),
        CASE("question marks in a query", TARGET("/a?b?c?"),
             "GET /a?b?c? h 1.1; Host=h"),
        CASE("slash in a query", TARGET("/?/a/b"), "GET /?/a/b h 1.1; Host=h"),
        CASE("two slashes", TARGET("//a//b"), "GET //a//b h 1.1; Host=h"),
        CASE("URL in a path", TARGET("/http://x/"), "GET /http://x/ h 1.1; Host=h"),
        CASE("dots stay", TARGET("/a/../b/./c"), "GET /a/../b/./c h 1.1; Host=h"),
        CASE("escapes stay", TARGET("/%41%c3%A4%2f?%26"),
             "GET /%41%c3%A4%2f?%26 h 1.1; Host=h"),
        CASE("all other visible bytes", TARGET("/!\"$&'()*+,-.:;<=>@[\\]^_`{|}~"),
             "GET /!\"$&'()*+,-.:;<=>@[\\]^_`{|}~ h 1.1; Host=h"),
        CASE("fragment", TARGET("/a#b"), "400"),
        CASE("fragment in a query", TARGET("/a?b#c"), "400"),
        CASE("bad escape", TARGET("/%4g"), "400"),
        CASE("bad escape, first digit", TARGET("/%g4"), "400"),
        CASE("bad escape in a query", TARGET("/?%%20"), "400"),
        CASE("short escape", TARGET("/%4"), "400"),
        CASE("shortest escape", TARGET("/%"), "400"),
        CASE("unfinished escape", "GET /%4", "more"),
        CASE("escaped NUL", TARGET("/%00"), "400"),
        CASE("escaped NUL in a query", TARGET("/?a%00"), "400"),
        CASE("%01", TARGET("/%01"), "GET /%01 h 1.1; Host=h"),
        CASE("%10", TARGET("/%10"), "GET /%10 h 1.1; Host=h"),
        CASE("NUL", TARGET("/a\0b"), "400"),
        CASE("control byte", TARGET("/a\x01"), "400"),
        CASE("DEL", TARGET("/a\x7f"), "400"),
        CASE("high byte", TARGET("/\xc3\xa4"), "400"),
        CASE("byte 0xff", TARGET("/\xff"), "400"),
        CASE("relative path", TARGET("a/b"), "400"),
        CASE("only a query", TARGET("?a"), "400"),
        CASE("absolute", TARGET("http://example.org/a?b"),
             "GET /a?b example.org 1.1; Host=h"),
        CASE("absolute https", TARGET("https://example.org:8443/"),
             "GET / example.org:8443 1.1; Host=h"),
        CASE("absolute, any case", TARGET("HtTpS://Example.ORG/A"),
             "GET /A Example.ORG 1.1; Host=h"),
        CASE("absolute without a path", TARGET("http://example.org"),
             "GET / example.org 1.1; Host=h"),
        CASE("absolute, only a query", TARGET("http://example.org?a/b"),
             "GET /?a/b example.org 1.1; Host=h"),
        CASE("absolute, IPv6", TARGET("http://[::1]:80/a"),
             "GET /a [::1]:80 1.1; Host=h"),
        CASE("absolute, one letter", TARGET("http://a/"), "GET / a 1.1; Host=h"),
        CASE("absolute, empty port", TARGET("http://a:/"), "GET / a: 1.1; Host=h"),
        CASE("absolute in 1.0", "GET http://a/b HTTP/1.0\r\n\r\n",
             "GET /b a 1.0 close"),
        CASE("absolute without Host", "GET http://a/b HTTP/1.1\r\n\r\n", "400"),
        CASE("absolute, empty Host", "GET http://a/b HTTP/1.1\r\nHost:\r\n\r\n",
             "GET /b a 1.1; Host="),
        CASE("absolute, bad Host", "GET http://a/b HTTP/1.1\r\nHost: a/b\r\n\r\n",
             "400"),
        CASE("absolute, two slashes more", TARGET("http://a//b"),
             "GET //b a 1.1; Host=h"),
        CASE("absolute, no host", TARGET("http:///a"), "400"),
        CASE("absolute, nothing", TARGET("http://"), "400"),
        CASE("absolute, only a port", TARGET("http://:80/"), "400"),
        CASE("absolute, user", TARGET("http://user@a/"), "400"),
        CASE("absolute, password", TARGET("http://u:p@a/"), "400"),
        CASE("absolute, bad port", TARGET("http://a:x/"), "400"),
        CASE("absolute, large port", TARGET("http://a:65536/"), "400"),
        CASE("absolute, backslash", TARGET("http://a\\b/"), "400"),
        CASE("absolute, one slash", TARGET("http:/a/"), "400"),
        CASE("another scheme", TARGET("ftp://a/"), "400"),
        CASE("scheme with a plus", TARGET("http+unix://a/"), "400"),
        CASE("OPTIONS *", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS * h 1.1; Host=h"),
        CASE("OPTIONS of a path", "OPTIONS /a HTTP/1.1\r\n" H "\r\n",
             "OPTIONS /a h 1.1; Host=h"),
        CASE("OPTIONS of a host", "OPTIONS http://a HTTP/1.1\r\n" H "\r\n",
             "OPTIONS * a 1.1; Host=h"),
        CASE("OPTIONS of a root", "OPTIONS http://a/ HTTP/1.1\r\n" H "\r\n",
             "OPTIONS / a 1.1; Host=h"),
        CASE("OPTIONS of a query", "OPTIONS http://a?b HTTP/1.1\r\n" H "\r\n",
             "OPTIONS /?b a 1.1; Host=h"),
        CASE("OPTIONS *?a", "OPTIONS *?a HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("OPTIONS */a", "OPTIONS */a HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("GET *", TARGET("*"), "400"),
        CASE("options *", "options * HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("CONNECT", "CONNECT a.b:443 HTTP/1.1\r\n" H "\r\n",
             "CONNECT a.b:443 a.b:443 1.1; Host=h"),
        CASE("CONNECT IPv6", "CONNECT [::1]:1 HTTP/1.1\r\n" H "\r\n",
             "CONNECT [::1]:1 [::1]:1 1.1; Host=h"),
        CASE("CONNECT without a port", "CONNECT a HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("CONNECT, empty port", "CONNECT a: HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("CONNECT of a path", "CONNECT /a HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("CONNECT of a URL", "CONNECT http://a:1/ HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("CONNECT, query", "CONNECT a:1?b HTTP/1.1\r\n" H "\r\n", "400"),
        CASE("GET of an authority", TARGET("a.b:443"), "400"),
    };
    (void)state;
    CHECK(cases);
}

/* ---- header lines ---- */

static void reads_headers(void **state)
{
    static const struct gate_case cases[] = {
        CASE("none in 1.0", OLD "\r\n", "GET / - 1.0 close"),
        CASE("blanks around a value", GET "A: \t b  c\t \r\n\r\n", GOT "; A=b  c"),
        CASE("no blank before a value", GET "A:b\r\n\r\n", GOT "; A=b"),
        CASE("tab within a value", GET "A: b\tc\t\td\r\n\r\n", GOT "; A=b c  d"),
        CASE("empty value", GET "A:\r\nB: \t \r\nC:c\r\n\r\n", GOT "; A=; B=; C=c"),
        CASE("colons in a value", GET "A: b:c::\r\n\r\n", GOT "; A=b:c::"),
        CASE("high bytes in a value", GET "A: \x80\xc3\xa4\xff~\r\n\r\n",
             GOT "; A=\x80\xc3\xa4\xff~"),
        CASE("0xff at every place of a word",
             GET "A: \xff\xff~\xff\xff\xff~~\xff~\xff\xff\xff\xff~\xff~\r\n\r\n",
             GOT "; A=\xff\xff~\xff\xff\xff~~\xff~\xff\xff\xff\xff~\xff~"),
        CASE("long value", GET "A: " A32 " " A32 "\r\n\r\n", GOT "; A=" A32 " " A32),
        CASE("any token is a name", GET "!#$%&'*+-.^_`|~0aZ: b\r\n\r\n",
             GOT "; !#$%&'*+-.^_`|~0aZ=b"),
        CASE("the same name twice", GET "A: b\r\nA: c\r\n\r\n", GOT "; A=b; A=c"),
        CASE("space before the colon", GET "A : b\r\n\r\n", "400"),
        CASE("tab before the colon", GET "A\t: b\r\n\r\n", "400"),
        CASE("no colon", GET "A\r\n\r\n", "400"),
        CASE("no name", GET ": b\r\n\r\n", "400"),
        CASE("space in a name", GET "A B: c\r\n\r\n", "400"),
        CASE("high byte in a name", GET "\xc3\xa4: b\r\n\r\n", "400"),
        CASE("slash in a name", GET "A/B: c\r\n\r\n", "400"),
        CASE("parenthesis in a name", GET "A(: c\r\n\r\n", "400"),
        CASE("NUL in a name", GET "A\0B: c\r\n\r\n", "400"),
        CASE("folded line", GET "A: b\r\n c\r\n\r\n", "400"),
        CASE("folded line, tab", GET "A: b\r\n\tc\r\n\r\n", "400"),
        CASE("line of blanks", GET "A: b\r\n \r\n\r\n", "400"),
        CASE("blank before the first name",
             "GET / HTTP/1.1\r\n Host: h\r\nHost: h\r\n\r\n", "400"),
        CASE("bare LF after a value", GET "A: b\n\r\n", "400"),
        CASE("bare LF after a name", GET "A\n\r\n", "400"),
        CASE("bare LF at the end", GET "\n", "400"),
        CASE("LF LF at the end", GET "A: b\n\n", "400"),
        CASE("bare CR in a value", GET "A: b\rc\r\n\r\n", "400"),
        CASE("bare CR before a value", GET "A: \rb\r\n\r\n", "400"),
        CASE("bare CR at the end", GET "\rX", "400"),
        CASE("two CR in a value", GET "A: b\r\r\n\r\n", "400"),
        CASE("NUL in a value", GET "A: b\0c\r\n\r\n", "400"),
        CASE("NUL deep in a value", GET "A: bbbbbbbbbbbbb\0c\r\n\r\n", "400"),
        CASE("DEL in a value", GET "A: b\x7f\r\n\r\n", "400"),
        CASE("DEL deep in a value", GET "A: bbbbbbbbbb\x7f" A8 "\r\n\r\n", "400"),
        CASE("ESC in a value", GET "A: \x1b[31m\r\n\r\n", "400"),
        CASE("control byte in a value", GET "A: b\x01\r\n\r\n", "400"),
        CASE("form feed in a value", GET "A: b\x0c\r\n\r\n", "400"),
        CASE("unfinished value", GET "A: b", "more"),
        CASE("unfinished end", GET "\r", "more"),
    };
    (void)state;
    CHECK(cases);
}

/* ---- Host ---- */

#define HOST(h) "GET / HTTP/1.1\r\nHost: " h "\r\n\r\n"
#define HOSTED(h) "GET / " h " 1.1; Host=" h

static void reads_host(void **state)
{
    static const struct gate_case cases[] = {
        CASE("name", HOST("example.org"), HOSTED("example.org")),
        CASE("name and port", HOST("a.b:8000"), HOSTED("a.b:8000")),
        CASE("IPv4", HOST("127.0.0.1:80"), HOSTED("127.0.0.1:80")),
        CASE("IPv6", HOST("[::1]"), HOSTED("[::1]")),
        CASE("IPv6 and port", HOST("[fe80::1:2]:443"), HOSTED("[fe80::1:2]:443")),
        CASE("IPv6 in full", HOST("[1:2:3:4:5:6:7:8]"), HOSTED("[1:2:3:4:5:6:7:8]")),
        CASE("IPv4 in IPv6", HOST("[::ffff:1.2.3.4]:1"), HOSTED("[::ffff:1.2.3.4]:1")),
        CASE("empty port", HOST("a:"), HOSTED("a:")),
        CASE("largest port", HOST("a:65535"), HOSTED("a:65535")),
        CASE("underscore", HOST("a_b"), HOSTED("a_b")),
        CASE("escapes", HOST("%61%2d"), HOSTED("%61%2d")),
        CASE("sub-delims", HOST("!$&'()*+,;=~"), HOSTED("!$&'()*+,;=~")),
        CASE("empty", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET /  1.1; Host="),
        CASE("any case", "GET / HTTP/1.1\r\nhOST: A\r\n\r\n", "GET / A 1.1; hOST=A"),
        CASE("in 1.0", OLD "Host: h\r\n\r\n", "GET / h 1.0 close; Host=h"),
        CASE("last", "GET / HTTP/1.1\r\nA: b\r\nHost: h\r\n\r\n",
             "GET / h 1.1; A=b; Host=h"),
        CASE("missing", "GET / HTTP/1.1\r\n\r\n", "400"),
        CASE("missing in 1.2", "GET / HTTP/1.2\r\nA: b\r\n\r\n", "400"),
        CASE("two", GET "Host: i\r\n\r\n", "400"),
        CASE("the same twice", GET "Host: h\r\n\r\n", "400"),
        CASE("two in 1.0", OLD "Host: h\r\nHost: h\r\n\r\n", "400"),
        CASE("two, the first empty", "GET / HTTP/1.1\r\nHost:\r\n" H "\r\n", "400"),
        CASE("list", HOST("a, b"), "400"),
        CASE("space", HOST("a b"), "400"),
        CASE("tab", HOST("a\tb"), "400"),
        CASE("path", HOST("a/b"), "400"),
        CASE("URL", HOST("http://a"), "400"),
        CASE("user", HOST("u@a"), "400"),
        CASE("query", HOST("a?b"), "400"),
        CASE("fragment", HOST("a#b"), "400"),
        CASE("backslash", HOST("a\\b"), "400"),
        CASE("quote", HOST("a\"b"), "400"),
        CASE("high byte", HOST("\xc3\xa4"), "400"),
        CASE("only a port", HOST(":80"), "400"),
        CASE("port of letters", HOST("a:b"), "400"),
        CASE("negative port", HOST("a:-1"), "400"),
        CASE("two ports", HOST("a:1:2"), "400"),
        CASE("large port", HOST("a:65536"), "400"),
        CASE("long port", HOST("a:000001"), "400"),
        CASE("bad escape", HOST("a%4"), "400"),
        CASE("escaped NUL", HOST("a%00"), "400"),
        CASE("IPv6 without brackets", HOST("::1"), "400"),
        CASE("IPv6, open", HOST("[::1"), "400"),
        CASE("IPv6, empty", HOST("[]"), "400"),
        CASE("IPv6, bad", HOST("[:::1]"), "400"),
        CASE("IPv6, long", HOST("[1:2:3:4:5:6:7:8:9]"), "400"),
        CASE("IPv6 and a name", HOST("[::1]a"), "400"),
        CASE("IPv6, zone", HOST("[fe80::1%25eth0]"), "400"),
        CASE("IPv6, very long", HOST("[" A32 A32 "]"), "400"),
        CASE("future address", HOST("[v1.a]"), "400"),
    };
    (void)state;
    CHECK(cases);
}

/* ---- the length of the body ---- */

#define LENGTH(n) "Content-Length: " n "\r\n"
#define CODING(c) "Transfer-Encoding: " c "\r\n"
#define LENGTHY(text, n) POSTED " length=" text "; Host=h; Content-Length=" n

static void reads_lengths(void **state)
{
    static const struct gate_case cases[] = {
        CASE("5", POST LENGTH("5") "\r\n", LENGTHY("5", "5")),
        CASE("0", POST LENGTH("0") "\r\n", LENGTHY("0", "0")),
        CASE("leading zeros", POST LENGTH("0005") "\r\n", LENGTHY("5", "0005")),
        CASE("largest", POST LENGTH("9223372036854775807") "\r\n",
             LENGTHY("9223372036854775807", "9223372036854775807")),
        CASE("one more", POST LENGTH("9223372036854775808") "\r\n", "400"),
        CASE("19 nines", POST LENGTH("9999999999999999999") "\r\n", "400"),
        CASE("20 digits", POST LENGTH("00000000000000000005") "\r\n", "400"),
        CASE("2 to the 64th", POST LENGTH("18446744073709551616") "\r\n", "400"),
        CASE("any case", POST "cONTENT-lENGTH:5\r\n\r\n",
             POSTED " length=5; Host=h; cONTENT-lENGTH=5"),
        CASE("in 1.0", "POST / HTTP/1.0\r\n" LENGTH("5") "\r\n",
             "POST / - 1.0 close length=5; Content-Length=5"),
        CASE("of a GET", GET LENGTH("5") "\r\n",
             "GET / h 1.1 length=5; Host=h; Content-Length=5"),
        CASE("empty", POST LENGTH("") "\r\n", "400"),
        CASE("plus", POST LENGTH("+5") "\r\n", "400"),
        CASE("minus", POST LENGTH("-5") "\r\n", "400"),
        CASE("hexadecimal", POST LENGTH("0x5") "\r\n", "400"),
        CASE("letters after", POST LENGTH("5abc") "\r\n", "400"),
        CASE("point", POST LENGTH("5.0") "\r\n", "400"),
        CASE("space within", POST LENGTH("5 5") "\r\n", "400"),
        CASE("exponent", POST LENGTH("1e3") "\r\n", "400"),
        CASE("underscore", POST LENGTH("1_0") "\r\n", "400"),
        CASE("other digits", POST LENGTH("\xd9\xa5") "\r\n", "400"),
        CASE("list", POST LENGTH("5, 5") "\r\n", "400"),
        CASE("comma", POST LENGTH("5,") "\r\n", "400"),
        CASE("twice the same", POST LENGTH("5") LENGTH("5") "\r\n", "400"),
        CASE("two", POST LENGTH("5") LENGTH("6") "\r\n", "400"),
        CASE("0 and another", POST LENGTH("0") LENGTH("5") "\r\n", "400"),
        CASE("chunked", POST CODING("chunked") "\r\n",
             POSTED " chunked; Host=h; Transfer-Encoding=chunked"),
        CASE("Chunked", POST CODING("\tCHUNKed ") "\r\n",
             POSTED " chunked; Host=h; Transfer-Encoding=CHUNKed"),
        CASE("coding, any case", POST "transfer-ENCODING:chunked\r\n\r\n",
             POSTED " chunked; Host=h; transfer-ENCODING=chunked"),
        CASE("length, coding", POST LENGTH("5") CODING("chunked") "\r\n", "400"),
        CASE("coding, length", POST CODING("chunked") LENGTH("5") "\r\n", "400"),
        CASE("length 0, coding", POST LENGTH("0") CODING("chunked") "\r\n", "400"),
        CASE("coding in 1.0", "POST / HTTP/1.0\r\n" CODING("chunked") "\r\n", "400"),
        CASE("empty coding", POST CODING("") "\r\n", "400"),
        CASE("chunked, chunked", POST CODING("chunked, chunked") "\r\n", "400"),
        CASE("chunked twice", POST CODING("chunked") CODING("chunked") "\r\n", "400"),
        CASE("chunked, gzip", POST CODING("chunked, gzip") "\r\n", "400"),
        CASE("chunked and a comma", POST CODING("chunked,") "\r\n", "400"),
        CASE("comma and chunked", POST CODING(",chunked") "\r\n", "400"),
        CASE("chunked;a=b", POST CODING("chunked;a=b") "\r\n", "400"),
        CASE("two words", POST CODING("chunked chunked") "\r\n", "400"),
        CASE("quoted", POST CODING("\"chunked\"") "\r\n", "400"),
        CASE("chunked=1", POST CODING("chunked=1") "\r\n", "400"),
        CASE("vertical tab",
             POST CODING("\x0b"
                         "chunked") "\r\n",
             "400"),
        CASE("gzip", POST CODING("gzip") "\r\n", "501"),
        CASE("gzip, chunked", POST CODING("gzip, chunked") "\r\n", "501"),
        CASE("gzip;q=1", POST CODING("gzip;q=1") "\r\n", "501"),
        CASE("gzip in a line of its own", POST CODING("gzip") CODING("chunked") "\r\n",
             "501"),
        CASE("chunked, then gzip", POST CODING("chunked") CODING("gzip") "\r\n", "400"),
        CASE("identity", POST CODING("identity") "\r\n", "501"),
        CASE("xchunked", POST CODING("xchunked") "\r\n", "501"),
        CASE("chunke", POST CODING("chunke") "\r\n", "501"),
        CASE("chunkee", POST CODING("chunkee") "\r\n", "501"),
        CASE("blank before the colon", POST "Transfer-Encoding : chunked\r\n\r\n",
             "400"),
        CASE("another name", POST "Transfer_Encoding: chunked\r\n\r\n",
             POSTED "; Host=h; Transfer_Encoding=chunked"),
        CASE("a name like it", POST "Transfer-EncodinG2: gzip\r\n\r\n",
             POSTED "; Host=h; Transfer-EncodinG2=gzip"),
    };
    (void)state;
    CHECK(cases);
}

/* ---- Connection, Expect, Upgrade ---- */

#define CONNECTION(c) "Connection: " c "\r\n"
#define WS "Upgrade: websocket\r\n"

static void reads_connection(void **state)
{
    static const struct gate_case cases[] = {
        CASE("close", GET CONNECTION("close") "\r\n",
             "GET / h 1.1 close; Host=h; Connection=close"),
        CASE("Close", GET "cOnNeCtIoN: CLOSE\r\n\r\n",
             "GET / h 1.1 close; Host=h; cOnNeCtIoN=CLOSE"),
        CASE("keep-alive", GET CONNECTION("keep-alive") "\r\n",
             GOT "; Connection=keep-alive"),
        CASE("keep-alive in 1.0", OLD CONNECTION("Keep-Alive") "\r\n",
             "GET / - 1.0; Connection=Keep-Alive"),
        CASE("close in 1.0", OLD CONNECTION("close") "\r\n",
             "GET / - 1.0 close; Connection=close"),
        CASE("close in a list", GET CONNECTION("a, close ,b") "\r\n",
             "GET / h 1.1 close; Host=h; Connection=a, close ,b"),
        CASE("close in a later line", GET CONNECTION("a") CONNECTION("close") "\r\n",
             "GET / h 1.1 close; Host=h; Connection=a; Connection=close"),
        CASE("close wins", GET CONNECTION("close") CONNECTION("keep-alive") "\r\n",
             "GET / h 1.1 close; Host=h; Connection=close; Connection=keep-alive"),
        CASE("close wins in 1.0", OLD CONNECTION("keep-alive, close") "\r\n",
             "GET / - 1.0 close; Connection=keep-alive, close"),
        CASE("keep-alive in a list in 1.0", OLD CONNECTION("te,\tkeep-alive") "\r\n",
             "GET / - 1.0; Connection=te, keep-alive"),
        CASE("empty elements", GET CONNECTION(", ,a,,close,") "\r\n",
             "GET / h 1.1 close; Host=h; Connection=, ,a,,close,"),
        CASE("empty", GET CONNECTION("") "\r\n", GOT "; Connection="),
        CASE("closed is not close", GET CONNECTION("closed, xclose") "\r\n",
             GOT "; Connection=closed, xclose"),
        CASE("as long as keep-alive", GET CONNECTION("keep-alivf") "\r\n",
             GOT "; Connection=keep-alivf"),
        CASE("two words", GET CONNECTION("a close") "\r\n", "400"),
        CASE("semicolon", GET CONNECTION("close;a") "\r\n", "400"),
        CASE("quoted", GET CONNECTION("\"close\"") "\r\n", "400"),
        CASE("high byte", GET CONNECTION("close\xa0") "\r\n", "400"),
        CASE("websocket", GET CONNECTION("Upgrade") WS "\r\n",
             "GET / h 1.1 upgrade; Host=h; Connection=Upgrade; Upgrade=websocket"),
        CASE("upgrade in a list", GET WS CONNECTION("keep-alive, upgrade") "\r\n",
             "GET / h 1.1 upgrade; Host=h; Upgrade=websocket; "
             "Connection=keep-alive, upgrade"),
        CASE("upgrade not named", GET WS "\r\n", GOT "; Upgrade=websocket"),
        CASE("upgrade only named", GET CONNECTION("upgrade") "\r\n",
             GOT "; Connection=upgrade"),
        CASE("empty upgrade", GET CONNECTION("upgrade") "Upgrade:\r\n\r\n",
             GOT "; Connection=upgrade; Upgrade="),
        CASE("upgrade in 1.0", OLD CONNECTION("upgrade") WS "\r\n",
             "GET / - 1.0 close; Connection=upgrade; Upgrade=websocket"),
        CASE("upgrade with a body", POST CONNECTION("upgrade") WS LENGTH("1") "\r\n",
             "400"),
        CASE("upgrade with chunks",
             POST CODING("chunked") CONNECTION("upgrade") WS "\r\n", "400"),
        CASE("upgrade and length 0", GET CONNECTION("upgrade") WS LENGTH("0") "\r\n",
             "GET / h 1.1 length=0 upgrade; Host=h; Connection=upgrade; "
             "Upgrade=websocket; Content-Length=0"),
        CASE("body, upgrade not named", POST WS LENGTH("1") "\r\n",
             POSTED " length=1; Host=h; Upgrade=websocket; Content-Length=1"),
        CASE("expect", POST "Expect: 100-continue\r\n\r\n",
             POSTED " continue; Host=h; Expect=100-continue"),
        CASE("expect, any case", POST "EXPECT: 100-Continue\r\n\r\n",
             POSTED " continue; Host=h; EXPECT=100-Continue"),
        CASE("expect in 1.0", OLD "Expect: 100-continue\r\n\r\n",
             "GET / - 1.0 close; Expect=100-continue"),
        CASE("another expectation", POST "Expect: 200-ok\r\n\r\n", "417"),
        CASE("expectation as long", POST "Expect: 100-continua\r\n\r\n", "417"),
        CASE("two expectations", POST "Expect: 100-continue, a\r\n\r\n", "417"),
        CASE("longer expectation", POST "Expect: 100-continued\r\n\r\n", "417"),
        CASE("empty expectation", POST "Expect:\r\n\r\n", "417"),
        CASE("expectation twice",
             POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
             POSTED " continue; Host=h; Expect=100-continue; Expect=100-continue"),
    };
    (void)state;
    CHECK(cases);
}

/* ---- limits ---- */

/* Feeds a head with some limits, whole and byte by byte, which must agree. */
static int verdict_within(struct gn_gate_limits l, const char *bytes, size_t len)
{
    struct gn_gate whole, slow;
    char *a = malloc(len), *b = malloc(len);
    memcpy(a, bytes, len);
    memcpy(b, bytes, len);
    gn_gate_init(&whole, l);
    gn_gate_init(&slow, l);
    int verdict = gn_gate_feed(&whole, a, len), slowly = 0;
    for (size_t n = 1; n <= len && slowly == 0; n++)
        slowly = gn_gate_feed(&slow, b, n);
    assert_int_equal(verdict, slowly);
    free(a);
    free(b);
    return verdict;
}

static void bounds_the_head(void **state)
{
    static const char head[] = GET "Abc: defgh\r\n\r\n";
    const int n = sizeof head - 1;
    struct gn_gate_limits l = limits;
    (void)state;
    l.head = n;
    assert_int_equal(verdict_within(l, head, n), n);
    for (l.head = 15; l.head < (size_t)n; l.head++)
        assert_int_equal(verdict_within(l, head, n), -431);
    l.head = 8;
    assert_int_equal(verdict_within(l, "GET /abcdefgh", 13), -414);
    assert_int_equal(verdict_within(l, "\r\n\r\n\r\n\r\n\r\n", 10), -431);
}

static void bounds_the_target(void **state)
{
    struct gn_gate_limits l = limits;
    (void)state;
    l.target = 8;
    assert_true(verdict_within(l, TARGET("/234?678"), sizeof TARGET("/234?678") - 1) >
                0);
    assert_true(verdict_within(l, TARGET("/2345%20"), sizeof TARGET("/2345%20") - 1) >
                0);
    assert_int_equal(verdict_within(l, "GET /23456789", 13), -414);
    assert_int_equal(verdict_within(l, "GET /2345678? ", 14), -414);
    assert_int_equal(verdict_within(l, "GET /23456%20 ", 14), -414);
    assert_int_equal(verdict_within(l, "GET /23456%zz", 13), -400);
    assert_int_equal(verdict_within(l, "GET /23456789%zz", 16), -414);
    assert_int_equal(verdict_within(l, "GET /23456789\x01", 14), -414);
}

static int verdict_of_headers(int limit, int count)
{
    char head[TEXT_MAX] = GET;
    struct gn_gate_limits l = limits;
    l.headers = limit;
    for (int i = 1; i < count; i++)
        strcat(head, "A: b\r\n");
    strcat(head, "\r\n");
    return verdict_within(l, head, strlen(head));
}

static void bounds_the_headers(void **state)
{
    (void)state;
    assert_true(verdict_of_headers(3, 3) > 0);
    assert_int_equal(verdict_of_headers(3, 4), -431);
    assert_true(verdict_of_headers(GN_HEADERS, GN_HEADERS) > 0);
    assert_int_equal(verdict_of_headers(GN_HEADERS, GN_HEADERS + 1), -431);
    assert_int_equal(verdict_of_headers(10000, GN_HEADERS + 1), -431);
}

/* ---- when and where ---- */

/* The last byte of each is the first that nobody may send. */
static void refuses_at_once(void **state)
{
    static const char *const heads[] = {
        "\x16",
        "\n",
        "\x80",
        " ",
        "\rG",
        "GET\n",
        "GET  ",
        "GET /\x80",
        "GET /#",
        "GET /%00",
        "GET / h",
        "GET / HTTP/1.1\n",
        GET "A\n",
        GET "A: b\n",
        GET "A: b\rc",
        GET "\n",
        GET "A: b\x01",
        GET "A ",
        GET ":",
        GET " ",
        GET "Host: h\r\n",
        "GET / HTTP/2.0\r\n",
        "GET * HTTP/1.1\r\n",
        POST CODING("gzip"),
    };
    (void)state;
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct gn_gate g;
        char buf[256];
        size_t len = strlen(heads[i]);
        memcpy(buf, heads[i], len);
        gn_gate_init(&g, limits);
        assert_int_equal(gn_gate_feed(&g, buf, len - 1), 0);
        if (gn_gate_feed(&g, buf, len) >= 0)
            fail_msg("\"%s\" is taken", heads[i]);
    }
}

static void never_reads_past_the_end(void **state)
{
    static const char head[] =
        "POST http://a.b:80/c%20d?e HTTP/1.1\r\nHost: [::1]:80\r\n"
        "Connection: keep-alive, close\r\nA:\t b\tc \r\n"
        "Transfer-Encoding: chunked\r\nB:\r\n\r\n";
    (void)state;
    for (size_t n = 0; n < sizeof head; n++) {
        struct gn_gate g;
        char *buf = malloc(n ? n : 1);
        memcpy(buf, head, n);
        gn_gate_init(&g, limits);
        assert_int_equal(gn_gate_feed(&g, buf, n), n + 1 == sizeof head ? (int)n : 0);
        free(buf);
    }
}

static void tells_why(void **state)
{
    struct gn_gate g;
    char tls[] = "\x16\x03\x01",
         body[] = POST CONNECTION("upgrade") WS LENGTH("1") "\r\n";
    (void)state;
    gn_gate_init(&g, limits);
    assert_int_equal(gn_gate_feed(&g, tls, sizeof tls - 1), -400);
    assert_non_null(strstr(g.reason, "TLS"));
    gn_gate_init(&g, limits);
    assert_int_equal(gn_gate_feed(&g, body, sizeof body - 1), -400);
    assert_string_equal(g.reason, "Upgrade with a body");
}

/* ---- the table of bytes, against the grammars as they are written ---- */

static bool among(int c, const char *set)
{
    return c && strchr(set, c);
}

static unsigned class_of(int c)
{
    bool digit = c >= '0' && c <= '9';
    bool alnum = digit || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    unsigned class = 0;
    class |= alnum || among(c, "!#$%&'*+-.^_`|~") ? GN_TOKEN : 0;
    class |= c > ' ' && c < 0x7f && !among(c, "#%?") ? GN_TARGET : 0;
    class |= alnum || among(c, "-._~!$&'()*+,;=") ? GN_HOST : 0;
    class |= digit || among(c, "abcdefABCDEF") ? GN_HEX : 0;
    class |= digit ? GN_DIGIT : 0;
    class |= c >= ' ' && c != 0x7f ? GN_TEXT : 0;
    return class;
}

static void knows_the_bytes(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++)
        assert_int_equal(gn_bytes[c], class_of(c));
}

/* Each byte at each place of an eight-byte word of a value. */
static void knows_the_bytes_of_values(void **state)
{
    (void)state;
    for (int place = 0; place < 17; place++)
        for (int c = 0; c < 256; c++) {
            char head[] = OLD "A: b2345678901234567\r\n\r\n";
            struct gn_gate g;
            head[sizeof OLD "A: " - 1 + place] = c;
            gn_gate_init(&g, limits);
            int verdict = gn_gate_feed(&g, head, sizeof head - 1);
            bool good = c == '\t' || class_of(c) & GN_TEXT;
            assert_int_equal(verdict, good ? (int)sizeof head - 1 : -400);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_request_line),
        cmocka_unit_test(reads_targets),
        cmocka_unit_test(reads_headers),
        cmocka_unit_test(reads_host),
        cmocka_unit_test(reads_lengths),
        cmocka_unit_test(reads_connection),
        cmocka_unit_test(bounds_the_head),
        cmocka_unit_test(bounds_the_target),
        cmocka_unit_test(bounds_the_headers),
        cmocka_unit_test(refuses_at_once),
        cmocka_unit_test(never_reads_past_the_end),
        cmocka_unit_test(tells_why),
        cmocka_unit_test(knows_the_bytes),
        cmocka_unit_test(knows_the_bytes_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
