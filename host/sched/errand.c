#include "errand.h"

#include <errno.h>

static struct gn_errand *errand_of(struct gn_message *m)
{
    return gn_container_of(m, struct gn_errand, message);
}

/* At home: nothing elsewhere knows of it any more. */
static void on_return(struct gn_message *m)
{
    struct gn_errand *e = errand_of(m);
    e->done = true;
    if (e->waiter)
        gn_wake(e->waiter);
    else if (e->drop)
        e->drop(e);
}

static void send_back(struct gn_errand *e)
{
    e->message.fn = on_return;
    gn_sched_post(e->home, &e->message);
}

static void run(void *arg)
{
    struct gn_errand *e = arg;
    e->fn(e->arg);
    send_back(e);
}

static void on_arrival(struct gn_message *m)
{
    struct gn_errand *e = errand_of(m);
    if (gn_fiber_new(e->there, e->name, run, e))
        return;
    e->error = -ENOMEM;
    send_back(e);
}

void gn_errand_send(struct gn_errand *e, struct gn_sched *there, const char *name,
                    void (*fn)(void *), void *arg)
{
    *e = (struct gn_errand){.message.fn = on_arrival,
                            .home = gn_sched_self(),
                            .there = there,
                            .name = name,
                            .fn = fn,
                            .arg = arg};
    gn_sched_post(there, &e->message);
}

int gn_errand_await_until(struct gn_errand *e, int64_t deadline,
                          void (*drop)(struct gn_errand *))
{
    int r = 0;
    e->waiter = gn_fiber_self();
    while (!e->done && r != -ETIMEDOUT)
        r = gn_park_shielded(deadline);
    e->waiter = NULL;
    if (e->done)
        return e->error;
    e->drop = drop;
    return -ETIMEDOUT;
}

int gn_errand_await(struct gn_errand *e)
{
    return gn_errand_await_until(e, GN_NEVER, NULL);
}

int gn_elsewhere(struct gn_sched *there, const char *name, void (*fn)(void *),
                 void *arg)
{
    struct gn_errand e;
    gn_errand_send(&e, there, name, fn, arg);
    return gn_errand_await(&e);
}
