#include "topics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FIRST_CHAINS = 64 };

struct topic {
    struct gn_entry entry; /* in `names` */
    struct gn_list members;
    size_t length;
    char name[];
};

/* One subscriber in one topic. */
struct membership {
    struct gn_entry entry; /* in `memberships` */
    struct gn_list link;   /* in the topic's members */
    struct gn_list own;    /* in the subscriber's memberships */
    struct topic *topic;
    struct gn_subscriber *subscriber; /* NULL: the place of a publisher, see below */
};

/* ---- tables ---- */

static int widen(struct gn_table *t)
{
    size_t room = t->room ? 2 * t->room : FIRST_CHAINS;
    struct gn_entry **chains = calloc(room, sizeof *chains);
    if (!chains)
        return -ENOMEM;
    for (size_t i = 0; i < t->room; i++)
        for (struct gn_entry *e = t->chains[i], *next; e; e = next) {
            next = e->next;
            e->next = chains[e->hash & (room - 1)];
            chains[e->hash & (room - 1)] = e;
        }
    free(t->chains);
    t->chains = chains;
    t->room = room;
    return 0;
}

/* Only the first chains are needed: without memory for more of them they get longer. */
static int insert(struct gn_table *t, struct gn_entry *e, uint64_t hash)
{
    if (t->count >= t->room && widen(t) < 0 && t->room == 0)
        return -ENOMEM;
    e->hash = hash;
    e->next = t->chains[hash & (t->room - 1)];
    t->chains[hash & (t->room - 1)] = e;
    t->count++;
    return 0;
}

static struct gn_entry *chain_of(const struct gn_table *t, uint64_t hash)
{
    return t->room ? t->chains[hash & (t->room - 1)] : NULL;
}

static void erase(struct gn_table *t, struct gn_entry *e)
{
    struct gn_entry **p = &t->chains[e->hash & (t->room - 1)];
    while (*p != e)
        p = &(*p)->next;
    *p = e->next;
    t->count--;
}

/* The finalizer of MurmurHash3, by Austin Appleby. */
static uint64_t mix(uint64_t h)
{
    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

static uint64_t hash_name(const struct gn_topics *ts, const char *name, size_t n)
{
    uint64_t h = ts->seed;
    for (size_t i = 0; i < n; i++)
        h = mix(h ^ (unsigned char)name[i]);
    return mix(h ^ n);
}

static uint64_t hash_member(const struct topic *t, const struct gn_subscriber *s)
{
    return mix(t->entry.hash ^ (uintptr_t)s);
}

/* ---- topics ---- */

static struct topic *find(const struct gn_topics *ts, uint64_t hash, const char *name,
                          size_t n)
{
    for (struct gn_entry *e = chain_of(&ts->names, hash); e; e = e->next) {
        struct topic *t = gn_container_of(e, struct topic, entry);
        if (e->hash == hash && t->length == n && memcmp(t->name, name, n) == 0)
            return t;
    }
    return NULL;
}

static struct topic *find_or_make(struct gn_topics *ts, const char *name, size_t n)
{
    uint64_t hash = hash_name(ts, name, n);
    struct topic *t = find(ts, hash, name, n);
    if (t || !(t = malloc(sizeof *t + n)))
        return t;
    if (insert(&ts->names, &t->entry, hash) < 0) {
        free(t);
        return NULL;
    }
    gn_list_init(&t->members);
    t->length = n;
    memcpy(t->name, name, n);
    return t;
}

static void drop_if_empty(struct gn_topics *ts, struct topic *t)
{
    if (!gn_list_empty(&t->members))
        return;
    erase(&ts->names, &t->entry);
    free(t);
}

/* ---- memberships ---- */

static struct membership *member(const struct gn_topics *ts, const struct topic *t,
                                 const struct gn_subscriber *s)
{
    for (struct gn_entry *e = chain_of(&ts->memberships, hash_member(t, s)); e;
         e = e->next) {
        struct membership *m = gn_container_of(e, struct membership, entry);
        if (m->topic == t && m->subscriber == s)
            return m;
    }
    return NULL;
}

static int enrol(struct gn_topics *ts, struct topic *t, struct gn_subscriber *s)
{
    struct membership *m = malloc(sizeof *m);
    if (!m || insert(&ts->memberships, &m->entry, hash_member(t, s)) < 0) {
        free(m);
        return -ENOMEM;
    }
    m->topic = t;
    m->subscriber = s;
    gn_list_append(&t->members, &m->link);
    gn_list_append(&s->memberships, &m->own);
    return 1;
}

static void dismiss(struct gn_topics *ts, struct membership *m)
{
    struct topic *t = m->topic;
    erase(&ts->memberships, &m->entry);
    gn_list_del(&m->link);
    gn_list_del(&m->own);
    free(m);
    drop_if_empty(ts, t);
}

int gn_topics_join(struct gn_topics *ts, struct gn_subscriber *s, const char *name,
                   size_t n)
{
    struct topic *t = find_or_make(ts, name, n);
    if (!t)
        return -ENOMEM;
    if (member(ts, t, s))
        return 0;
    int r = enrol(ts, t, s);
    if (r < 0)
        drop_if_empty(ts, t);
    return r;
}

bool gn_topics_leave(struct gn_topics *ts, struct gn_subscriber *s, const char *name,
                     size_t n)
{
    struct topic *t = find(ts, hash_name(ts, name, n), name, n);
    struct membership *m = t ? member(ts, t, s) : NULL;
    if (m)
        dismiss(ts, m);
    return m;
}

void gn_topics_leave_all(struct gn_topics *ts, struct gn_subscriber *s)
{
    while (!gn_list_empty(&s->memberships))
        dismiss(ts, gn_container_of(s->memberships.next, struct membership, own));
}

/* ---- publishing ---- */

bool gn_topics_has(const struct gn_topics *ts, const char *name, size_t n)
{
    return find(ts, hash_name(ts, name, n), name, n);
}

/* Two places in the list of members keep their order whatever the receivers do
 * meanwhile: how far we are, and where those begin who have joined since. They also
 * keep the topic alive. */
size_t gn_topics_publish(struct gn_topics *ts, const char *name, size_t n,
                         struct gn_frame *f)
{
    struct topic *t = find(ts, hash_name(ts, name, n), name, n);
    struct membership here = {0}, end = {0};
    size_t taken = 0;
    if (!t)
        return 0;
    gn_list_push(&t->members, &here.link);
    gn_list_append(&t->members, &end.link);
    while (here.link.next != &end.link) {
        struct gn_list *l = here.link.next;
        struct membership *m = gn_container_of(l, struct membership, link);
        gn_list_del(&here.link);
        gn_list_add_after(l, &here.link);
        if (m->subscriber)
            taken += m->subscriber->deliver(m->subscriber, f);
    }
    gn_list_del(&here.link);
    gn_list_del(&end.link);
    drop_if_empty(ts, t);
    ts->delivered += taken;
    return taken;
}

/* ---- life ---- */

void gn_topics_init(struct gn_topics *ts)
{
    *ts = (struct gn_topics){0};
    if (getrandom(&ts->seed, sizeof ts->seed, GRND_NONBLOCK) < 0)
        ts->seed = (uintptr_t)ts;
}

void gn_topics_term(struct gn_topics *ts)
{
    free(ts->names.chains);
    free(ts->memberships.chains);
    ts->names = ts->memberships = (struct gn_table){0};
}

void gn_subscriber_init(struct gn_subscriber *s,
                        bool (*deliver)(struct gn_subscriber *, struct gn_frame *))
{
    s->deliver = deliver;
    gn_list_init(&s->memberships);
}
