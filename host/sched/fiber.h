/* Fibers: stackful coroutines, each on one scheduler and one OS thread for life.
 *
 * A fiber runs until it waits. Waiting is one primitive, gn_park(), that everything
 * else is made of: sleeping, descriptors, offloaded calls, locks. errno survives it.
 * Except where a contract says "any thread", call everything on the scheduler's own
 * thread. */
#ifndef GN_FIBER_H
#define GN_FIBER_H

#include "context.h"
#include "list.h"
#include "stack.h"
#include "timer.h"

struct gn_sched;

/* What layers above hang on a fiber; this layer only keeps the pointers. */
enum gn_slot { GN_SLOT_LUA, GN_SLOT_WIRE, GN_SLOT_THREAD, GN_SLOTS };

struct gn_fiber {
    struct gn_sched *sched;
    struct gn_context context;
    struct gn_stack stack;
    struct gn_list link;   /* in the run queue while ready, else in no list */
    struct gn_timer timer; /* armed while parked with a deadline */
    void (*fn)(void *);
    void *arg;
    void *slot[GN_SLOTS];
    void *depth;   /* how far down its stack it was when it parked */
    size_t spent;  /* see gn_spend(); since the last wait */
    int result;    /* what the running wait returns */
    int cancelled; /* negative errno every wait returns from now on; 0 while not
                      cancelled */
    bool parked;   /* waiting, and nobody has woken it */
    bool shielded; /* the running wait is not a cancellation point */
    void (*before_park)(struct gn_fiber *); /* called before it waits; NULL: nothing */
    bool (*may_park)(struct gn_fiber *);    /* NULL: always; see gn_may_park() */
    void *sanitizer; /* AddressSanitizer's fake stack, saved across a switch */
    char name[32];
};

/* Makes a fiber that runs fn(arg) and frees itself at its end. It is ready at once and
 * first runs when the caller waits. `name` is copied, cut at 31 bytes. Returns NULL
 * when out of memory. */
struct gn_fiber *gn_fiber_new(struct gn_sched *, const char *name, void (*fn)(void *),
                              void *arg);

/* The running fiber; NULL on the loop's own stack and on threads without a scheduler.
 * Any thread. Never inlined and never to be cached across a wait. */
struct gn_fiber *gn_fiber_self(void);

void gn_fiber_rename(struct gn_fiber *, const char *name);

/* Whether a call made here may wait: on a fiber that does not forbid it at this moment
 * (Lua forbids it while its collector runs a finalizer). Where it may not, make the
 * plain blocking call. */
bool gn_may_park(void);

/* Parks the running fiber. May wait.
 * Returns 0 when woken by gn_wake(), -ETIMEDOUT at the deadline, -ECANCELED (or the
 * errno given to gn_cancel()) when the fiber is or becomes cancelled, -ENOMEM when the
 * deadline cannot be kept. */
int gn_park(int64_t deadline);

/* gn_park() that is not a cancellation point: for locks, whose callers cannot fail. */
int gn_park_shielded(int64_t deadline);

/* Makes a parked fiber ready; its wait returns 0. Does nothing to a fiber that is not
 * parked, so two causes may fire in one round and the first counts. */
void gn_wake(struct gn_fiber *);

/* Lets every ready fiber run once before the caller goes on. */
void gn_yield(void);

/* Counts a call that moved so many bytes and did not wait. After a megabyte or a
 * thousand calls without a wait it lets the others run: a peer that is always faster
 * than we are must not have the thread for itself. May wait, where gn_may_park(). */
void gn_spend(size_t bytes);

/* Sleeps. May wait. Returns 0 when the deadline has come, else a negative errno. */
int gn_sleep_until(int64_t deadline);

/* Makes the present wait and every later one return `cause`, a negative errno such as
 * -ECANCELED. The first cause stays. The fiber itself unwinds by its ordinary error
 * paths. */
void gn_cancel(struct gn_fiber *, int cause);

/* Gives the pages of a parked fiber's stack that it does not use at present back to the
 * kernel: for one that has waited for long. Costs a system call, and faults when it
 * goes on. */
void gn_fiber_trim(struct gn_fiber *);

/* For the loop only: runs `f` until it waits or ends. */
void gn_fiber_resume(struct gn_fiber *f);

#endif
