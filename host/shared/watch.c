#include "watch.h"

#include "../sched/sched.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A fiber that waits. Out of its list it is on the way to its scheduler. */
struct wait {
    struct gn_list link;
    struct gn_fiber *fiber;
    struct gn_message message;
    unsigned seen;  /* how many changes the stripe had when it last looked */
    bool woken;     /* taken out of the list; protected by the lock */
    bool delivered; /* its scheduler knows; then the memory is the waiter's */
};

struct gn_watches {
    struct gn_marks *marks;
    pthread_t thread;
    atomic_bool stopping;
    pthread_mutex_t lock; /* protects the lists */
    struct gn_list waits[GN_MARKS_STRIPES];
};

/* ---- the thread ---- */

static void on_delivery(struct gn_message *m)
{
    struct wait *w = gn_container_of(m, struct wait, message);
    w->delivered = true;
    gn_wake(w->fiber);
}

static void scan_stripe(struct gn_list *waits, unsigned changes)
{
    for (struct gn_list *l = waits->next, *next; l != waits; l = next) {
        struct wait *w = gn_container_of(l, struct wait, link);
        next = l->next;
        if (w->seen == changes)
            continue;
        gn_list_del(l);
        w->woken = true;
        w->message.fn = on_delivery;
        gn_sched_post(w->fiber->sched, &w->message);
    }
}

static void scan(struct gn_watches *ws)
{
    pthread_mutex_lock(&ws->lock);
    for (unsigned i = 0; i < GN_MARKS_STRIPES; i++)
        if (!gn_list_empty(&ws->waits[i]))
            scan_stripe(&ws->waits[i], atomic_load(&ws->marks->stripes[i].changes));
    pthread_mutex_unlock(&ws->lock);
}

static void *run(void *arg)
{
    struct gn_watches *ws = arg;
    while (!atomic_load(&ws->stopping)) {
        unsigned signal = atomic_load(&ws->marks->signal);
        scan(ws);
        syscall(SYS_futex, &ws->marks->signal, FUTEX_WAIT, signal, NULL, NULL, 0);
    }
    return NULL;
}

/* ---- life ---- */

static int start(struct gn_watches *ws)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&ws->thread, NULL, run, ws);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -r;
}

static struct gn_watches *watches_new(struct gn_marks *b)
{
    struct gn_watches *ws = calloc(1, sizeof *ws);
    if (!ws)
        return NULL;
    ws->marks = b;
    pthread_mutex_init(&ws->lock, NULL);
    for (unsigned i = 0; i < GN_MARKS_STRIPES; i++)
        gn_list_init(&ws->waits[i]);
    if (start(ws) == 0)
        return ws;
    pthread_mutex_destroy(&ws->lock);
    free(ws);
    return NULL;
}

void gn_watches_free(struct gn_watches *ws)
{
    if (!ws)
        return;
    atomic_store(&ws->stopping, true);
    atomic_fetch_add(&ws->marks->signal, 1);
    syscall(SYS_futex, &ws->marks->signal, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    pthread_join(ws->thread, NULL);
    pthread_mutex_destroy(&ws->lock);
    free(ws);
}

/* Those of the store; made by the first that waits. */
static struct gn_watches *watches_of(struct gn_store *s)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    _Atomic(struct gn_watches *) *place = gn_store_watches(s);
    struct gn_watches *ws = atomic_load(place);
    if (ws)
        return ws;
    pthread_mutex_lock(&lock);
    if (!(ws = atomic_load(place)))
        atomic_store(place, ws = watches_new(gn_store_board(s)));
    pthread_mutex_unlock(&lock);
    return ws;
}

/* ---- waiting ---- */

static void enter(struct gn_watches *ws, struct wait *w, unsigned stripe, unsigned seen)
{
    *w = (struct wait){.fiber = gn_fiber_self(), .seen = seen};
    pthread_mutex_lock(&ws->lock);
    gn_list_append(&ws->waits[stripe], &w->link);
    pthread_mutex_unlock(&ws->lock);
}

/* Leaves the list, or waits for who has taken it out. */
static void leave(struct gn_watches *ws, struct wait *w)
{
    pthread_mutex_lock(&ws->lock);
    bool woken = w->woken;
    if (!woken)
        gn_list_del(&w->link);
    pthread_mutex_unlock(&ws->lock);
    while (woken && !w->delivered)
        gn_park_shielded(GN_NEVER);
}

/* Waits until the stripe has changed since `seen`. Returns 0 or as gn_park(). */
static int await(struct gn_watches *ws, unsigned stripe, unsigned seen,
                 int64_t deadline)
{
    struct wait w;
    int r = 0;
    enter(ws, &w, stripe, seen);
    if (atomic_load(&ws->marks->stripes[stripe].changes) == seen)
        while (r == 0 && !w.delivered)
            r = gn_park(deadline);
    leave(ws, &w);
    return r;
}

/* When an entry expires, on the monotonic clock; no later than the deadline. */
static int64_t end_of(struct gn_store *s, const struct gn_item *e, int64_t deadline)
{
    if (!e->expires)
        return deadline;
    int64_t ms = e->expires - gn_store_now(s);
    int64_t expiry = gn_after((ms < 1 ? 1 : ms < 86400000 ? ms : 86400000) * GN_MS);
    return expiry < deadline ? expiry : deadline;
}

int gn_store_watch(struct gn_store *s, const struct gn_key *k, uint64_t version,
                   int64_t deadline, struct gn_item *e, struct gn_scratch *scratch)
{
    struct gn_watches *ws = watches_of(s);
    unsigned stripe = gn_store_stripe(k);
    if (!ws)
        return -ENOMEM;
    struct gn_stripe *st = &ws->marks->stripes[stripe];
    int r = 0;
    atomic_fetch_add(&st->watchers, 1);
    for (;;) {
        unsigned seen = atomic_load(&st->changes);
        if (r < 0 && r != -ETIMEDOUT)
            break;
        int found = gn_store_get(s, k, e, scratch);
        if (found < 0 || e->version != version) {
            r = found;
            break;
        }
        if (r == -ETIMEDOUT && gn_now() >= deadline)
            break;
        r = await(ws, stripe, seen, end_of(s, e, deadline));
    }
    atomic_fetch_sub(&st->watchers, 1);
    return r;
}
