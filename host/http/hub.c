#include "hub.h"

#include "../sched/fiber.h"
#include "utf8.h"

enum { SPARE_DECODERS = 64 };

/* ---- decoders ---- */

struct gn_decoder *gn_hub_take_decoder(struct gn_hub *h)
{
    struct gn_decoder *d = h->spare;
    if (!d)
        return gn_decoder_new();
    h->spare = d->next_spare;
    h->spare_count--;
    return d;
}

void gn_hub_give_decoder(struct gn_hub *h, struct gn_decoder *d)
{
    if (!d || !gn_decoder_is_idle(d) || h->spare_count == SPARE_DECODERS) {
        gn_decoder_free(d);
        return;
    }
    d->next_spare = h->spare;
    h->spare = d;
    h->spare_count++;
}

/* ---- topics ---- */

/* What cannot be had memory for is lost to the others. */
static void pass_on(struct gn_hub *h, const char *topic, size_t n,
                    const struct gn_frame *f)
{
    enum gn_bus_kind kind = f->opcode == GN_WS_TEXT ? GN_BUS_TEXT : GN_BUS_BINARY;
    struct gn_bus_message *m = gn_bus_message_new(kind, topic, n, gn_frame_payload(f),
                                                  gn_frame_payload_length(f));
    if (m)
        gn_bus_publish(h->options.bus, &h->member, m);
    else
        gn_bus_drop(&h->member, 1);
    gn_bus_message_unref(m);
}

size_t gn_hub_publish(struct gn_hub *h, const char *topic, size_t n, struct gn_frame *f)
{
    h->published++;
    if (h->options.bus && gn_bus_is_heard(h->options.bus))
        pass_on(h, topic, n, f);
    return gn_topics_publish(&h->topics, topic, n, f);
}

static enum gn_opcode opcode_of(const struct gn_bus_message *m)
{
    if (m->kind == GN_BUS_EITHER)
        return gn_utf8_check(gn_bus_payload(m), m->length) ? GN_WS_TEXT : GN_WS_BINARY;
    return m->kind == GN_BUS_TEXT ? GN_WS_TEXT : GN_WS_BINARY;
}

static size_t publish_here(struct gn_hub *h, const struct gn_bus_message *m)
{
    if (!gn_topics_has(&h->topics, m->bytes, m->topic_length))
        return 0;
    struct gn_frame *f = gn_frame_new(opcode_of(m), gn_bus_payload(m), m->length);
    if (!f) {
        gn_bus_drop(&h->member, 1);
        return 0;
    }
    size_t taken = gn_topics_publish(&h->topics, m->bytes, m->topic_length, f);
    gn_frame_unref(f);
    return taken;
}

static void deliver(struct gn_bus_member *member, struct gn_bus_message *const *batch,
                    size_t n)
{
    struct gn_hub *h = gn_container_of(member, struct gn_hub, member);
    for (size_t i = 0; i < n; i++)
        gn_spend((publish_here(h, batch[i]) + 1) * GN_PUBLISH_COST);
}

/* ---- life ---- */

void gn_hub_init(struct gn_hub *h, struct gn_sched *s, const struct gn_hub_options *o)
{
    *h = (struct gn_hub){.sched = s, .options = *o};
    gn_topics_init(&h->topics);
    gn_list_init(&h->unsent);
    if (o->bus)
        gn_bus_join(o->bus, &h->member, "a thread", deliver);
}

void gn_hub_term(struct gn_hub *h)
{
    gn_bus_leave(&h->member);
    while (h->flushing)
        gn_yield();
    for (struct gn_decoder *d = h->spare, *next; d; d = next) {
        next = d->next_spare;
        gn_decoder_free(d);
    }
    h->spare = NULL;
    gn_deflate_term(&h->deflate);
    gn_topics_term(&h->topics);
}
