#include "decoder.h"

#include <stdlib.h>
#include <string.h>

enum {
    PROTOCOL_ERROR = 1002,
    NOT_UTF8 = 1007,
    TOO_BIG = 1009,
    NO_MEMORY = 1011,
    TRUSTED =
        16 * 1024 /* bytes of an announced message that get their memory at once */
};

/* ---- letters ---- */

/* Makes room for so many bytes more, in a letter that may be NULL; no more than that is
 * ever needed beyond `most`. */
static struct gn_letter *reserve(struct gn_letter *l, size_t n, size_t most)
{
    size_t length = l ? l->length : 0, room = l ? 2 * l->room : n;
    if (l && l->room - length >= n)
        return l;
    if (room > most)
        room = most;
    if (room < length + n)
        room = length + n;
    struct gn_letter *grown = realloc(l, sizeof *l + room);
    if (!grown)
        return NULL;
    grown->length = length;
    grown->room = room;
    return grown;
}

static int append(struct gn_decoder *d, const char *data, size_t n)
{
    struct gn_letter *l = reserve(d->letter, n, d->reader->max_message);
    if (!l)
        return NO_MEMORY;
    d->letter = l;
    memcpy(l->bytes + l->length, data, n);
    l->length += n;
    return 0;
}

/* ---- frames ---- */

static bool is_data(const struct wslay_frame_iocb *f)
{
    return f->opcode == GN_WS_TEXT || f->opcode == GN_WS_BINARY;
}

static bool is_control(const struct wslay_frame_iocb *f)
{
    return f->opcode >= GN_WS_CLOSE && f->opcode <= GN_WS_PONG;
}

/* A continuation goes on with a message; nothing else may come within one but control
 * frames. */
static bool fits(const struct gn_decoder *d, const struct wslay_frame_iocb *f)
{
    if (f->rsv || !f->mask)
        return false;
    if (is_control(f))
        return true;
    return d->letter ? f->opcode == GN_WS_MORE : is_data(f);
}

/* Begins a message of which so much is announced. */
static int begin_message(struct gn_decoder *d, const struct wslay_frame_iocb *f)
{
    size_t announced = f->payload_length < TRUSTED ? f->payload_length : TRUSTED;
    d->letter = reserve(NULL, announced, d->reader->max_message);
    if (!d->letter)
        return NO_MEMORY;
    d->letter->kind = f->opcode;
    d->utf8 = (struct gn_utf8){0};
    return 0;
}

static size_t header_length(const struct wslay_frame_iocb *f)
{
    const size_t mask = 4;
    uint64_t n = f->payload_length;
    return mask + (n < 126 ? 2 : n <= UINT16_MAX ? 4 : 10);
}

/* At the first piece of a frame. Returns 0 or a code. */
static int begin_frame(struct gn_decoder *d, const struct wslay_frame_iocb *f)
{
    size_t so_far = d->letter ? d->letter->length : 0;
    if (!fits(d, f))
        return PROTOCOL_ERROR;
    d->in_frame = true;
    d->frame_left = f->payload_length;
    d->control_length = 0;
    d->ahead -= header_length(f);
    if (is_control(f))
        return 0;
    if (f->payload_length > d->reader->max_message - so_far)
        return TOO_BIG;
    return is_data(f) ? begin_message(d, f) : 0;
}

static int take_payload(struct gn_decoder *d, const struct wslay_frame_iocb *f)
{
    const char *data = (const char *)f->data;
    d->frame_left -= f->data_length;
    d->ahead -= f->data_length;
    if (f->data_length == 0)
        return 0;
    if (is_control(f)) {
        memcpy(d->control + d->control_length, data, f->data_length);
        d->control_length += f->data_length;
        return 0;
    }
    if (d->letter->kind == GN_WS_TEXT && !gn_utf8_feed(&d->utf8, data, f->data_length))
        return NOT_UTF8;
    return append(d, data, f->data_length);
}

static int end_message(struct gn_decoder *d)
{
    struct gn_letter *l = d->letter;
    if (l->kind == GN_WS_TEXT && !gn_utf8_whole(&d->utf8))
        return NOT_UTF8;
    d->letter = NULL;
    d->reader->on_message(d->reader, l);
    return 0;
}

/* One piece of a frame, with a byte of its payload at least unless it has none. Returns
 * 0 or a code; clears `on` when the reader wants no more. */
static int take_piece(struct gn_decoder *d, const struct wslay_frame_iocb *f, bool *on)
{
    int code = d->in_frame ? 0 : begin_frame(d, f);
    if (code == 0)
        code = take_payload(d, f);
    if (code || d->frame_left > 0)
        return code;
    d->in_frame = false;
    if (!is_control(f))
        return f->fin ? end_message(d) : 0;
    *on = d->reader->on_control(d->reader, f->opcode, d->control, d->control_length);
    return 0;
}

/* ---- libwslay ---- */

static ssize_t give(uint8_t *buf, size_t n, int flags, void *arg)
{
    struct gn_decoder *d = arg;
    (void)flags;
    if (d->left == 0)
        return -1;
    if (n > d->left)
        n = d->left;
    memcpy(buf, d->in, n);
    d->in += n;
    d->left -= n;
    d->ahead += n;
    return (ssize_t)n;
}

struct gn_decoder *gn_decoder_new(void)
{
    const struct wslay_frame_callbacks callbacks = {.recv_callback = give};
    struct gn_decoder *d = calloc(1, sizeof *d);
    if (d && wslay_frame_context_init(&d->wslay, &callbacks, d) == 0)
        return d;
    free(d);
    return NULL;
}

void gn_decoder_free(struct gn_decoder *d)
{
    if (!d)
        return;
    wslay_frame_context_free(d->wslay);
    free(d->letter);
    free(d);
}

int gn_decoder_feed(struct gn_decoder *d, struct gn_reader *reader, const char *bytes,
                    size_t n)
{
    bool on = true;
    d->reader = reader;
    d->in = bytes;
    d->left = n;
    while (on) {
        struct wslay_frame_iocb frame = {0};
        ssize_t r = wslay_frame_recv(d->wslay, &frame);
        if (r == WSLAY_ERR_WANT_READ && d->left == 0)
            break;
        if (r == WSLAY_ERR_WANT_READ)
            continue;
        int code = r < 0 ? PROTOCOL_ERROR : take_piece(d, &frame, &on);
        if (code)
            return code;
    }
    return 0;
}

bool gn_decoder_is_idle(const struct gn_decoder *d)
{
    return !d->in_frame && !d->letter && d->ahead == 0;
}

bool gn_close_code_is_valid(int code)
{
    if (code >= 3000)
        return code <= 4999;
    return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}
