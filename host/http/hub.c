#include "hub.h"

#include "../sched/fiber.h"

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

size_t gn_hub_publish(struct gn_hub *h, const char *topic, size_t n, struct gn_frame *f)
{
    return gn_topics_publish(&h->topics, topic, n, f);
}

/* ---- life ---- */

void gn_hub_init(struct gn_hub *h, struct gn_sched *s, const struct gn_hub_options *o)
{
    *h = (struct gn_hub){.sched = s, .options = *o};
    gn_topics_init(&h->topics);
    gn_list_init(&h->unsent);
}

void gn_hub_term(struct gn_hub *h)
{
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
