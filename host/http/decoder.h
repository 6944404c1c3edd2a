/* WebSocket frames that come in, put together to messages (RFC 6455, section 5).
 *
 * libwslay takes the frames apart: headers, lengths, masks. What a message may be made
 * of is checked here and not by its event layer, which checks the UTF-8 of a close
 * reason wrongly when that comes in pieces, takes a close of one byte, refuses the
 * codes 1012 to 1014, does not tell which rule a broken frame breaks, and copies each
 * message twice. No I/O; never waits. A connection needs one only while a part of a
 * message is there. */
#ifndef GN_DECODER_H
#define GN_DECODER_H

#include "frame.h"
#include "utf8.h"

#include <stdint.h>
#include <wslay/wslay.h>

/* A message that has come. */
struct gn_letter {
    struct gn_letter *next;
    enum gn_opcode kind; /* GN_WS_TEXT or GN_WS_BINARY */
    size_t length, room;
    char bytes[];
};

/* Whoever reads. */
struct gn_reader {
    size_t max_message;                                         /* bytes of a message */
    void (*on_message)(struct gn_reader *, struct gn_letter *); /* takes the letter */
    /* `n` is at most GN_CONTROL_MOST; returns whether to go on */
    bool (*on_control)(struct gn_reader *, enum gn_opcode, const char *, size_t n);
};

struct gn_decoder {
    struct gn_decoder *next_spare;
    wslay_frame_context_ptr wslay;
    struct gn_reader *reader;
    const char *in;           /* what libwslay has not taken yet */
    size_t left;              /* bytes of it */
    size_t ahead;             /* bytes that it has taken but not told of */
    struct gn_letter *letter; /* being put together, or NULL */
    struct gn_utf8 utf8;      /* of its text */
    bool in_frame;            /* a part of a frame has been told of */
    uint64_t frame_left;      /* bytes that its payload still lacks */
    size_t control_length;
    char control[GN_CONTROL_MOST];
};

/* NULL when out of memory. */
struct gn_decoder *gn_decoder_new(void);

/* NULL is allowed. */
void gn_decoder_free(struct gn_decoder *);

/* Takes bytes as they come and tells the reader what they hold. Returns 0, or the code
 * to close the connection with; nothing more is to be fed then. */
int gn_decoder_feed(struct gn_decoder *, struct gn_reader *, const char *, size_t);

/* Whether it stands between messages: another connection may use it. */
bool gn_decoder_is_idle(const struct gn_decoder *);

/* Whether a close frame may carry this code (RFC 6455, section 7.4, and IANA's list).
 */
bool gn_close_code_is_valid(int code);

#endif
