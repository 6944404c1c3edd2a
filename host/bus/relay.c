#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What stands before each piece of a message; a packet is a row of pieces. */
struct head {
    uint32_t kind; /* of the message that begins here; 0: the last one goes on */
    uint32_t topic_length; /* 0 unless it begins here, as `length` */
    uint64_t length;
    uint64_t here; /* bytes of the piece */
};

static size_t size_of(const struct gn_bus_message *m)
{
    return m->topic_length + m->length;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- out ---- */

/* Sends what has been put together. Returns 0 or a negative errno. */
static int flush(struct gn_relay *r)
{
    int e = r->used > 0 ? r->send(r, r->packet, r->used) : 0;
    if (e < 0)
        gn_bus_drop(&r->member, r->begun);
    r->used = r->begun = 0;
    return e;
}

static void put(struct gn_relay *r, const void *bytes, size_t n)
{
    memcpy(r->packet + r->used, bytes, n);
    r->used += n;
}

/* After a packet that could not be sent the rest of its message is not sent either. */
static void add(struct gn_relay *r, const struct gn_bus_message *m)
{
    struct head head = {m->kind, (uint32_t)m->topic_length, m->length, 0};
    size_t total = size_of(m), done = 0;
    do {
        bool full = sizeof r->packet - r->used <= sizeof head;
        if (full && flush(r) < 0 && done > 0)
            return;
        head.here = least(total - done, sizeof r->packet - r->used - sizeof head);
        put(r, &head, sizeof head);
        put(r, m->bytes + done, head.here);
        r->begun += head.kind != 0;
        done += head.here;
        head = (struct head){0};
    } while (done < total);
}

static void deliver(struct gn_bus_member *member, struct gn_bus_message *const *batch,
                    size_t n)
{
    struct gn_relay *r = gn_container_of(member, struct gn_relay, member);
    for (size_t i = 0; i < n; i++)
        add(r, batch[i]);
    flush(r);
}

/* ---- in ---- */

static void forget(struct gn_relay *r)
{
    gn_bus_message_unref(r->coming);
    r->coming = NULL;
    r->have = 0;
}

/* One that was begun and never ended has been given up by the sender. */
static int begin(struct gn_relay *r, const struct head *h)
{
    forget(r);
    if (h->kind > GN_BUS_EITHER || h->length > GN_RELAY_LARGEST ||
        h->topic_length > GN_RELAY_LARGEST)
        return -EBADMSG;
    r->coming =
        gn_bus_message_new(h->kind, NULL, h->topic_length, NULL, (size_t)h->length);
    if (!r->coming)
        gn_bus_drop(&r->member, 1);
    return 0;
}

static int go_on(struct gn_relay *r, const char *bytes, size_t n)
{
    if (!r->coming)
        return 0; /* the rest of one that is lost */
    if (n > size_of(r->coming) - r->have) {
        forget(r);
        return -EBADMSG;
    }
    memcpy(r->coming->bytes + r->have, bytes, n);
    r->have += n;
    if (r->have < size_of(r->coming))
        return 0;
    gn_bus_publish(r->member.bus, &r->member, r->coming);
    forget(r);
    return 0;
}

/* Returns the bytes of the piece at the head of a packet, or a negative errno. */
static ssize_t take_piece(struct gn_relay *r, const char *packet, size_t n)
{
    struct head head;
    if (n < sizeof head)
        return -EBADMSG;
    memcpy(&head, packet, sizeof head);
    if (head.here > n - sizeof head)
        return -EBADMSG;
    int e = head.kind ? begin(r, &head) : 0;
    if (e == 0)
        e = go_on(r, packet + sizeof head, head.here);
    return e < 0 ? e : (ssize_t)(sizeof head + head.here);
}

int gn_relay_receive(struct gn_relay *r, const char *packet, size_t n)
{
    while (n > 0) {
        ssize_t piece = take_piece(r, packet, n);
        if (piece < 0)
            return (int)piece;
        packet += piece;
        n -= (size_t)piece;
    }
    return 0;
}

/* ---- life ---- */

void gn_relay_open(struct gn_relay *r, struct gn_bus *b, const char *name,
                   int (*send)(struct gn_relay *, const char *, size_t))
{
    r->send = send;
    r->coming = NULL;
    r->have = r->used = r->begun = 0;
    gn_bus_join(b, &r->member, name, deliver);
}

void gn_relay_close(struct gn_relay *r)
{
    gn_bus_leave(&r->member);
    forget(r);
}
