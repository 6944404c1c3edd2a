#include "chunked.h"

#include "gate.h"

#include <string.h>

enum { DIGITS_MAX = 16, EXTENSION_MAX = 4096, SKIPPED_MAX = 16384 };

enum state {
    SIZE,
    BLANK, /* after a size: only an extension may follow */
    EXTENSION,
    SIZE_LF,
    DATA,
    DATA_CR,
    DATA_LF,
    TRAILER, /* the first byte of a line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    END_LF
};

/* ---- each reader takes one byte and returns 0 or a refusal ---- */

static int refuse(struct gn_chunked *c, int status, const char *reason)
{
    c->reason = reason;
    return -status;
}

static int go_on(struct gn_chunked *c, enum state state)
{
    c->state = state;
    return 0;
}

static bool is(char byte, unsigned class)
{
    return gn_bytes[(unsigned char)byte] & class;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static int expect(struct gn_chunked *c, char byte, char expected, enum state state)
{
    if (byte != expected)
        return refuse(c, 400, "A chunk or a line of its framing does not end in CRLF.");
    return go_on(c, state);
}

static int read_digit(struct gn_chunked *c, char byte)
{
    unsigned value = is(byte, GN_DIGIT) ? byte - '0' : (byte | 0x20) - 'a' + 10;
    if (++c->digits > DIGITS_MAX)
        return refuse(c, 400, "The size of a chunk has too many digits.");
    if (c->left > (INT64_MAX >> 4))
        return refuse(c, 400, "The size of a chunk is too large.");
    c->left = c->left << 4 | value;
    return 0;
}

static int read_size(struct gn_chunked *c, char byte)
{
    if (is(byte, GN_HEX))
        return read_digit(c, byte);
    if (c->digits == 0)
        return refuse(c, 400, "A chunk does not begin with its size.");
    if (byte == '\r')
        return go_on(c, SIZE_LF);
    if (byte == ';')
        return go_on(c, EXTENSION);
    if (is_blank(byte))
        return go_on(c, BLANK);
    return refuse(c, 400, "The size of a chunk is not a hexadecimal number.");
}

static int count_extension(struct gn_chunked *c)
{
    c->skipped++;
    if (++c->extension > EXTENSION_MAX)
        return refuse(c, 400, "The extensions of a chunk are too long.");
    if (c->skipped > SKIPPED_MAX + c->received)
        return refuse(c, 400, "The extensions are much longer than the data.");
    return 0;
}

static int read_blank(struct gn_chunked *c, char byte)
{
    if (byte == ';')
        return go_on(c, EXTENSION);
    if (!is_blank(byte))
        return refuse(c, 400, "A blank follows the size of a chunk.");
    return count_extension(c);
}

static int read_extension(struct gn_chunked *c, char byte)
{
    if (byte == '\r')
        return go_on(c, SIZE_LF);
    if (byte != '\t' && !is(byte, GN_TEXT))
        return refuse(c, 400, "A chunk extension has a control byte.");
    return count_extension(c);
}

static int begin_data(struct gn_chunked *c, char byte)
{
    c->digits = 0;
    c->extension = 0;
    return expect(c, byte, '\n', c->left ? DATA : TRAILER);
}

/* ---- the trailer section ---- */

static int count_trailer(struct gn_chunked *c, enum state state)
{
    if (++c->trailers > c->max_trailers)
        return refuse(c, 431, "The trailers are too long.");
    return go_on(c, state);
}

static int read_trailer(struct gn_chunked *c, char byte)
{
    if (byte == '\r')
        return go_on(c, END_LF);
    if (!is(byte, GN_TOKEN))
        return refuse(c, 400, "A trailer does not begin with a name.");
    return count_trailer(c, TRAILER_NAME);
}

static int read_trailer_name(struct gn_chunked *c, char byte)
{
    if (byte != ':' && !is(byte, GN_TOKEN))
        return refuse(c, 400, "A trailer's name is not followed by a colon.");
    return count_trailer(c, byte == ':' ? TRAILER_VALUE : TRAILER_NAME);
}

static int read_trailer_value(struct gn_chunked *c, char byte)
{
    if (byte != '\r' && byte != '\t' && !is(byte, GN_TEXT))
        return refuse(c, 400, "A trailer has a control byte.");
    return count_trailer(c, byte == '\r' ? TRAILER_LF : TRAILER_VALUE);
}

static int read_trailer_lf(struct gn_chunked *c, char byte)
{
    int rc = expect(c, byte, '\n', TRAILER);
    return rc ? rc : count_trailer(c, TRAILER);
}

/* ---- the machine ---- */

static int end_body(struct gn_chunked *c, char byte)
{
    int rc = expect(c, byte, '\n', END_LF);
    c->done = rc == 0;
    return rc;
}

static int read_byte(struct gn_chunked *c, char byte)
{
    switch ((enum state)c->state) {
    case SIZE:
        return read_size(c, byte);
    case BLANK:
        return read_blank(c, byte);
    case EXTENSION:
        return read_extension(c, byte);
    case SIZE_LF:
        return begin_data(c, byte);
    case DATA_CR:
        return expect(c, byte, '\r', DATA_LF);
    case DATA_LF:
        return expect(c, byte, '\n', SIZE);
    case TRAILER:
        return read_trailer(c, byte);
    case TRAILER_NAME:
        return read_trailer_name(c, byte);
    case TRAILER_VALUE:
        return read_trailer_value(c, byte);
    case TRAILER_LF:
        return read_trailer_lf(c, byte);
    default:
        return end_body(c, byte);
    }
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Returns how many bytes of data it has moved. */
static size_t move_data(struct gn_chunked *c, const char *in, size_t n, char *out,
                        size_t room)
{
    n = least(n, room);
    if (c->left < n)
        n = c->left;
    if (n && in != out)
        memmove(out, in, n);
    c->received += n;
    c->left -= n;
    if (c->left == 0)
        c->state = DATA_CR;
    return n;
}

void gn_chunked_init(struct gn_chunked *c, size_t max_trailers)
{
    *c = (struct gn_chunked){.max_trailers = max_trailers};
}

ssize_t gn_chunked_decode(struct gn_chunked *c, const char *in, size_t *in_len,
                          char *out, size_t out_room)
{
    size_t at = 0, written = 0, n = 0;
    while (at < *in_len && !c->done && c->status == 0) {
        if (c->state != DATA) {
            c->status = read_byte(c, in[at++]);
            continue;
        }
        n = move_data(c, in + at, *in_len - at, out + written, out_room - written);
        if (n == 0)
            break;
        at += n;
        written += n;
    }
    *in_len = at;
    return c->status ? c->status : (ssize_t)written;
}
