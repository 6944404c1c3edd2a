#include "thread.h"

#include "../sched/errand.h"
#include "real.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    KEYS = 4,
    WARM = 256,     /* idle threads that keep the pages of their stacks */
    COLD_AFTER = 2, /* seconds */
    RETRY_MS = 20   /* between two attempts to start a thread */
};

struct thread {
    struct gn_list link;  /* in `all`, until joined or, when detached, ended */
    struct gn_list spare; /* in `held_back` until started */
    void *(*fn)(void *);
    void *arg, *result;
    struct gn_fiber *fiber;  /* NULL until started */
    struct gn_fiber *joiner; /* waits for the end of one on its own scheduler */
    struct gn_errand errand; /* of one on another thread's scheduler, which it ends */
    struct gn_timer cold;    /* armed while idle */
    void *value[KEYS];       /* of the keys in `keys` */
    bool ended, detached;
};

/* Which keys are per fiber is a fact of the process: libraries share them between
 * threads. */
static struct {
    pthread_key_t key[KEYS];
    void (*destructor[KEYS])(void *);
    atomic_int count; /* goes up once the key is there; any thread */
} keys;

static _Thread_local struct {
    struct gn_list all, held_back;
    bool as_fibers, first;
    struct gn_sched *const *places; /* for the next threads; NULL when none is left */
    unsigned places_left;
    unsigned idle;         /* threads that wait on idle_on */
    struct gn_timer retry; /* armed while a thread could not be started */
    pthread_cond_t *idle_on;
} mine;

static struct thread *self_thread(void)
{
    struct gn_fiber *f = gn_fiber_self();
    return f ? f->slot[GN_SLOT_THREAD] : NULL;
}

/* ---- life ---- */

static void forget(struct thread *t)
{
    gn_list_del(&t->link);
    gn_list_del(&t->spare);
    free(t);
}

static void run_destructors(struct thread *t)
{
    for (int i = 0; i < keys.count; i++) {
        void *value = t->value[i];
        t->value[i] = NULL;
        if (value && keys.destructor[i])
            keys.destructor[i](value);
    }
}

static void run(void *arg)
{
    struct thread *t = arg;
    t->fiber = gn_fiber_self();
    t->fiber->slot[GN_SLOT_THREAD] = t;
    t->result = t->fn(t->arg);
    run_destructors(t);
    t->ended = true;
    if (t->joiner)
        gn_wake(t->joiner);
    if (t->detached)
        forget(t);
}

static bool start(struct thread *t)
{
    if (!gn_fiber_new(gn_sched_self(), "thread", run, t))
        return false;
    gn_list_del(&t->spare);
    return true;
}

/* Starts a thread on the next of the other schedulers, if there is one left. Who is
 * detached has nobody to whom it could come back. */
static bool start_elsewhere(struct thread *t)
{
    if (mine.places_left == 0 || t->detached)
        return false;
    gn_list_del(&t->spare);
    gn_errand_send(&t->errand, *mine.places, "thread", run, t);
    mine.places++;
    mine.places_left--;
    return true;
}

static int create_fiber(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *),
                        void *arg)
{
    int state = PTHREAD_CREATE_JOINABLE;
    struct thread *t = calloc(1, sizeof *t);
    if (!t)
        return EAGAIN;
    if (attr)
        pthread_attr_getdetachstate(attr, &state);
    t->fn = fn;
    t->arg = arg;
    t->detached = state == PTHREAD_CREATE_DETACHED;
    gn_list_append(&mine.all, &t->link);
    gn_list_append(&mine.held_back, &t->spare);
    *id = (pthread_t)t;
    if (start_elsewhere(t))
        return 0;
    if (mine.first && !start(t)) {
        forget(t);
        return EAGAIN;
    }
    mine.first = false;
    return 0;
}

void gn_threads_as_fibers(void)
{
    if (!mine.all.next) {
        gn_list_init(&mine.all);
        gn_list_init(&mine.held_back);
    }
    mine.as_fibers = mine.first = true;
    mine.idle_on = NULL;
    mine.idle = 0;
}

void gn_threads_on(struct gn_sched *const *places, unsigned count)
{
    gn_threads_as_fibers();
    mine.first = false;
    mine.places = places;
    mine.places_left = count;
}

int gn_threads_plain(void)
{
    mine.as_fibers = false;
    mine.places_left = 0;
    if (gn_list_empty(&mine.held_back))
        return 0;
    return start(gn_container_of(mine.held_back.prev, struct thread, spare)) ? 0
                                                                             : -ENOMEM;
}

int pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*fn)(void *),
                   void *arg)
{
    if (!mine.as_fibers)
        return gn_real()->pthread_create(id, attr, fn, arg);
    return create_fiber(id, attr, fn, arg);
}

/* Those who join do so in the order of creation: what is looked for stands in front. */
static struct thread *find(pthread_t id)
{
    if (!mine.all.next)
        return NULL;
    for (struct gn_list *l = mine.all.next; l != &mine.all; l = l->next)
        if ((pthread_t)gn_container_of(l, struct thread, link) == id)
            return gn_container_of(l, struct thread, link);
    return NULL;
}

/* A thread that was never started has nothing to end. */
int pthread_join(pthread_t id, void **result)
{
    struct thread *t = find(id);
    if (!t)
        return gn_real()->pthread_join(id, result);
    bool held_back = !gn_list_empty(&t->spare);
    if (t->errand.there)
        gn_errand_await(&t->errand);
    else
        t->joiner = gn_fiber_self();
    while (t->joiner && !held_back && !t->ended)
        gn_park_shielded(GN_NEVER);
    if (result)
        *result = t->result;
    forget(t);
    return 0;
}

int pthread_setname_np(pthread_t id, const char *name)
{
    if (!self_thread())
        return gn_real()->pthread_setname_np(id, name);
    gn_fiber_rename(gn_fiber_self(), name);
    return 0;
}

/* ---- the pool that grows ---- */

static void on_cold(struct gn_timer *t)
{
    if (mine.idle > WARM)
        gn_fiber_trim(gn_container_of(t, struct thread, cold)->fiber);
}

static void start_idling(struct thread *t)
{
    struct gn_sched *s = gn_sched_self();
    mine.idle++;
    t->cold.fn = on_cold;
    gn_timer_add(&s->timers, &t->cold, s->now + COLD_AFTER * GN_SECOND);
}

void gn_thread_idle(pthread_cond_t *c)
{
    if (!self_thread())
        return;
    if (!mine.idle_on)
        mine.idle_on = c;
    if (c == mine.idle_on)
        start_idling(self_thread());
}

void gn_thread_busy(pthread_cond_t *c)
{
    if (!self_thread() || c != mine.idle_on)
        return;
    mine.idle--;
    gn_timer_del(&gn_sched_self()->timers, &self_thread()->cold);
}

static bool start_held_back(void)
{
    return start(gn_container_of(mine.held_back.next, struct thread, spare));
}

/* Tries again what failed for lack of memory: whoever gave the work out thinks it is
 * done. */
static void on_retry(struct gn_timer *t)
{
    if (!gn_list_empty(&mine.held_back) && !start_held_back())
        gn_timer_add(&gn_sched_self()->timers, t, gn_after_ms(RETRY_MS));
}

bool gn_thread_start_for(pthread_cond_t *c)
{
    if (c != mine.idle_on || gn_list_empty(&mine.held_back))
        return false;
    if (!start_held_back()) {
        mine.retry.fn = on_retry;
        gn_timer_add(&gn_sched_self()->timers, &mine.retry, gn_after_ms(RETRY_MS));
    }
    return true;
}

/* ---- keys ---- */

int pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
    if (!mine.as_fibers || keys.count == KEYS)
        return gn_real()->pthread_key_create(key, destructor);
    int r = gn_real()->pthread_key_create(key, NULL);
    if (r == 0) {
        keys.key[keys.count] = *key;
        keys.destructor[keys.count] = destructor;
        keys.count++;
    }
    return r;
}

/* The running fiber's place for a key; NULL when the value is the OS thread's. */
static void **value_of(pthread_key_t key)
{
    struct thread *t = keys.count ? self_thread() : NULL;
    for (int i = 0; t && i < keys.count; i++)
        if (keys.key[i] == key)
            return &t->value[i];
    return NULL;
}

void *pthread_getspecific(pthread_key_t key)
{
    void **value = value_of(key);
    return value ? *value : gn_real()->pthread_getspecific(key);
}

int pthread_setspecific(pthread_key_t key, const void *v)
{
    void **value = value_of(key);
    if (!value)
        return gn_real()->pthread_setspecific(key, v);
    *value = (void *)v;
    return 0;
}
