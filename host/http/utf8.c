#include "utf8.h"

#include <stdint.h>
#include <string.h>

/* The first byte of a character of several: how many follow, and what the next may be.
 */
static bool begin(struct gn_utf8 *u, unsigned char c)
{
    if (c < 0xc2 || c > 0xf4)
        return false;
    u->need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    u->low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    u->high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    return true;
}

static bool go_on(struct gn_utf8 *u, unsigned char c)
{
    if (c < u->low || c > u->high)
        return false;
    u->need--;
    u->low = 0x80;
    u->high = 0xbf;
    return true;
}

/* How many bytes at the start are ASCII, in steps of eight. */
static size_t ascii(const char *p, size_t n)
{
    size_t i = 0;
    for (uint64_t word; i + sizeof word <= n; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    return i;
}

bool gn_utf8_feed(struct gn_utf8 *u, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        if (u->need > 0) {
            if (!go_on(u, c))
                return false;
        } else if (c >= 0x80) {
            if (!begin(u, c))
                return false;
        } else {
            size_t plain = ascii(p + i, n - i);
            i += plain > 0 ? plain - 1 : 0;
        }
    }
    return true;
}

bool gn_utf8_check(const char *p, size_t n)
{
    struct gn_utf8 u = {0};
    return gn_utf8_feed(&u, p, n) && gn_utf8_whole(&u);
}
