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

/* A stretch of a fiber's work that can be interrupted as a whole: a task, a request, a
 * call with a deadline. The scopes of a fiber nest. Each belongs to whoever embeds it,
 * who zeroes it first. */
struct gn_scope {
    struct gn_scope *outer;
    struct gn_fiber *fiber; /* whose work it is; NULL outside enter and leave */
    struct gn_timer timer;  /* armed while it has a deadline */
    int cause;   /* negative errno that every wait inside returns; 0: not interrupted */
    bool shield; /* what interrupts an outer scope waits until this one has ended */
    bool (*applies)(const struct gn_scope *); /* whether what the fiber does at present
                                                 is inside it; NULL: it is */
};

struct gn_fiber {
    struct gn_sched *sched;
    struct gn_context context;
    struct gn_stack stack;
    struct gn_list link;   /* in the run queue while ready, else in no list */
    struct gn_timer timer; /* armed while parked with a deadline */
    void (*fn)(void *);
    void *arg;
    void *slot[GN_SLOTS];
    void *depth;    /* how far down its stack it was when it parked */
    size_t spent;   /* see gn_spend(); since the last wait */
    uint64_t ran;   /* while the meter is on: until it was last left, in ticks */
    int64_t since;  /* when it was last parked: the loop's time; monotonic ns */
    unsigned waits; /* counts how often it was parked */
    int result;     /* what the running wait returns */
    unsigned wakes; /* that have ended its waits */
    int cancelled;  /* as the cause of a scope around all the others */
    struct gn_scope *scope; /* innermost; NULL outside any */
    bool parked;            /* waiting, and nobody has woken it */
    bool shielded;          /* the running wait is not a cancellation point */
    void (*before_park)(struct gn_fiber *); /* called before it waits; NULL: nothing */
    bool (*may_park)(struct gn_fiber *);    /* NULL: always; see gn_may_park() */
    void *sanitizer; /* AddressSanitizer's fake stack, saved across a switch */
    void *tsan;      /* what ThreadSanitizer knows it by */
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

/* Parks the running fiber, and lets others run in any case. May wait.
 * Returns 0 when woken by gn_wake(), or by what is done before a wait: whoever waits
 * for something looks again whether it has come. Returns -ETIMEDOUT at the deadline,
 * the cause when the fiber or a scope it is in is or becomes interrupted, -ENOMEM when
 * the deadline cannot be kept. */
int gn_park(int64_t deadline);

/* gn_park() that is not a cancellation point: for locks, whose callers cannot fail. */
int gn_park_shielded(int64_t deadline);

/* Does now what the running fiber is to do before its next wait: for a caller who must
 * know which wake ends the wait. May wait. */
void gn_prepare(void);

/* Makes a parked fiber ready; its wait returns 0. Does nothing to a fiber that is not
 * parked, so two causes may fire in one round and the first counts. */
void gn_wake(struct gn_fiber *);

/* gn_park() of a fiber that is to be found in `place` meanwhile. */
int gn_park_in(struct gn_fiber **place, int64_t deadline);

/* gn_wake() of the fiber that is found there, if there is one; it is not any more. */
void gn_wake_in(struct gn_fiber **place);

/* Lets every ready fiber run once before the caller goes on. */
void gn_yield(void);

/* gn_yield() of one that has had more than its share: of those that have, one goes on
 * in each round, after everybody else. */
void gn_give_way(void);

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

/* What a wait of this fiber would return at once: the cause of the innermost
 * interrupted scope that no shield hides, or 0. */
int gn_fiber_cause(const struct gn_fiber *);

/* Begins a scope of a fiber: of the running one, or of one that has not run yet. A
 * cause that it already has counts. */
void gn_scope_enter(struct gn_scope *, struct gn_fiber *);

/* Interrupts the scope with -ETIME at a deadline. Returns 0 or -ENOMEM. */
int gn_scope_expire(struct gn_scope *, int64_t deadline);

/* As gn_cancel(), for what happens inside the scope only. */
void gn_scope_cancel(struct gn_scope *, int cause);

/* Ends the scope, and those inside it that were left open. Does nothing to one that has
 * not begun or has ended. */
void gn_scope_leave(struct gn_scope *);

/* Ends the scope alone; those inside it go on. As gn_scope_leave() otherwise. */
void gn_scope_remove(struct gn_scope *);

/* Gives the pages of a parked fiber's stack that it does not use at present back to the
 * kernel: for one that has waited for long. Costs a system call, and faults when it
 * goes on. */
void gn_fiber_trim(struct gn_fiber *);

/* For the loop only: runs `f` until it waits or ends. */
void gn_fiber_resume(struct gn_fiber *f);

#endif
