/* The gate: reads one HTTP/1.x request head, strictly (RFC 9110, RFC 9112).
 *
 * A pure byte machine: bytes in; a checked head, "more", or the status of a refusal
 * out. No I/O, no allocation, nothing global. The verdict depends on the bytes alone,
 * never on the pieces they came in, and no byte is read again when more has come. What
 * is wrong is found where it stands: a slow sender of garbage is refused at once.
 *
 * Stricter than the RFCs ask: no folded or bare-LF lines, no blank before a colon, one
 * Content-Length of at most 19 digits, no list in it, "chunked" alone as coding.
 * Laxer: bytes that servers meet in targets, like | ^ ` { } " < > \ [ ], pass. */
#ifndef GN_GATE_H
#define GN_GATE_H

#include <stdbool.h>
#include <stddef.h>

enum { GN_HEADERS = 100 };

/* Strings in the caller's buffer; the value without blanks around it, HTAB as SP. */
struct gn_header {
    const char *name, *value;
};

/* A checked request head. Everything points into the caller's buffer. */
struct gn_head {
    const char *method; /* a token of at most 32 bytes, as sent */
    const char *target; /* the path, percent-encoded, from its '/' on; "*" for OPTIONS;
                           the authority for CONNECT */
    const char *query;  /* after '?'; NULL when there is none */
    const char *host;   /* authority of the target, else of Host ("" when that is
                           empty); NULL only in HTTP/1.0 without one */
    int minor;          /* HTTP/1.minor: 0 or 1; 1.2 to 1.9 count as 1 */
    long long content_length; /* bytes; -1 when not told */
    bool chunked;             /* the body is; content_length is then -1 */
    bool keep_alive;          /* what version and all Connection options together say */
    bool expects_continue;    /* HTTP/1.1 with Expect: 100-continue */
    bool upgrade;             /* HTTP/1.1 with Upgrade, named in Connection; no body */
    int header_count;
    struct gn_header headers[GN_HEADERS];
};

struct gn_gate_limits {
    size_t head;   /* bytes of the whole head, empty lines before it too; <= INT_MAX */
    size_t target; /* bytes of the target, its query too */
    int headers;   /* how many; GN_HEADERS at most */
};

/* Between feeds; only `head` (of a complete one) and `reason` are for the caller. */
struct gn_gate {
    struct gn_head head;
    struct gn_gate_limits limits;
    const char *reason; /* why it was refused: a sentence for a person; static */
    char *buf, *at, *end;
    char *start;  /* of the token being read */
    char *target; /* as sent */
    char *query;  /* its '?'; NULL before one */
    int state, verdict;
    int empty_lines;  /* before the request line */
    int name_length;  /* of the header being read */
    unsigned options; /* of all Connection lines */
    bool host_seen, upgrade_seen;
};

/* Begins a head. */
void gn_gate_init(struct gn_gate *, struct gn_gate_limits);

/* Looks at buf[0..len): all bytes since init, at the same address at each call, only
 * more of them each time. Borrows the buffer and changes the head in it in place;
 * leaves what follows alone. Returns the length of the head when it is complete (> 0),
 * 0 when more is needed, or the negated status of a refusal; either verdict is final.
 *
 * 400 malformed; 414 target over its limit; 417 an Expect but 100-continue; 431 head or
 * number of headers over its limit; 501 a method over 32 bytes or a transfer coding but
 * chunked; 505 a version but HTTP/1.x. */
int gn_gate_feed(struct gn_gate *, char *buf, size_t len);

/* Classes of bytes, as bits of gn_bytes[(unsigned char)c]. */
enum {
    GN_TOKEN = 1,  /* RFC 9110 token */
    GN_TARGET = 2, /* as itself in a target: visible ASCII but # % ? */
    GN_HOST = 4,   /* as itself in a host name: RFC 3986 unreserved, sub-delims */
    GN_HEX = 8,
    GN_DIGIT = 16,
    GN_TEXT = 32 /* in a field value: no controls; HTAB is not one of them */
};
extern const unsigned char gn_bytes[256];

#endif
