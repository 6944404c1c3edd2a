#include "bus.h"

#include "../libc/real.h"
#include "../log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_ROOM = 16, /* a power of two */
    TELL_SECONDS = 5 /* between two log lines, while a burst lasts */
};

static void lock(struct gn_bus *b)
{
    gn_real()->pthread_mutex_lock(&b->lock);
}

static void unlock(struct gn_bus *b)
{
    gn_real()->pthread_mutex_unlock(&b->lock);
}

/* ---- messages ---- */

struct gn_bus_message *gn_bus_message_new(enum gn_bus_kind kind, const char *topic,
                                          size_t n, const char *payload, size_t length)
{
    struct gn_bus_message *m = malloc(sizeof *m + n + length);
    if (!m)
        return NULL;
    atomic_init(&m->refs, 1);
    m->kind = kind;
    m->topic_length = n;
    m->length = length;
    if (topic)
        memcpy(m->bytes, topic, n);
    if (payload)
        memcpy(m->bytes + n, payload, length);
    return m;
}

static void ref(struct gn_bus_message *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
}

void gn_bus_message_unref(struct gn_bus_message *m)
{
    if (m && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
        free(m);
}

static size_t size_of(const struct gn_bus_message *m)
{
    return m->topic_length + m->length;
}

/* ---- queues; all under the lock ---- */

static int widen(struct gn_bus_member *m)
{
    size_t room = m->room ? 2 * m->room : FIRST_ROOM;
    struct gn_bus_message **ring = malloc(room * sizeof *ring);
    if (!ring)
        return -ENOMEM;
    for (size_t i = 0; i < m->count; i++)
        ring[i] = m->ring[(m->first + i) & (m->room - 1)];
    free(m->ring);
    m->ring = ring;
    m->room = room;
    m->first = 0;
    return 0;
}

static bool has_room(struct gn_bus_member *m, size_t size)
{
    if (m->count >= GN_BUS_MESSAGES || (m->count && m->bytes + size > GN_BUS_BYTES))
        return false;
    return m->count < m->room || widen(m) == 0;
}

static void count_missed(struct gn_bus_member *m, size_t n)
{
    m->missed += n;
    m->dropped += n;
}

static void put(struct gn_bus_member *m, struct gn_bus_message *message)
{
    if (!has_room(m, size_of(message))) {
        count_missed(m, 1);
        return;
    }
    ref(message);
    m->ring[(m->first + m->count++) & (m->room - 1)] = message;
    m->bytes += size_of(message);
}

static size_t take(struct gn_bus_member *m, struct gn_bus_message **batch, size_t most)
{
    size_t n = m->count < most ? m->count : most;
    for (size_t i = 0; i < n; i++) {
        batch[i] = m->ring[m->first];
        m->first = (m->first + 1) & (m->room - 1);
        m->bytes -= size_of(batch[i]);
    }
    m->count -= n;
    return n;
}

static void clear(struct gn_bus_member *m)
{
    struct gn_bus_message *message;
    while (take(m, &message, 1))
        gn_bus_message_unref(message);
    free(m->ring);
    m->ring = NULL;
    m->first = m->room = 0;
}

/* ---- delivering: on the member's thread ---- */

/* Takes what comes next. What has been missed is to be told of when nothing is left,
 * and every now and then before. With nothing left and nothing to tell the member is
 * idle: the next publisher sends a note. */
static size_t take_batch(struct gn_bus_member *m, struct gn_bus_message **batch,
                         size_t *missed)
{
    lock(m->bus);
    size_t n = take(m, batch, GN_BUS_BATCH);
    bool tell = m->missed > 0 && (n == 0 || gn_now() > m->tell_after);
    *missed = tell ? m->missed : 0;
    if (tell)
        m->missed = 0;
    m->busy = n > 0 || tell;
    unlock(m->bus);
    return n;
}

static void tell(struct gn_bus_member *m, size_t missed)
{
    gn_log(GN_WARN, "%zu published messages were dropped: %s did not keep up", missed,
           m->name);
    m->tell_after = gn_after(TELL_SECONDS * GN_SECOND);
}

static void end_turn(struct gn_bus_member *m)
{
    m->fiber = NULL;
    if (m->leaver)
        gn_wake(m->leaver);
}

static void work(void *arg)
{
    struct gn_bus_member *m = arg;
    struct gn_bus_message *batch[GN_BUS_BATCH];
    size_t n, missed;
    while ((n = take_batch(m, batch, &missed)) > 0 || missed > 0) {
        if (n > 0)
            m->deliver(m, batch, n);
        for (size_t i = 0; i < n; i++)
            gn_bus_message_unref(batch[i]);
        if (missed > 0)
            tell(m, missed);
    }
    end_turn(m);
}

/* Nothing can be delivered without memory for a fiber. */
static void give_up(struct gn_bus_member *m)
{
    lock(m->bus);
    count_missed(m, m->count);
    clear(m);
    m->busy = false;
    unlock(m->bus);
    end_turn(m);
}

static void on_note(struct gn_message *note)
{
    struct gn_bus_member *m = gn_container_of(note, struct gn_bus_member, note);
    if (!m->leaver)
        m->fiber = gn_fiber_new(m->sched, "bus", work, m);
    if (!m->fiber)
        give_up(m);
}

/* ---- publishing ---- */

/* Chains the members that are to get a note by the `next` of theirs. Being busy they
 * stay members until it has come. */
static struct gn_message *put_all(struct gn_bus *b, const struct gn_bus_member *from,
                                  struct gn_bus_message *message)
{
    struct gn_message *notes = NULL;
    for (struct gn_list *l = b->members.next; l != &b->members; l = l->next) {
        struct gn_bus_member *m = gn_container_of(l, struct gn_bus_member, link);
        if (m == from)
            continue;
        put(m, message);
        if (m->busy)
            continue;
        m->busy = true;
        m->note.next = notes;
        notes = &m->note;
    }
    return notes;
}

void gn_bus_publish(struct gn_bus *b, const struct gn_bus_member *from,
                    struct gn_bus_message *message)
{
    lock(b);
    struct gn_message *notes = put_all(b, from, message);
    unlock(b);
    for (struct gn_message *note = notes, *next; note; note = next) {
        next = note->next;
        gn_sched_post(gn_container_of(note, struct gn_bus_member, note)->sched, note);
    }
}

size_t gn_bus_dropped(struct gn_bus_member *m)
{
    lock(m->bus);
    size_t n = m->dropped;
    unlock(m->bus);
    return n;
}

void gn_bus_drop(struct gn_bus_member *m, size_t n)
{
    lock(m->bus);
    m->dropped += n;
    unlock(m->bus);
}

/* ---- life ---- */

void gn_bus_init(struct gn_bus *b)
{
    pthread_mutex_init(&b->lock, NULL);
    gn_list_init(&b->members);
    atomic_init(&b->count, 0);
}

void gn_bus_term(struct gn_bus *b)
{
    pthread_mutex_destroy(&b->lock);
}

void gn_bus_join(struct gn_bus *b, struct gn_bus_member *m, const char *name,
                 void (*deliver)(struct gn_bus_member *, struct gn_bus_message *const *,
                                 size_t))
{
    *m = (struct gn_bus_member){
        .bus = b, .sched = gn_sched_self(), .name = name, .deliver = deliver};
    m->note.fn = on_note;
    lock(b);
    gn_list_append(&b->members, &m->link);
    atomic_fetch_add(&b->count, 1);
    unlock(b);
}

static bool take_out(struct gn_bus_member *m)
{
    lock(m->bus);
    gn_list_del(&m->link);
    atomic_fetch_sub(&m->bus->count, 1);
    clear(m);
    bool busy = m->busy;
    unlock(m->bus);
    return busy;
}

static bool is_busy(struct gn_bus_member *m)
{
    lock(m->bus);
    bool busy = m->busy || m->fiber;
    unlock(m->bus);
    return busy;
}

int gn_bus_flush(struct gn_bus_member *m, int64_t deadline)
{
    int r = 0;
    while (m->bus && is_busy(m) && r == 0)
        r = gn_now() < deadline ? gn_sleep_until(gn_after(GN_MS)) : -ETIMEDOUT;
    return r;
}

void gn_bus_leave(struct gn_bus_member *m)
{
    if (!m->bus)
        return;
    m->leaver = gn_fiber_self();
    if (take_out(m) && m->fiber)
        gn_cancel(m->fiber, -ECANCELED);
    while (is_busy(m))
        gn_park_shielded(GN_NEVER);
    m->bus = NULL;
}
