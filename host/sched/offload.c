#include "offload.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { IDLE_SECONDS = 10, INTERRUPT_MS = 10, HEAVY_LEAST = 4 };

struct gn_pool {
    pthread_mutex_t lock; /* protects everything here, and each job's `link` */
    pthread_cond_t work;  /* a job was queued, or the pool closes */
    pthread_cond_t quiet; /* a thread has ended */
    struct gn_list queue;
    struct gn_list held; /* heavy jobs that wait until another one has ended */
    unsigned queued, threads, idle, most;
    unsigned heavy, most_heavy; /* heavy jobs: queued or running, and how many may be */
    bool closing;
};

/* As many as there are processors; some threads are left for the others. */
static unsigned heavy_bound(unsigned threads)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned most = processors < HEAVY_LEAST ? HEAVY_LEAST : (unsigned)processors;
    unsigned spared = threads - threads / 4;
    return most < spared ? most : spared;
}

struct gn_pool *gn_pool_new(unsigned threads)
{
    struct gn_pool *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, &attr);
    pthread_cond_init(&p->quiet, &attr);
    pthread_condattr_destroy(&attr);
    gn_list_init(&p->queue);
    gn_list_init(&p->held);
    p->most = threads;
    p->most_heavy = heavy_bound(threads);
    return p;
}

void gn_pool_look(struct gn_pool *p, struct gn_pool_state *s)
{
    pthread_mutex_lock(&p->lock);
    *s = (struct gn_pool_state){p->queued, p->threads, p->idle};
    for (const struct gn_list *l = p->held.next; l != &p->held; l = l->next)
        s->queued++;
    pthread_mutex_unlock(&p->lock);
}

/* ---- the queue; all called with the lock held ---- */

static void push(struct gn_pool *p, struct gn_job *job)
{
    job->held = false;
    gn_list_append(&p->queue, &job->link);
    p->queued++;
}

/* A heavy job was run or left the queue: the next one may be queued. */
static void admit(struct gn_pool *p)
{
    struct gn_list *l = gn_list_pop(&p->held);
    if (l)
        push(p, gn_container_of(l, struct gn_job, link));
    else
        p->heavy--;
}

/* Whether the job is to wait for other heavy ones; else it counts as one from now on.
 */
static bool hold(struct gn_pool *p, struct gn_job *job)
{
    job->held = job->heavy && p->heavy >= p->most_heavy;
    if (job->held)
        gn_list_append(&p->held, &job->link);
    else
        p->heavy += job->heavy;
    return job->held;
}

/* Takes a job that no thread has begun out of its list. */
static void unqueue(struct gn_pool *p, struct gn_job *job)
{
    gn_list_del(&job->link);
    if (job->held)
        return;
    p->queued--;
    if (job->heavy)
        admit(p);
}

/* Takes the first job out of the queue; NULL when it is empty. */
static struct gn_job *pop(struct gn_pool *p)
{
    struct gn_list *l = gn_list_pop(&p->queue);
    if (!l)
        return NULL;
    p->queued--;
    return gn_container_of(l, struct gn_job, link);
}

/* ---- on the scheduler's thread ---- */

/* The job has come back: tell the fiber, or free what nobody waits for. */
static void on_done(struct gn_message *m)
{
    struct gn_job *job = gn_container_of(m, struct gn_job, message);
    if (!job->fiber) {
        job->drop(job);
        return;
    }
    job->done = true;
    gn_wake(job->fiber);
}

/* ---- on a pool thread ---- */

/* Next job, or NULL when the thread should end. Called and returns with the lock held.
 */
static struct gn_job *next_job(struct gn_pool *p)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_SECONDS;
    int r = 0;
    p->idle++;
    while (gn_list_empty(&p->queue) && !p->closing && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&p->work, &p->lock, &until);
    p->idle--;
    return pop(p);
}

static void *serve(void *arg)
{
    struct gn_pool *p = arg;
    struct gn_job *job;
    pthread_mutex_lock(&p->lock);
    while ((job = next_job(p))) {
        struct gn_sched *sched = job->sched;
        bool heavy = job->heavy;
        pthread_mutex_unlock(&p->lock);
        job->run(job);
        gn_sched_post(sched, &job->message);
        pthread_mutex_lock(&p->lock);
        if (heavy)
            admit(p);
    }
    p->threads--;
    pthread_cond_signal(&p->quiet);
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Signals stay with the host's own threads. Called with the lock held. */
static int start_thread(struct gn_pool *p)
{
    pthread_t id;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&id, NULL, serve, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return -r;
    pthread_detach(id);
    p->threads++;
    return 0;
}

/* ---- the calling fiber ---- */

static int enqueue(struct gn_pool *p, struct gn_job *job)
{
    int r = 0;
    pthread_mutex_lock(&p->lock);
    if (hold(p, job))
        goto out;
    if (p->queued >= p->idle && p->threads < p->most)
        r = start_thread(p);
    if (r < 0 && p->threads > 0)
        r = 0; /* the others will do */
    if (r == 0) {
        push(p, job);
        pthread_cond_signal(&p->work);
    } else if (job->heavy) {
        admit(p);
    }
out:
    pthread_mutex_unlock(&p->lock);
    return r < 0 ? -ENOMEM : 0;
}

/* Takes a job out of the queue; false when a thread has begun it. It may come back
 * while this fiber waits for the lock. */
static bool take_back(struct gn_pool *p, struct gn_job *job)
{
    pthread_mutex_lock(&p->lock);
    bool queued = !gn_list_empty(&job->link);
    if (queued)
        unqueue(p, job);
    pthread_mutex_unlock(&p->lock);
    return queued;
}

/* Leaves a job that a thread has begun to on_done(). */
static void abandon(struct gn_pool *p, struct gn_job *job)
{
    bool queued = take_back(p, job);
    job->fiber = NULL;
    if (queued || job->done)
        job->drop(job);
}

static void begin(struct gn_job *job, struct gn_fiber *self)
{
    job->fiber = self;
    job->sched = self->sched;
    job->message.fn = on_done;
    job->done = false;
    gn_list_init(&job->link);
}

int gn_offload(struct gn_job *job)
{
    struct gn_fiber *self = gn_fiber_self();
    struct gn_pool *p = self->sched->pool;
    begin(job, self);
    int r = gn_fiber_cause(self);
    if (r < 0) {
        job->drop(job);
        return r;
    }
    r = enqueue(p, job);
    if (r == -ENOMEM)
        return r;
    self->sched->outside++;
    while (r == 0 && !job->done)
        r = gn_park(GN_NEVER);
    self->sched->outside--;
    if (job->done)
        return 0;
    abandon(p, job);
    return r;
}

static void await_interrupted(struct gn_job *job, void (*interrupt)(struct gn_job *))
{
    while (!job->done) {
        interrupt(job);
        if (gn_park_shielded(gn_after_ms(INTERRUPT_MS)) == -ENOMEM)
            gn_yield();
    }
}

int gn_offload_attended(struct gn_job *job, void (*interrupt)(struct gn_job *))
{
    struct gn_fiber *self = gn_fiber_self();
    struct gn_pool *p = self->sched->pool;
    begin(job, self);
    int r = interrupt ? gn_fiber_cause(self) : 0;
    if (r == 0)
        r = enqueue(p, job);
    if (r < 0)
        return r;
    self->sched->outside++;
    while (r == 0 && !job->done)
        r = interrupt ? gn_park(GN_NEVER) : gn_park_shielded(GN_NEVER);
    self->sched->outside--;
    if (job->done)
        return 0;
    if (take_back(p, job))
        return r;
    await_interrupted(job, interrupt);
    return 0;
}

void gn_pool_free(struct gn_pool *p)
{
    struct gn_list *l;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    while ((l = gn_list_pop(&p->held)) || (l = gn_list_pop(&p->queue))) {
        struct gn_job *job = gn_container_of(l, struct gn_job, link);
        job->drop(job);
    }
    p->queued = 0;
    pthread_cond_broadcast(&p->work);
    while (p->threads > 0)
        pthread_cond_wait(&p->quiet, &p->lock);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->quiet);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
