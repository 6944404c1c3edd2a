#include "relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What a packet begins with. */
struct head {
    uint32_t kind; /* of the message that begins here; 0: the last one goes on */
    uint32_t topic_length; /* 0 unless it begins here, as `length` */
    uint64_t length;
};

enum { ROOM = GN_RELAY_PACKET - (int)sizeof(struct head) };

static size_t size_of(const struct gn_bus_message *m)
{
    return m->topic_length + m->length;
}

/* ---- out ---- */

static int send_one(struct gn_relay *r, const struct gn_bus_message *m)
{
    struct head head = {m->kind, (uint32_t)m->topic_length, m->length};
    size_t total = size_of(m), sent = 0;
    int e = 0;
    do {
        size_t n = total - sent < ROOM ? total - sent : ROOM;
        struct iovec iov[] = {{&head, sizeof head}, {(char *)m->bytes + sent, n}};
        e = r->send(r, iov, n > 0 ? 2 : 1);
        head = (struct head){0};
        sent += n;
    } while (e == 0 && sent < total);
    return e;
}

static void deliver(struct gn_bus_member *member, struct gn_bus_message *const *batch,
                    size_t n)
{
    struct gn_relay *r = gn_container_of(member, struct gn_relay, member);
    for (size_t i = 0; i < n; i++)
        if (send_one(r, batch[i]) < 0)
            gn_bus_drop(member, 1);
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
    return r->coming ? 0 : -ENOMEM;
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

int gn_relay_receive(struct gn_relay *r, const char *packet, size_t n)
{
    struct head head;
    if (n < sizeof head)
        return -EBADMSG;
    memcpy(&head, packet, sizeof head);
    int e = head.kind ? begin(r, &head) : 0;
    return e < 0 ? e : go_on(r, packet + sizeof head, n - sizeof head);
}

/* ---- life ---- */

void gn_relay_open(struct gn_relay *r, struct gn_bus *b, const char *name,
                   int (*send)(struct gn_relay *, const struct iovec *, size_t))
{
    r->send = send;
    r->coming = NULL;
    r->have = 0;
    gn_bus_join(b, &r->member, name, deliver);
}

void gn_relay_close(struct gn_relay *r)
{
    gn_bus_leave(&r->member);
    forget(r);
}
