#include "sched.h"

#include "sanitizer.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static _Thread_local struct gn_sched *self;
_Thread_local int64_t gn_clock_ahead;

struct gn_sched *gn_sched_self(void)
{
    return self;
}

/* ---- the inbox ---- */

/* With the lock. */
static void inbox_put(struct gn_sched *s, struct gn_message *m)
{
    m->next = NULL;
    if (atomic_load(&s->inbox.head))
        s->inbox.last->next = m;
    else
        atomic_store(&s->inbox.head, m);
    s->inbox.last = m;
}

void gn_sched_leave_note(struct gn_sched *s, struct gn_message *m)
{
    pthread_mutex_lock(&s->inbox.lock);
    inbox_put(s, m);
    pthread_mutex_unlock(&s->inbox.lock);
}

void gn_sched_rouse(struct gn_sched *s)
{
    if (atomic_load(&s->inbox.asleep) && atomic_exchange(&s->inbox.asleep, false))
        eventfd_write(s->inbox.watch.fd, 1);
}

/* Whoever sends looks at `asleep` after it has set the head, and the loop looks at the
 * head after it has set `asleep`: one of the two notices the other. The message may be
 * the one that ends the scheduler, so all of that is done before it can be taken. */
void gn_sched_post(struct gn_sched *s, struct gn_message *m)
{
    pthread_mutex_lock(&s->inbox.lock);
    inbox_put(s, m);
    gn_sched_rouse(s);
    pthread_mutex_unlock(&s->inbox.lock);
}

static bool inbox_has_any(const struct gn_sched *s)
{
    return atomic_load(&s->inbox.head) != NULL;
}

static struct gn_message *inbox_take(struct gn_sched *s)
{
    pthread_mutex_lock(&s->inbox.lock);
    struct gn_message *m = atomic_exchange(&s->inbox.head, NULL);
    pthread_mutex_unlock(&s->inbox.lock);
    return m;
}

static void inbox_run(struct gn_sched *s)
{
    struct gn_message *m = inbox_has_any(s) ? inbox_take(s) : NULL;
    for (struct gn_message *next; m; m = next) {
        next = m->next;
        m->fn(m);
    }
}

/* The loop looks into the inbox whenever it comes back from the kernel. The eventfd is
 * never read: each write is an edge, which is all that it is for. */
static void on_inbox(struct gn_watch *w, uint32_t events)
{
    (void)w, (void)events;
}

static int inbox_open(struct gn_sched *s)
{
    s->inbox.watch.fn = on_inbox;
    s->inbox.watch.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (s->inbox.watch.fd < 0)
        return -errno;
    return gn_watch_add(&s->poller, &s->inbox.watch, EPOLLIN);
}

static void inbox_close(struct gn_sched *s)
{
    inbox_run(s);
    if (s->inbox.watch.fd >= 0)
        close(s->inbox.watch.fd);
    pthread_mutex_destroy(&s->inbox.lock);
}

/* ---- life ---- */

/* The fiber's name when `fault` lies in the guard below the running fiber's stack. */
static const char *overflown(const void *fault)
{
    struct gn_fiber *f = gn_fiber_self();
    size_t size;
    if (!f)
        return NULL;
    const char *guard = gn_stack_guard(&f->stack, &size);
    return (const char *)fault >= guard && (const char *)fault < guard + size ? f->name
                                                                              : NULL;
}

struct gn_sched *gn_sched_new(void)
{
    struct gn_sched *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->now = gn_now();
    gn_tick_stop(s);
    s->poller.epfd = s->inbox.watch.fd = -1;
    pthread_mutex_init(&s->inbox.lock, NULL);
    gn_list_init(&s->ready);
    gn_list_init(&s->hogs);
    gn_timers_init(&s->timers);
    gn_stacks_init(&s->stacks);
    int r = gn_poller_open(&s->poller);
    if (r == 0)
        r = inbox_open(s);
    if (r == 0)
        r = gn_stack_watch_thread();
    if (r < 0) {
        gn_sched_free(s);
        errno = -r;
        return NULL;
    }
    gn_stack_watch(overflown);
    return self = s;
}

void gn_sched_free(struct gn_sched *s)
{
    gn_tick_stop(s);
    inbox_close(s);
    gn_poller_close(&s->poller);
    gn_stacks_term(&s->stacks);
    gn_timers_term(&s->timers);
    gn_stack_unwatch_thread();
    if (self == s) {
        self = NULL;
        gn_clock_ahead = 0;
    }
    free(s);
}

void gn_sched_adopt(struct gn_sched *s, struct gn_fiber *f)
{
    s->fibers++;
    gn_list_append(&s->ready, &f->link);
}

void gn_sched_bury(struct gn_sched *s, struct gn_fiber *f)
{
    s->ended = f;
}

static void free_ended(struct gn_sched *s)
{
    struct gn_fiber *f = s->ended;
    s->ended = s->last = NULL;
    s->fibers--;
    __tsan_destroy_fiber(f->tsan);
    gn_stack_put(&s->stacks, &f->stack);
    free(f);
}

int64_t gn_sched_lag(struct gn_sched *s)
{
    enum { STRETCH = 30 }; /* s */
    if (s->now - s->lag.since > STRETCH * GN_SECOND) {
        s->lag.last = s->lag.longest;
        s->lag.longest = 0;
        s->lag.since = s->now;
    }
    return s->lag.longest > s->lag.last ? s->lag.longest : s->lag.last;
}

/* ---- the loop ---- */

/* Runs what is ready now; what becomes ready meanwhile has its turn in the next round.
 */
static void run_ready(struct gn_sched *s)
{
    struct gn_list round, *l;
    gn_list_take(&round, &s->ready);
    unsigned before = s->turn;
    while ((l = gn_list_pop(&round))) {
        s->last = gn_container_of(l, struct gn_fiber, link);
        gn_fiber_resume(s->last);
        if (s->tick.watch_until)
            gn_tick_turn(s, s->turn - before == 1);
        if (s->ended)
            free_ended(s);
    }
}

/* Those who have had more than their share run one at a time. */
static void next_hog(struct gn_sched *s)
{
    struct gn_list *l = gn_list_pop(&s->hogs);
    if (l)
        gn_list_append(&s->ready, l);
}

/* While fibers are ready the kernel is asked for news no more often than that: fibers
 * that only yield to each other make short rounds. */
static const int64_t LOOK_AGAIN = 20000; /* ns */

/* Whether nothing can happen before the next timer. */
static bool only_time_passes(const struct gn_sched *s)
{
    return s->outside == 0 && gn_list_empty(&s->ready) &&
           gn_timers_next(&s->timers) != GN_NEVER;
}

/* Blocks until something happens, unless something has. */
static void sleep_until(struct gn_sched *s, int64_t deadline, int64_t now)
{
    atomic_store(&s->inbox.asleep, true);
    gn_poller_poll(&s->poller, inbox_has_any(s) ? 0 : deadline, now);
    atomic_store_explicit(&s->inbox.asleep, false, memory_order_relaxed);
}

/* Waits for news, until the next timer at the latest, or has that be due. */
static void wait_for_news(struct gn_sched *s, bool idle, int64_t now)
{
    bool skips = idle && s->skips && only_time_passes(s);
    if (idle && !skips)
        sleep_until(s, gn_timers_next(&s->timers), now);
    else
        gn_poller_poll(&s->poller, 0, now);
    inbox_run(s);
    int64_t left = skips && only_time_passes(s) ? gn_timers_next(&s->timers) - now : 0;
    if (left > 0)
        gn_clock_ahead += left;
}

void gn_sched_run(struct gn_sched *s)
{
    s->now = gn_now();
    s->tsan = __tsan_get_current_fiber();
    for (;;) {
        unsigned before = s->turn;
        run_ready(s);
        if (s->fibers == 0)
            break;
        bool idle = gn_list_empty(&s->ready) && gn_list_empty(&s->hogs);
        int64_t now = gn_now();
        if (now - s->now > s->lag.longest)
            s->lag.longest = now - s->now;
        if (now - s->now > s->tick.options.patience)
            gn_tick_round(s, s->turn - before, now);
        if (idle || now - s->now >= LOOK_AGAIN) {
            wait_for_news(s, idle, now);
            s->now = gn_now();
            gn_timers_expire(&s->timers, s->now);
        }
        next_hog(s);
    }
}
