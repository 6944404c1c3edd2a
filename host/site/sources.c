#include "sources.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct source {
    struct source *next;
    char *text; /* behind the name */
    size_t size;
    char name[];
};

struct gn_sources {
    atomic_uint refs;
    pthread_mutex_t lock; /* protects `first`; what is in the list never changes */
    struct source *first;
};

struct gn_sources *gn_sources_new(void)
{
    struct gn_sources *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->refs = 1;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

struct gn_sources *gn_sources_ref(struct gn_sources *s)
{
    if (s)
        atomic_fetch_add(&s->refs, 1);
    return s;
}

void gn_sources_unref(struct gn_sources *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    for (struct source *e = s->first, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* With the lock held. */
static struct source *find(const struct gn_sources *s, const char *name)
{
    struct source *e = s->first;
    while (e && strcmp(e->name, name) != 0)
        e = e->next;
    return e;
}

static struct source *copy(const char *name, const char *text, size_t n)
{
    size_t length = strlen(name) + 1;
    struct source *e = malloc(sizeof *e + length + n);
    if (!e)
        return NULL;
    e->text = e->name + length;
    e->size = n;
    memcpy(e->name, name, length);
    memcpy(e->text, text, n);
    return e;
}

int gn_sources_record(struct gn_sources *s, const char *name, const char *text,
                      size_t n)
{
    int r = 0;
    pthread_mutex_lock(&s->lock);
    struct source *e = find(s, name) ? NULL : copy(name, text, n);
    if (e) {
        e->next = s->first;
        s->first = e;
    } else if (!find(s, name)) {
        r = -ENOMEM;
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

const char *gn_sources_recall(struct gn_sources *s, const char *name, size_t *n)
{
    pthread_mutex_lock(&s->lock);
    const struct source *e = find(s, name);
    pthread_mutex_unlock(&s->lock);
    *n = e ? e->size : 0;
    return e ? e->text : NULL;
}
