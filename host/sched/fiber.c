#include "fiber.h"

#include "sanitizer.h"
#include "sched.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- switching: the only two places where a stack changes, so sanitizers are told
 * here ---- */

static _Thread_local struct gn_fiber *self;

__attribute__((noinline)) GN_WITHOUT_TSAN struct gn_fiber *gn_fiber_self(void)
{
    struct gn_fiber *f = self;
    __asm__ volatile("" : "+r"(f)); /* no caller may assume that two calls agree */
    return f;
}

void gn_fiber_resume(struct gn_fiber *f)
{
    struct gn_sched *s = f->sched;
    void *fake_stack = NULL;
    s->turn++;
    self = f;
    if (s->meter.on)
        s->meter.resumed = gn_meter_ticks();
    __sanitizer_start_switch_fiber(&fake_stack, f->stack.base, f->stack.size);
    __tsan_switch_to_fiber(f->tsan, 0);
    gn_context_switch(&s->loop, &f->context);
    __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
    self = NULL;
    if (s->meter.on)
        f->ran += gn_meter_ticks() - s->meter.resumed;
}

/* Back to the loop. A fiber that has ended gives no place to keep its fake stack. */
static void leave(struct gn_fiber *f, void **fake_stack)
{
    struct gn_sched *s = f->sched;
    f->spent = 0;
    __sanitizer_start_switch_fiber(fake_stack, s->loop_stack.base, s->loop_stack.size);
    __tsan_switch_to_fiber(s->tsan, 0);
    gn_context_switch(&f->context, &s->loop);
    __sanitizer_finish_switch_fiber(f->sanitizer, NULL, NULL);
}

static void entry(void)
{
    struct gn_fiber *f = self;
    const void *bottom = NULL;
    size_t size = 0;
    __sanitizer_finish_switch_fiber(NULL, &bottom, &size);
    if (bottom)
        f->sched->loop_stack = (struct gn_stack){.base = (void *)bottom, .size = size};
    f->fn(f->arg);
    gn_sched_bury(f->sched, f);
    leave(f, NULL);
    abort(); /* an ended fiber is never resumed */
}

/* ---- life ---- */

/* Makes a parked fiber ready, with what its wait shall return. The first cause wins. */
static void wake_with(struct gn_fiber *f, int result)
{
    if (!f->parked)
        return;
    f->parked = false;
    f->result = result;
    gn_list_append(&f->sched->ready, &f->link);
}

static void on_deadline(struct gn_timer *t)
{
    struct gn_fiber *f = gn_container_of(t, struct gn_fiber, timer);
    wake_with(f, -ETIMEDOUT);
}

struct gn_fiber *gn_fiber_new(struct gn_sched *s, const char *name, void (*fn)(void *),
                              void *arg)
{
    struct gn_fiber *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    if (gn_stack_get(&s->stacks, &f->stack) < 0) {
        free(f);
        return NULL;
    }
    f->sched = s;
    f->fn = fn;
    f->arg = arg;
    f->timer.fn = on_deadline;
    f->tsan = __tsan_create_fiber(0);
    gn_fiber_rename(f, name);
    gn_list_init(&f->link);
    gn_context_make(&f->context, f->stack.base, f->stack.size, entry);
    gn_sched_adopt(s, f);
    return f;
}

void gn_fiber_rename(struct gn_fiber *f, const char *name)
{
    size_t n = strnlen(name, sizeof f->name - 1);
    memcpy(f->name, name, n);
    f->name[n] = '\0';
}

void gn_fiber_trim(struct gn_fiber *f)
{
    enum { SPARED = 4096 }; /* bytes below `depth` that the switch itself has used */
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), low = (uintptr_t)f->stack.base;
    uintptr_t high = ((uintptr_t)f->depth - SPARED) & ~(page - 1);
    if (f->parked && high > low)
        madvise((void *)low, high - low, MADV_DONTNEED);
}

/* ---- waiting ---- */

bool gn_may_park(void)
{
    struct gn_fiber *f = gn_fiber_self();
    return f && (!f->may_park || f->may_park(f));
}

/* Does what is to be done before a wait. That may wait itself, and use up the wake that
 * the caller is about to wait for: returns whether it was woken. */
static bool prepare(struct gn_fiber *f)
{
    unsigned wakes = f->wakes;
    int saved_errno = errno;
    if (f->before_park)
        f->before_park(f);
    errno = saved_errno;
    return f->wakes != wakes;
}

static int park(struct gn_fiber *f, int64_t deadline)
{
    int saved_errno = errno;
    if (deadline != GN_NEVER &&
        gn_timer_add(&f->sched->timers, &f->timer, deadline) < 0)
        return -ENOMEM;
    f->parked = true;
    f->since = f->sched->now;
    f->waits++;
    f->depth = __builtin_frame_address(0);
    leave(f, &f->sanitizer);
    gn_timer_del(&f->sched->timers, &f->timer);
    errno = saved_errno;
    return f->result;
}

/* Whoever tries again and again, although he is interrupted, keeps nobody waiting. */
static int interrupted(int cause)
{
    gn_yield();
    return cause;
}

int gn_park(int64_t deadline)
{
    struct gn_fiber *f = gn_fiber_self();
    int cause = gn_fiber_cause(f);
    if (cause)
        return interrupted(cause);
    bool woken = prepare(f);
    cause = gn_fiber_cause(f);
    return cause ? cause : woken ? 0 : park(f, deadline);
}

int gn_park_shielded(int64_t deadline)
{
    struct gn_fiber *f = gn_fiber_self();
    if (prepare(f))
        return 0;
    f->shielded = true;
    int r = park(f, deadline);
    f->shielded = false;
    return r;
}

void gn_prepare(void)
{
    prepare(gn_fiber_self());
}

void gn_wake(struct gn_fiber *f)
{
    f->wakes += f->parked;
    wake_with(f, 0);
}

int gn_park_in(struct gn_fiber **place, int64_t deadline)
{
    *place = gn_fiber_self();
    int r = gn_park(deadline);
    *place = NULL;
    return r;
}

void gn_wake_in(struct gn_fiber **place)
{
    struct gn_fiber *f = *place;
    *place = NULL;
    if (f)
        gn_wake(f);
}

static void yield_into(struct gn_fiber *f, struct gn_list *queue)
{
    int saved_errno = errno;
    prepare(f);
    gn_list_append(queue, &f->link);
    leave(f, &f->sanitizer);
    errno = saved_errno;
}

void gn_yield(void)
{
    struct gn_fiber *f = gn_fiber_self();
    yield_into(f, &f->sched->ready);
}

void gn_give_way(void)
{
    struct gn_fiber *f = gn_fiber_self();
    yield_into(f, &f->sched->hogs);
}

void gn_spend(size_t bytes)
{
    enum { SLICE = 1024 * 1024, LEAST = 1024 };
    struct gn_fiber *f = gn_fiber_self();
    f->spent += bytes < LEAST ? LEAST : bytes;
    if (f->spent < SLICE || !gn_may_park())
        return;
    gn_yield();
}

int gn_sleep_until(int64_t deadline)
{
    int r;
    do
        r = gn_park(deadline);
    while (r == 0);
    return r == -ETIMEDOUT ? 0 : r;
}

/* ---- interruption ---- */

int gn_fiber_cause(const struct gn_fiber *f)
{
    for (const struct gn_scope *s = f->scope; s; s = s->outer) {
        if (s->applies && !s->applies(s))
            continue;
        if (s->cause)
            return s->cause;
        if (s->shield)
            return 0;
    }
    return f->cancelled;
}

/* Ends the present wait if what has happened reaches it. */
static void interrupt(struct gn_fiber *f)
{
    int cause = gn_fiber_cause(f);
    if (cause && !f->shielded)
        wake_with(f, cause);
}

void gn_cancel(struct gn_fiber *f, int cause)
{
    if (f->cancelled)
        return;
    f->cancelled = cause;
    interrupt(f);
}

void gn_scope_cancel(struct gn_scope *s, int cause)
{
    if (s->cause)
        return;
    s->cause = cause;
    if (s->fiber)
        interrupt(s->fiber);
}

static void on_expiry(struct gn_timer *t)
{
    gn_scope_cancel(gn_container_of(t, struct gn_scope, timer), -ETIME);
}

void gn_scope_enter(struct gn_scope *s, struct gn_fiber *f)
{
    s->fiber = f;
    s->outer = f->scope;
    f->scope = s;
}

int gn_scope_expire(struct gn_scope *s, int64_t deadline)
{
    s->timer.fn = on_expiry;
    return gn_timer_add(&s->fiber->sched->timers, &s->timer, deadline);
}

void gn_scope_remove(struct gn_scope *s)
{
    struct gn_fiber *f = s->fiber;
    if (!f)
        return;
    struct gn_scope **at = &f->scope;
    while (*at != s)
        at = &(*at)->outer;
    *at = s->outer;
    gn_timer_del(&f->sched->timers, &s->timer);
    s->fiber = NULL;
}

void gn_scope_leave(struct gn_scope *s)
{
    struct gn_fiber *f = s->fiber;
    while (f && s->fiber)
        gn_scope_remove(f->scope);
}
