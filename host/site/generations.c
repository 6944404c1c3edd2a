#include "generations.h"

#include "../log.h"
#include "../vm/shared.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Who writes scripts does not want to wait for what an older generation has to end. */
static const int64_t PATIENCE = 2 * GN_SECOND;

void gn_generations_init(struct gn_generations *gs, struct gn_sched *sched,
                         const struct gn_generations_options *o)
{
    *gs = (struct gn_generations){.sched = sched, .options = *o};
    gn_list_init(&gs->waiters);
}

/* ---- changes ---- */

struct waiter {
    struct gn_list link;
    struct gn_fiber *fiber;
};

static void tell_change(struct gn_generations *gs)
{
    struct gn_list *l;
    while ((l = gn_list_pop(&gs->waiters)))
        gn_wake(gn_container_of(l, struct waiter, link)->fiber);
}

int gn_generations_wait(struct gn_generations *gs, int64_t deadline)
{
    struct waiter self = {.fiber = gn_fiber_self()};
    gn_list_append(&gs->waiters, &self.link);
    int r = gn_park(deadline);
    gn_list_del(&self.link);
    return r;
}

/* ---- what is kept ---- */

struct gn_kept {
    struct gn_kept *next;
    char *data;
    size_t size;
    char name[];
};

static struct gn_kept *find_kept(const struct gn_generations *gs, const char *name)
{
    struct gn_kept *k = gs->kept;
    while (k && strcmp(k->name, name) != 0)
        k = k->next;
    return k;
}

static struct gn_kept *add_kept(struct gn_generations *gs, const char *name)
{
    size_t size = strlen(name) + 1;
    struct gn_kept *k = malloc(sizeof *k + size);
    if (!k)
        return NULL;
    *k = (struct gn_kept){.next = gs->kept};
    memcpy(k->name, name, size);
    return gs->kept = k;
}

int gn_generations_keep(struct gn_generations *gs, const char *name, char *data,
                        size_t n)
{
    struct gn_kept *k = find_kept(gs, name);
    if (!k)
        k = add_kept(gs, name);
    if (!k) {
        free(data);
        return -ENOMEM;
    }
    free(k->data);
    k->data = data;
    k->size = n;
    return 0;
}

const char *gn_generations_kept(const struct gn_generations *gs, const char *name,
                                size_t *n)
{
    const struct gn_kept *k = find_kept(gs, name);
    *n = k ? k->size : 0;
    return k ? k->data : NULL;
}

static void free_kept(struct gn_generations *gs)
{
    for (struct gn_kept *k = gs->kept, *next; k; k = next) {
        next = k->next;
        free(k->data);
        free(k);
    }
    gs->kept = NULL;
}

/* ---- the end of a generation ---- */

/* Lets the retiring generation finish what it has begun until its deadline, cancels the
 * rest, and frees it. Until it has ended, however late, it keeps its state. */
static void see_off(void *arg)
{
    struct gn_generations *gs = arg;
    struct gn_app *a = gs->retiring;
    int64_t deadline = gn_after(gs->options.drain);
    gn_app_retire(a);
    unsigned left = gn_app_drain(a, deadline);
    if (left > 0)
        gn_log(GN_ERROR, "generation %u: %u calls cannot be cancelled", a->vm.number,
               left);
    while (gn_vm_wait(&a->vm, GN_CALLS_ALL, GN_NEVER) > 0)
        continue;
    gn_log(GN_DEBUG, "generation %u has ended", a->vm.number);
    gs->retiring = NULL;
    gn_app_free(a);
    tell_change(gs);
}

/* Waits until the retiring generation has ended, or the deadline. */
static void wait_for_end(struct gn_generations *gs, int64_t deadline)
{
    for (int r = 0; r == 0 && gs->retiring;)
        r = gn_generations_wait(gs, deadline);
}

/* Returns 0 when no generation retires any more, after cancelling one that takes long.
 */
static int make_room(struct gn_generations *gs)
{
    wait_for_end(gs, gn_after(PATIENCE));
    if (gs->retiring)
        gn_vm_cancel(&gs->retiring->vm);
    wait_for_end(gs, gn_after(2 * GN_ABORT_SECONDS * GN_SECOND));
    return gs->retiring ? -EBUSY : 0;
}

/* ---- loading ---- */

static void set_error(struct gn_generations *gs, char *error)
{
    free(gs->error);
    gs->error = error;
}

static void prepare(lua_State *L, void *arg)
{
    struct gn_generations *gs = arg;
    gs->options.prepare(L, gs);
    gn_shared_register(L, gs->options.shared);
}

static struct gn_app *load(struct gn_generations *gs, unsigned number)
{
    struct gn_sources *fresh = gs->options.record ? gn_sources_new() : NULL;
    const struct gn_app_options o = {.path = gs->options.path,
                                     .config = gs->options.config,
                                     .number = number,
                                     .role = gs->options.role,
                                     .load_timeout = gs->options.load_timeout,
                                     .hub = gs->options.hub,
                                     .sources = fresh ? fresh : gs->sources,
                                     .patch = gs->options.patch,
                                     .limits = gs->options.limits,
                                     .prepare = prepare,
                                     .arg = gs};
    char *error;
    if (gs->current)
        gn_app_keep(gs->current);
    struct gn_app *a = gn_app_load(&o, &error);
    gn_sources_unref(fresh);
    set_error(gs, error);
    return a;
}

/* From here on new requests are the fresh generation's. */
static int swap(struct gn_generations *gs, struct gn_app *fresh)
{
    struct gn_app *old = gs->current;
    gs->retiring = old;
    if (old && !gn_fiber_new(gs->sched, "retire", see_off, gs)) {
        gs->retiring = NULL;
        return -ENOMEM;
    }
    if (old)
        old->vm.retired = true;
    gs->current = fresh;
    gs->last = fresh->vm.number;
    return 0;
}

int gn_generations_open(struct gn_generations *gs)
{
    struct gn_app *a = load(gs, gs->options.first ? gs->options.first : 1);
    return a ? swap(gs, a) : -1;
}

static void refuse(struct gn_generations *gs, struct gn_app *fresh, const char *why)
{
    set_error(gs, strdup(why));
    gn_app_end(fresh);
}

static void count_load(struct gn_generations *gs)
{
    gs->loaded += !gs->error;
    gs->failed += gs->error != NULL;
}

static void tell_outcome(const struct gn_generations *gs, int64_t took)
{
    if (gs->error)
        gn_log(GN_ERROR, "not reloaded, generation %u serves on: %s", gs->last,
               gs->error);
    else
        gn_log(gs->options.leader ? GN_DEBUG : GN_INFO,
               "generation %u serves, loaded in %d ms", gs->last, (int)(took / GN_MS));
}

/* Loads a generation aside, with room made for it to serve. Returns it, or NULL with
 * the reason in gs->error. */
static struct gn_app *load_aside(struct gn_generations *gs, unsigned number)
{
    struct gn_app *fresh = load(gs, number);
    if (!fresh || make_room(gs) == 0)
        return fresh;
    refuse(gs, fresh, "the generation before the present one does not end");
    return NULL;
}

static void load_once(struct gn_generations *gs)
{
    int64_t start = gn_now();
    struct gn_app *fresh = load_aside(gs, gs->next ? gs->next : gs->last + 1);
    if (fresh && swap(gs, fresh) < 0)
        refuse(gs, fresh, "out of memory");
    if (!gs->error && gs->options.swapped)
        gs->options.swapped(gs, gs->options.arg);
    count_load(gs);
    tell_outcome(gs, gn_now() - start);
}

static void tell_load(struct gn_generations *gs, bool done)
{
    if (gs->options.on_load)
        gs->options.on_load(gs, done);
}

/* Loads until nobody has asked since the last load began. */
static void load_as_asked(void *arg)
{
    struct gn_generations *gs = arg;
    tell_load(gs, false);
    while (gs->answered != gs->asked) {
        unsigned covers = gs->asked;
        load_once(gs);
        gs->answered = covers;
        tell_change(gs);
    }
    tell_load(gs, true);
    gs->loader = NULL;
    tell_change(gs);
}

/* load_once(), with the peers. Who does not follow them must not serve on. */
static void load_with_peers(struct gn_generations *gs, const struct gn_order *o)
{
    const struct gn_generations_peers *peers = gs->options.peers;
    struct gn_app *fresh = load_aside(gs, o->number);
    char *why = NULL;
    int r = peers->agree(o->turn, gs->error, &why, peers->arg);
    if (r < 0) {
        set_error(gs, why ? why : strdup(strerror(-r)));
        count_load(gs);
        gn_app_end(fresh);
        return;
    }
    if (!fresh || swap(gs, fresh) < 0) {
        gn_log(GN_ERROR, "generation %u cannot serve: out of memory", o->number);
        _exit(1);
    }
    count_load(gs);
    peers->swapped(o->turn, peers->arg);
    gn_log(GN_DEBUG, "generation %u serves", gs->last);
}

static void load_as_ordered(void *arg)
{
    struct gn_generations *gs = arg;
    while (gs->order.turn) {
        const struct gn_order o = gs->order;
        gs->order.turn = 0;
        load_with_peers(gs, &o);
        gs->answered = o.covers;
        tell_change(gs);
    }
    gs->loader = NULL;
    tell_change(gs);
}

static int start_loader(struct gn_generations *gs, void (*fn)(void *))
{
    if (!gs->loader)
        gs->loader = gn_fiber_new(gs->sched, "load", fn, gs);
    return gs->loader ? 0 : -ENOMEM;
}

int gn_generations_load(struct gn_generations *gs, const struct gn_order *o)
{
    gs->order = *o;
    return start_loader(gs, load_as_ordered);
}

unsigned gn_generations_reload(struct gn_generations *gs)
{
    const struct gn_generations_peers *peers = gs->options.peers;
    gs->asked++;
    if (peers) {
        peers->want(gs->asked, peers->arg);
    } else if (start_loader(gs, load_as_asked) < 0) {
        set_error(gs, strdup("out of memory"));
        gs->answered = gs->asked;
    }
    return gs->asked;
}

int gn_generations_follow(struct gn_generations *gs, unsigned number,
                          struct gn_sources *sources)
{
    gs->next = number;
    gs->sources = sources;
    int r = gn_generations_await(gs, gn_generations_reload(gs), NULL);
    gs->sources = NULL;
    return r;
}

int gn_generations_await(struct gn_generations *gs, unsigned ticket,
                         const struct gn_vm *caller)
{
    int r = 0;
    bool retired = false;
    while (r == 0 && !retired && (int)(gs->answered - ticket) < 0) {
        r = gn_generations_wait(gs, GN_NEVER);
        retired = caller && caller->retired;
    }
    if (r < 0)
        return r;
    return gs->error && !retired ? -EBADMSG : (int)gs->last;
}

/* ---- serving ---- */

void gn_generations_handle(struct gn_generations *gs, struct gn_request *r)
{
    struct gn_app *a;
    if (gs->options.requests)
        atomic_fetch_add_explicit(gs->options.requests, 1, memory_order_relaxed);
    do {
        a = gs->current;
        gn_app_handle(a, r);
    } while (r->ws && gs->current != a);
    if (r->ws) /* nobody goes on with it */
        gn_ws_finish(r->ws, 1012);
    r->ws = NULL;
}

unsigned gn_generations_drain(struct gn_generations *gs, int64_t deadline)
{
    if (gs->loader)
        gn_cancel(gs->loader, -ECANCELED);
    while (gs->loader)
        gn_generations_wait(gs, GN_NEVER);
    unsigned left = 0;
    if (gs->current) {
        gn_app_retire(gs->current);
        left = gn_app_drain(gs->current, deadline);
    }
    wait_for_end(gs, deadline);
    return left + (make_room(gs) < 0);
}

void gn_generations_close(struct gn_generations *gs)
{
    gn_app_free(gs->current);
    gs->current = NULL;
    set_error(gs, NULL);
    free_kept(gs);
}
