#include "timer.h"

#include <errno.h>
#include <stdlib.h>

void gn_timers_init(struct gn_timers *ts)
{
    *ts = (struct gn_timers){0};
}

void gn_timers_term(struct gn_timers *ts)
{
    for (size_t i = 0; i < ts->count; i++)
        ts->heap[i]->place = 0;
    free(ts->heap);
    gn_timers_init(ts);
}

static void put(struct gn_timers *ts, size_t i, struct gn_timer *t)
{
    ts->heap[i] = t;
    t->place = i + 1;
}

/* Moves `t` from the hole at `i` towards the root until its parent is earlier. */
static void sift_up(struct gn_timers *ts, size_t i, struct gn_timer *t)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (ts->heap[parent]->deadline <= t->deadline)
            break;
        put(ts, i, ts->heap[parent]);
        i = parent;
    }
    put(ts, i, t);
}

/* Moves `t` from the hole at `i` towards the leaves until its children are later. */
static void sift_down(struct gn_timers *ts, size_t i, struct gn_timer *t)
{
    for (size_t child = 2 * i + 1; child < ts->count; child = 2 * i + 1) {
        if (child + 1 < ts->count &&
            ts->heap[child + 1]->deadline < ts->heap[child]->deadline)
            child++;
        if (ts->heap[child]->deadline >= t->deadline)
            break;
        put(ts, i, ts->heap[child]);
        i = child;
    }
    put(ts, i, t);
}

static int make_room(struct gn_timers *ts)
{
    if (ts->count < ts->room)
        return 0;
    size_t room = ts->room ? 2 * ts->room : 64;
    struct gn_timer **heap = realloc(ts->heap, room * sizeof *heap);
    if (!heap)
        return -ENOMEM;
    ts->heap = heap;
    ts->room = room;
    return 0;
}

int gn_timer_add(struct gn_timers *ts, struct gn_timer *t, int64_t deadline)
{
    gn_timer_del(ts, t);
    if (make_room(ts) < 0)
        return -ENOMEM;
    t->deadline = deadline;
    sift_up(ts, ts->count++, t);
    return 0;
}

void gn_timer_del(struct gn_timers *ts, struct gn_timer *t)
{
    if (!gn_timer_armed(t))
        return;
    size_t hole = t->place - 1;
    t->place = 0;
    struct gn_timer *last = ts->heap[--ts->count];
    if (last == t)
        return;
    if (hole > 0 && ts->heap[(hole - 1) / 2]->deadline > last->deadline)
        sift_up(ts, hole, last);
    else
        sift_down(ts, hole, last);
}

int64_t gn_timers_next(const struct gn_timers *ts)
{
    return ts->count ? ts->heap[0]->deadline : GN_NEVER;
}

void gn_timers_expire(struct gn_timers *ts, int64_t now)
{
    while (ts->count && ts->heap[0]->deadline <= now) {
        struct gn_timer *t = ts->heap[0];
        gn_timer_del(ts, t);
        t->fn(t);
    }
}
