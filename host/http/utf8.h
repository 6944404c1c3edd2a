/* UTF-8, checked as it comes in pieces (RFC 3629): no overlong forms, no surrogates,
 * nothing beyond U+10FFFF. */
#ifndef GN_UTF8_H
#define GN_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Between pieces. Zeroed memory begins a text. */
struct gn_utf8 {
    unsigned char need;      /* bytes that the present character still lacks */
    unsigned char low, high; /* between which the next of them must be */
};

/* Takes the next piece. Returns false at the first byte that cannot be; then, and only
 * then, the rest is not to be asked about. */
bool gn_utf8_feed(struct gn_utf8 *, const char *, size_t);

/* Whether the text may end here. */
static inline bool gn_utf8_whole(const struct gn_utf8 *u)
{
    return u->need == 0;
}

/* Whether a whole text is UTF-8. */
bool gn_utf8_check(const char *, size_t);

#endif
