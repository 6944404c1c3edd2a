#include "topics.h"

#include "../log.h"

#include <errno.h>
#include <stdio.h>

/* What may wait in the channel before packets are held back: orders go before. */
enum { ROOM = GN_CHANNEL_QUEUE / 4 };

static int send_packet(struct gn_relay *r, const char *packet, size_t n)
{
    struct gn_topic_link *l = gn_container_of(r, struct gn_topic_link, relay);
    int e = 0;
    while (e == 0 && l->channel->queued > ROOM)
        e = gn_sleep_until(gn_after(GN_MS));
    return e < 0 ? e : gn_channel_send(l->channel, GN_KIND_TOPIC, packet, n);
}

static void on_packet(struct gn_channel *c, const char *packet, size_t n, void *arg)
{
    struct gn_topic_link *l = arg;
    (void)c;
    if (gn_relay_receive(&l->relay, packet, n) < 0)
        gn_log(GN_ERROR, "%s has sent what is no message", l->name);
}

void gn_topic_link_open(struct gn_topic_link *l, struct gn_channel *c, struct gn_bus *b,
                        const char *name)
{
    snprintf(l->name, sizeof l->name, "%s", name);
    l->channel = c;
    gn_relay_open(&l->relay, b, l->name, send_packet);
    gn_channel_on(c, GN_KIND_TOPIC, on_packet, l);
}

void gn_topic_link_close(struct gn_topic_link *l)
{
    if (!l->channel)
        return;
    gn_channel_on(l->channel, GN_KIND_TOPIC, NULL, NULL);
    gn_relay_close(&l->relay);
    l->channel = NULL;
}
