#include "runner.h"

#include <errno.h>
#include <signal.h>

static void reside(void *arg)
{
    struct gn_runner *r = arg;
    while (!r->stopping)
        gn_park_shielded(GN_NEVER);
}

static void stop_residing(void *arg)
{
    struct gn_runner *r = arg;
    r->stopping = true;
    gn_wake(r->resident);
}

static int prepare(struct gn_runner *r)
{
    struct gn_sched *s = gn_sched_new();
    if (!s)
        return -errno;
    s->pool = r->pool;
    s->owner = r->owner;
    r->resident = gn_fiber_new(s, "resident", reside, r);
    if (!r->resident) {
        gn_sched_free(s);
        return -ENOMEM;
    }
    r->sched = s;
    return 0;
}

static void *run(void *arg)
{
    struct gn_runner *r = arg;
    r->error = prepare(r);
    sem_post(&r->started);
    if (r->sched) {
        gn_sched_run(r->sched);
        gn_sched_free(r->sched);
    }
    return NULL;
}

/* Of what is sent to the process as a whole; what a thread brings upon itself, its
 * ticks included, reaches it. */
static int create(struct gn_runner *r)
{
    static const int own[] = {SIGURG, SIGSEGV, SIGBUS, SIGFPE,
                              SIGILL, SIGABRT, SIGTRAP};
    sigset_t others, old;
    sigfillset(&others);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&others, own[i]);
    pthread_sigmask(SIG_SETMASK, &others, &old);
    int e = pthread_create(&r->id, NULL, run, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return -e;
}

int gn_runner_start(struct gn_runner *r, struct gn_pool *pool, void *owner)
{
    *r = (struct gn_runner){.pool = pool, .owner = owner};
    sem_init(&r->started, 0, 0);
    int e = create(r);
    if (e == 0) {
        while (sem_wait(&r->started) < 0)
            continue;
        e = r->error;
        if (e < 0)
            pthread_join(r->id, NULL);
    }
    sem_destroy(&r->started);
    return e;
}

void gn_runner_stop(struct gn_runner *r)
{
    if (!r->sched)
        return;
    while (gn_elsewhere(r->sched, "stop", stop_residing, r) < 0)
        gn_sleep_until(gn_after(GN_MS));
    pthread_join(r->id, NULL);
    r->sched = NULL;
}
