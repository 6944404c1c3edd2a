#include "gate.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdint.h>
#include <string.h>

enum { METHOD_MAX = 32, EMPTY_LINES_MAX = 8, PORT_DIGITS = 5, LENGTH_DIGITS = 19 };

/* A byte in every place of a word: ONES * byte. */
static const uint64_t ONES = UINT64_MAX / 255;

enum state { START, METHOD, TARGET, VERSION, LINE, NAME, INDENT, VALUE };

/* Connection options that mean something here. */
enum { CLOSE = 1, KEEP_ALIVE = 2, UPGRADE = 4 };

/* clang-format off */
const unsigned char gn_bytes[256] = {
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, /* 0x00 */
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, /* 0x10 */
    32, 39, 34, 33, 39, 33, 39, 39, 38, 38, 39, 39, 38, 39, 39, 34, /* 0x20 */
    63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 34, 38, 34, 38, 34, 32, /* 0x30 */
    34, 47, 47, 47, 47, 47, 47, 39, 39, 39, 39, 39, 39, 39, 39, 39, /* 0x40 */
    39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 34, 34, 34, 35, 39, /* 0x50 */
    35, 47, 47, 47, 47, 47, 47, 39, 39, 39, 39, 39, 39, 39, 39, 39, /* 0x60 */
    39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 39, 34, 35, 34, 39,  0, /* 0x70 */
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, /* 0x80 */
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, /* 0x90 */
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, /* 0xA0 */
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, /* 0xB0 */
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, /* 0xC0 */
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, /* 0xD0 */
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, /* 0xE0 */
    32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, 32, /* 0xF0 */
};
/* clang-format on */

/* ---- how a reader ends: 1 to go on, 0 when the bytes have ended, or a refusal ---- */

static int refuse(struct gn_gate *g, int status, const char *reason)
{
    g->reason = reason;
    return -status;
}

/* What is at `p` cannot be told before more has come. */
static int wait_at(struct gn_gate *g, enum state state, char *p)
{
    g->at = p;
    g->state = state;
    return 0;
}

static int go_on(struct gn_gate *g, enum state state, char *p)
{
    wait_at(g, state, p);
    return 1;
}

static bool is(char c, unsigned class)
{
    return gn_bytes[(unsigned char)c] & class;
}

/* Returns the first byte that is not of the class, or the end. */
static const char *find_other(const char *p, const char *end, unsigned class)
{
    for (; end - p >= 4; p += 4) {
        if (!is(p[0], class))
            return p;
        if (!is(p[1], class))
            return p + 1;
        if (!is(p[2], class))
            return p + 2;
        if (!is(p[3], class))
            return p + 3;
    }
    while (p < end && is(*p, class))
        p++;
    return p;
}

/* The same from `p` on to the end of what has come. */
static char *skip(struct gn_gate *g, char *p, unsigned class)
{
    return (char *)find_other(p, g->end, class);
}

static uint64_t load(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* Compares `n` bytes of text, where control bytes do not count, with a name in lower
 * case. Unlike strcasecmp() it is the same in every locale. Reads all `n` bytes. */
static bool same(const char *text, const char *name, size_t n)
{
    for (; n >= 8; n -= 8, text += 8, name += 8)
        if ((load(text) | ONES * 0x20) != load(name))
            return false;
    for (; n; n--)
        if ((*text++ | 0x20) != *name++)
            return false;
    return true;
}

/* Looks at the CRLF whose CR is at `p`. */
static int check_crlf(struct gn_gate *g, enum state state, char *p)
{
    if (g->end - p < 2)
        return wait_at(g, state, p);
    return p[1] == '\n' ? 1 : refuse(g, 400, "A CR stands without its LF.");
}

/* ---- authorities: "example.org", "[::1]:8080" ---- */

static bool is_escape(const char *p, const char *end)
{
    return end - p >= 3 && is(p[1], GN_HEX) && is(p[2], GN_HEX) &&
           (p[1] != '0' || p[2] != '0');
}

/* Returns what follows the IPv6 address in brackets, or NULL. */
static const char *skip_ipv6(const char *p, const char *end)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    const char *bracket = memchr(p, ']', end - p);
    size_t n = bracket ? (size_t)(bracket - p - 1) : sizeof text;
    if (n >= sizeof text)
        return NULL;
    memcpy(text, p + 1, n);
    text[n] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1 ? bracket + 1 : NULL;
}

static const char *skip_name(const char *p, const char *end)
{
    p = find_other(p, end, GN_HOST);
    while (p < end && *p == '%' && is_escape(p, end))
        p = find_other(p + 3, end, GN_HOST);
    return p;
}

static bool is_port(const char *p, const char *end)
{
    int port = 0;
    if (end - p > PORT_DIGITS)
        return false;
    for (; p < end; p++) {
        if (!is(*p, GN_DIGIT))
            return false;
        port = port * 10 + (*p - '0');
    }
    return port <= 65535;
}

/* A host that is not empty, and perhaps a port, which may be empty unless asked for. */
static bool is_authority(const char *p, size_t n, bool port_needed)
{
    const char *end = p + n;
    const char *colon = n && *p == '[' ? skip_ipv6(p, end) : skip_name(p, end);
    if (!colon || colon == p)
        return false;
    if (colon == end)
        return !port_needed;
    return *colon == ':' && is_port(colon + 1, end) &&
           (!port_needed || colon + 1 < end);
}

/* ---- the four forms of a target ---- */

static bool is_method(const struct gn_gate *g, const char *name)
{
    return *g->head.method == *name && !strcmp(g->head.method, name);
}

static int split_authority(struct gn_gate *g)
{
    if (g->query || !is_authority(g->target, strlen(g->target), true))
        return refuse(g, 400, "The target of CONNECT is not a host and a port.");
    g->head.target = g->head.host = g->target;
    return 1;
}

/* The version follows the target: there are eight bytes. */
static char *skip_scheme(char *target)
{
    if (same(target, "http://", 7))
        return target + 7;
    return same(target, "https://", 8) ? target + 8 : NULL;
}

/* Moves the authority over the last '/' before it, to make room for its NUL. */
static int split_absolute(struct gn_gate *g)
{
    char *authority = skip_scheme(g->target);
    if (!authority)
        return refuse(g, 400, "The target is neither a path nor an http URL.");
    size_t n = strcspn(authority, "/");
    if (!is_authority(authority, n, false))
        return refuse(g, 400, "The URL in the request line has no valid host.");
    const char *none = g->query || !is_method(g, "OPTIONS") ? "/" : "*";
    g->head.target = authority[n] ? authority + n : none;
    memmove(authority - 1, authority, n);
    authority[n - 1] = '\0';
    g->head.host = authority - 1;
    return 1;
}

static int split_target(struct gn_gate *g)
{
    if (g->query) {
        *g->query = '\0';
        g->head.query = g->query + 1;
    }
    g->head.target = g->target;
    if (is_method(g, "CONNECT"))
        return split_authority(g);
    if (*g->target == '/')
        return 1;
    if (!strcmp(g->target, "*") && !g->query && is_method(g, "OPTIONS"))
        return 1;
    return split_absolute(g);
}

/* ---- the request line, backwards: each reader ends in the next ---- */

static int end_version(struct gn_gate *g, char *p)
{
    if (p[-5] != '1')
        return refuse(g, 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
    g->head.minor = p[-3] != '0';
    int rc = split_target(g);
    return rc > 0 ? go_on(g, LINE, p) : rc;
}

static int read_version(struct gn_gate *g, char *p)
{
    static const char pattern[] = "HTTP/0.0\r\n"; /* 0 for any digit */
    if (g->end - g->start >= 10 && !memcmp(g->start, "HTTP/1.1\r\n", 10))
        p = g->start + 10;
    for (; p < g->end && p - g->start < 10; p++) {
        char expected = pattern[p - g->start];
        if (*p != expected && !(expected == '0' && is(*p, GN_DIGIT)))
            return refuse(g, 400, "The request line does not end in \"HTTP/1.1\".");
    }
    return p - g->start == 10 ? end_version(g, p) : wait_at(g, VERSION, p);
}

static int read_escape(struct gn_gate *g, char *p)
{
    if (g->end - p < 3)
        return wait_at(g, TARGET, p);
    if (!is_escape(p, g->end))
        return refuse(g, 400,
                      "A % in the target is not followed by two hexadecimal "
                      "digits, or it says NUL.");
    return go_on(g, TARGET, p + 3);
}

static int refuse_target(struct gn_gate *g, char c)
{
    if (c == '#')
        return refuse(g, 400, "The target has a fragment (#), which is never sent.");
    if (c == '\r' || c == '\n')
        return refuse(g, 400, "The request line has no version, or is HTTP/0.9.");
    return refuse(g, 400, "The target has a byte that must be percent-encoded.");
}

static int end_target(struct gn_gate *g, char *p)
{
    if (p == g->target)
        return refuse(g, 400, "More than one space follows the method.");
    *p++ = '\0';
    g->start = p;
    return read_version(g, p);
}

static int read_target(struct gn_gate *g, char *p)
{
    p = skip(g, p, GN_TARGET);
    if ((size_t)(p - g->target) > g->limits.target)
        return refuse(g, 414, "The target is too long.");
    if (p == g->end)
        return wait_at(g, TARGET, p);
    switch (*p) {
    case ' ':
        return end_target(g, p);
    case '%':
        return read_escape(g, p);
    case '?':
        if (!g->query)
            g->query = p;
        return go_on(g, TARGET, p + 1);
    default:
        return refuse_target(g, *p);
    }
}

static int read_method(struct gn_gate *g, char *p)
{
    p = skip(g, p, GN_TOKEN);
    if (p - g->start > METHOD_MAX)
        return refuse(g, 501, "The method is longer than any known one.");
    if (p == g->end)
        return wait_at(g, METHOD, p);
    if (*p != ' ' || p == g->start)
        return refuse(g, 400, "The request does not begin with a method and a space.");
    *p++ = '\0';
    g->head.method = g->start;
    g->target = p;
    return read_target(g, p);
}

static int read_start(struct gn_gate *g, char *p)
{
    if (*p == 0x16)
        return refuse(g, 400, "This is TLS (https), but the port speaks plain HTTP.");
    if (*p != '\r') {
        g->start = p;
        return read_method(g, p);
    }
    int rc = check_crlf(g, START, p);
    if (rc > 0 && ++g->empty_lines > EMPTY_LINES_MAX)
        return refuse(g, 400, "Too many empty lines come before the request.");
    return rc > 0 ? go_on(g, START, p + 2) : rc;
}

/* ---- what single headers say ---- */

static int check_host(struct gn_gate *g, const char *value, size_t n)
{
    if (g->host_seen)
        return refuse(g, 400, "There is more than one Host.");
    if (n && !is_authority(value, n, false))
        return refuse(g, 400, "Host is not a valid host and port.");
    g->host_seen = true;
    if (!g->head.host)
        g->head.host = value;
    return 1;
}

/* Returns the number, or -1 when it is none or does not fit. */
static long long parse_length(const char *value, size_t n)
{
    uint64_t length = 0;
    if (n < 1 || n > LENGTH_DIGITS)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (!is(value[i], GN_DIGIT))
            return -1;
        length = length * 10 + (value[i] - '0');
    }
    return length > INT64_MAX ? -1 : (long long)length;
}

static int check_length(struct gn_gate *g, const char *value, size_t n)
{
    if (g->head.chunked)
        return refuse(g, 400,
                      "Content-Length and Transfer-Encoding exclude each other.");
    if (g->head.content_length >= 0)
        return refuse(g, 400, "There is more than one Content-Length.");
    g->head.content_length = parse_length(value, n);
    if (g->head.content_length < 0)
        return refuse(g, 400, "Content-Length is not one decimal number that fits.");
    return 1;
}

static const char *skip_blanks(const char *p)
{
    while (*p == ' ')
        p++;
    return p;
}

/* Some coding but a lone "chunked". */
static int refuse_encoding(struct gn_gate *g, const char *value, size_t n)
{
    const char *end = find_other(value, value + n, GN_TOKEN);
    const char *rest = skip_blanks(end);
    if (end == value || (*rest && *rest != ',' && *rest != ';'))
        return refuse(g, 400, "Transfer-Encoding is malformed.");
    if (end - value == 7 && same(value, "chunked", 7))
        return refuse(g, 400,
                      "Transfer-Encoding has more than \"chunked\" at its end.");
    return refuse(g, 501, "The only transfer coding known here is chunked.");
}

static int check_encoding(struct gn_gate *g, const char *value, size_t n)
{
    if (g->head.content_length >= 0)
        return refuse(g, 400,
                      "Content-Length and Transfer-Encoding exclude each other.");
    if (g->head.minor == 0)
        return refuse(g, 400, "HTTP/1.0 has no Transfer-Encoding.");
    if (g->head.chunked)
        return refuse(g, 400, "There is more than one Transfer-Encoding.");
    if (n != 7 || !same(value, "chunked", n))
        return refuse_encoding(g, value, n);
    g->head.chunked = true;
    return 1;
}

static unsigned parse_option(const char *p, size_t n)
{
    switch (n) {
    case 5:
        return same(p, "close", n) ? CLOSE : 0;
    case 7:
        return same(p, "upgrade", n) ? UPGRADE : 0;
    case 10:
        return same(p, "keep-alive", n) ? KEEP_ALIVE : 0;
    default:
        return 0;
    }
}

/* A list of tokens, of which some may be empty. */
static int check_connection(struct gn_gate *g, const char *p, size_t n)
{
    const char *end = p + n;
    unsigned lone = parse_option(p, n);
    if (lone) {
        g->options |= lone;
        return 1;
    }
    for (;; p++) {
        const char *option = skip_blanks(p);
        p = find_other(option, end, GN_TOKEN);
        g->options |= parse_option(option, p - option);
        p = skip_blanks(p);
        if (p == end)
            return 1;
        if (*p != ',')
            return refuse(g, 400, "Connection is not a list of names.");
    }
}

static int check_expect(struct gn_gate *g, const char *value, size_t n)
{
    if (n != 12 || !same(value, "100-continue", n))
        return refuse(g, 417, "The only expectation met here is 100-continue.");
    g->head.expects_continue = g->head.minor > 0;
    return 1;
}

static int check_upgrade(struct gn_gate *g, const char *value, size_t n)
{
    (void)value;
    g->upgrade_seen |= n > 0;
    return 1;
}

/* Those that the gate understands, found by their lengths, which all differ. */
static const struct known {
    const char *name;
    int (*check)(struct gn_gate *, const char *value, size_t n);
} known[] = {
    [4] = {"host", check_host},
    [6] = {"expect", check_expect},
    [7] = {"upgrade", check_upgrade},
    [10] = {"connection", check_connection},
    [14] = {"content-length", check_length},
    [17] = {"transfer-encoding", check_encoding},
};

static int check_header(struct gn_gate *g, const struct gn_header *h, size_t n)
{
    size_t length = g->name_length;
    if (length >= sizeof known / sizeof *known)
        return 1;
    const struct known *k = &known[length];
    if (!k->name || !same(h->name, k->name, length))
        return 1;
    return k->check(g, h->value, n);
}

/* ---- header lines, backwards too ---- */

static int end_head(struct gn_gate *g, char *p)
{
    struct gn_head *h = &g->head;
    int rc = check_crlf(g, LINE, p);
    if (rc <= 0)
        return rc;
    if (h->minor && !g->host_seen)
        return refuse(g, 400, "There is no Host.");
    h->upgrade = h->minor && g->upgrade_seen && g->options & UPGRADE;
    if (h->upgrade && (h->chunked || h->content_length > 0))
        return refuse(g, 400, "Upgrade with a body");
    h->keep_alive = !(g->options & CLOSE) && (h->minor || g->options & KEEP_ALIVE);
    g->verdict = p + 2 - g->buf;
    return 0;
}

/* Sets the high bits of control bytes in a word, exactly for its lowest one. */
static uint64_t find_controls(uint64_t word)
{
    uint64_t below = word - ONES * 0x20, del = (word & ONES * 0x7f) + ONES;
    return (below | del) & ~word & ONES * 0x80;
}

/* Returns the first byte from `p` on that is not GN_TEXT, looking at eight at once. */
static char *skip_text(struct gn_gate *g, char *p)
{
    for (; g->end - p >= 8; p += 8) {
        uint64_t controls = find_controls(le64toh(load(p)));
        if (controls)
            return p + __builtin_ctzll(controls) / 8;
    }
    return skip(g, p, GN_TEXT);
}

static int end_value(struct gn_gate *g, char *end)
{
    struct gn_header *h = &g->head.headers[g->head.header_count];
    int rc = check_crlf(g, VALUE, end);
    if (rc <= 0)
        return rc;
    go_on(g, LINE, end + 2);
    while (end > h->value && end[-1] == ' ')
        end--;
    *end = '\0';
    g->head.header_count++;
    return check_header(g, h, end - h->value);
}

static int read_value(struct gn_gate *g, char *p)
{
    p = skip_text(g, p);
    if (p == g->end)
        return wait_at(g, VALUE, p);
    if (*p == '\r')
        return end_value(g, p);
    if (*p == '\n')
        return refuse(g, 400, "An LF stands without its CR.");
    if (*p != '\t')
        return refuse(g, 400, "A header has a control byte.");
    *p = ' ';
    return go_on(g, VALUE, p + 1);
}

static int read_indent(struct gn_gate *g, char *p)
{
    while (p < g->end && (*p == ' ' || *p == '\t'))
        p++;
    if (p == g->end)
        return wait_at(g, INDENT, p);
    g->head.headers[g->head.header_count].value = p;
    return read_value(g, p);
}

static int refuse_name(struct gn_gate *g, char c)
{
    if (c == ' ' || c == '\t')
        return refuse(g, 400, "A header's name is followed by a blank.");
    if (c == '\n')
        return refuse(g, 400, "An LF stands without its CR.");
    return refuse(g, 400, "A header line does not begin with a name and a colon.");
}

static int read_name(struct gn_gate *g, char *p)
{
    p = skip(g, p, GN_TOKEN);
    if (p == g->end)
        return wait_at(g, NAME, p);
    if (*p != ':' || p == g->start)
        return refuse_name(g, *p);
    *p = '\0';
    g->name_length = p - g->start;
    return read_indent(g, p + 1);
}

static int read_line(struct gn_gate *g, char *p)
{
    if (*p == '\r')
        return end_head(g, p);
    if (*p == ' ' || *p == '\t')
        return refuse(g, 400, "A header line begins with a blank.");
    if (g->head.header_count >= g->limits.headers)
        return refuse(g, 431, "There are too many headers.");
    g->head.headers[g->head.header_count].name = g->start = p;
    return read_name(g, p);
}

/* ---- the machine ---- */

static int read_next(struct gn_gate *g)
{
    switch ((enum state)g->state) {
    case START:
        return read_start(g, g->at);
    case METHOD:
        return read_method(g, g->at);
    case TARGET:
        return read_target(g, g->at);
    case VERSION:
        return read_version(g, g->at);
    case LINE:
        return read_line(g, g->at);
    case NAME:
        return read_name(g, g->at);
    case INDENT:
        return read_indent(g, g->at);
    default:
        return read_value(g, g->at);
    }
}

/* All that the limit lets in has come, and the head is not complete. */
static int refuse_length(struct gn_gate *g)
{
    if (g->state == TARGET)
        return refuse(g, 414, "The target is too long.");
    return refuse(g, 431, "The head of the request is too long.");
}

void gn_gate_init(struct gn_gate *g, struct gn_gate_limits limits)
{
    struct gn_head *h = &g->head;
    if (limits.headers > GN_HEADERS)
        limits.headers = GN_HEADERS;
    g->limits = limits;
    h->method = h->target = h->query = h->host = NULL;
    h->minor = h->header_count = 0;
    h->content_length = -1;
    h->chunked = h->keep_alive = h->expects_continue = h->upgrade = false;
    g->reason = NULL;
    g->buf = g->at = g->end = g->start = g->target = g->query = NULL;
    g->state = START;
    g->verdict = g->empty_lines = g->name_length = 0;
    g->options = 0;
    g->host_seen = g->upgrade_seen = false;
}

int gn_gate_feed(struct gn_gate *g, char *buf, size_t len)
{
    int rc = 1;
    if (g->verdict)
        return g->verdict;
    if (!g->buf)
        g->buf = g->at = buf;
    g->end = buf + (len < g->limits.head ? len : g->limits.head);
    while (rc > 0 && g->at < g->end)
        rc = read_next(g);
    if (!g->verdict && rc >= 0 && len >= g->limits.head)
        rc = refuse_length(g);
    if (rc < 0)
        g->verdict = rc;
    return g->verdict;
}
