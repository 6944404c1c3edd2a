#include "tick.h"

#include "sched.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { SIGNAL = SIGURG };
static const int64_t WATCH = 60 * GN_SECOND; /* after a stall */

/* ---- computing ---- */

/* Async-signal-safe. */
static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig, (void)context;
    struct gn_sched *s = gn_sched_self();
    struct gn_fiber *f = gn_fiber_self();
    if (info->si_code != SI_TIMER || !s || !f)
        return;
    int saved_errno = errno;
    struct gn_tick *t = &s->tick;
    unsigned ticks = 1 + (unsigned)info->si_overrun;
    if (t->turn != s->turn)
        t->held = 0;
    t->turn = s->turn;
    t->held += ticks;
    t->options.on_tick(f, ticks, t->held);
    errno = saved_errno;
}

static int start_timer(struct gn_tick *t)
{
    struct sigaction sa = {.sa_sigaction = on_signal,
                           .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    struct timespec tick = {.tv_sec = t->options.ns / GN_SECOND,
                            .tv_nsec = t->options.ns % GN_SECOND};
    if (sigaction(SIGNAL, &sa, NULL) < 0 ||
        timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &t->timer) < 0)
        return -errno;
    t->started = true;
    struct itimerspec times = {tick, tick};
    return timer_settime(t->timer, 0, &times, NULL) < 0 ? -errno : 0;
}

int gn_tick_start(struct gn_sched *s, const struct gn_tick_options *o)
{
    s->tick = (struct gn_tick){.options = *o};
    int r = start_timer(&s->tick);
    if (r < 0)
        gn_tick_stop(s);
    return r;
}

void gn_tick_stop(struct gn_sched *s)
{
    if (s->tick.started)
        timer_delete(s->tick.timer);
    s->tick = (struct gn_tick){.options.patience = GN_NEVER};
}

/* ---- blocking ---- */

/* Whether the turn that has just ended was spent computing; on a busy machine that may
 * take some times longer than the processor time used. */
static bool computed(const struct gn_sched *s, int64_t ns)
{
    const struct gn_tick *t = &s->tick;
    return t->turn == s->turn && t->held * t->options.ns > ns / 8;
}

static void tell(struct gn_sched *s, int64_t ns)
{
    if (!s->last || computed(s, ns))
        return;
    s->stalls++;
    s->tick.options.on_stall(s->last, ns);
}

void gn_tick_round(struct gn_sched *s, unsigned turns, int64_t now)
{
    struct gn_tick *t = &s->tick;
    if (turns == 1 && t->watch_until == 0)
        tell(s, now - s->now);
    t->watch_until = now + WATCH;
    t->looked = now;
}

void gn_tick_turn(struct gn_sched *s, bool first)
{
    struct gn_tick *t = &s->tick;
    int64_t now = gn_now(), took = now - (first ? s->now : t->looked);
    t->looked = now;
    if (took > t->options.patience)
        tell(s, took);
    if (now > t->watch_until)
        t->watch_until = 0;
}
