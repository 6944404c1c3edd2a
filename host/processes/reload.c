/* Reloading in two phases: all load aside; when all have, all swap. */
#include "supervisor.h"

#include "../log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* In which a process that was told to must have swapped; what it may need beyond
 * --load-timeout to load. */
static const int64_t SWAP = 2 * GN_SECOND, LOAD_MORE = 10 * GN_SECOND;

static void send_order(struct gn_place *p, enum gn_kind kind, const char *text)
{
    struct gn_supervisor *s = p->supervisor;
    size_t n = text ? strlen(text) : 0, most = GN_CHANNEL_MOST / 2;
    struct gn_order o = {
        .turn = s->turn, .number = s->generation + 1, .covers = p->wish};
    char bytes[sizeof o + GN_CHANNEL_MOST / 2];
    n = n < most ? n : most;
    memcpy(bytes, &o, sizeof o);
    memcpy(bytes + sizeof o, text ? text : "", n);
    gn_channel_send(&p->channel, kind, bytes, sizeof o + n);
}

/* Has all that serve load aside. */
static void ask_all(struct gn_supervisor *s)
{
    s->turn++;
    for (unsigned i = 0; i < s->most; i++) {
        struct gn_place *p = &s->places[i];
        p->vote = gn_place_standing(p) == GN_SERVING ? GN_ASKED : GN_NO_VOTE;
        if (p->vote == GN_ASKED)
            send_order(p, GN_KIND_LOAD, NULL);
    }
}

/* How many have this vote; who ends has none any more. */
static unsigned count_votes(const struct gn_supervisor *s, int vote)
{
    unsigned n = 0;
    for (unsigned i = 0; i < s->most; i++)
        n += s->places[i].vote == (unsigned)vote &&
             gn_place_standing(&s->places[i]) == GN_SERVING;
    return n;
}

/* Waits until none has this vote any more, but not beyond the deadline. */
static void await_votes(struct gn_supervisor *s, int vote, int64_t deadline)
{
    int r = 0;
    while (r == 0 && !s->stopping && count_votes(s, vote) > 0)
        r = gn_supervisor_wait_change(s, deadline);
}

/* Why the vote went against it, owned; NULL when it did not. */
static char *objection(const struct gn_supervisor *s)
{
    char *text = NULL;
    for (unsigned i = 0; i < s->most && !text; i++)
        if (s->places[i].vote == GN_NO && s->places[i].problem)
            text = strdup(s->places[i].problem);
    for (unsigned i = 0; i < s->most && !text; i++)
        if (s->places[i].vote == GN_ASKED &&
            gn_place_standing(&s->places[i]) == GN_SERVING &&
            asprintf(&text, "process %u does not answer", i) < 0)
            text = NULL;
    if (!text && count_votes(s, GN_YES) == 0)
        text = strdup(s->stopping ? "the host stops" : "no process serves at present");
    return text;
}

static void tell_verdict(struct gn_supervisor *s, enum gn_kind kind)
{
    for (unsigned i = 0; i < s->most; i++)
        if (s->places[i].vote != GN_NO_VOTE)
            send_order(&s->places[i], kind, s->error);
}

/* Who has agreed and does not follow is replaced by one that does. */
static void await_swaps(struct gn_supervisor *s)
{
    await_votes(s, GN_YES, gn_after(SWAP));
    for (unsigned i = 0; i < s->most; i++)
        if (s->places[i].vote == GN_YES &&
            gn_place_standing(&s->places[i]) == GN_SERVING) {
            gn_log(GN_ERROR, "process %u (pid %d) does not follow: killed", i,
                   (int)s->places[i].child->pid);
            gn_child_kill(s->places[i].child, SIGKILL);
        }
    await_votes(s, GN_YES, GN_NEVER);
}

static void forget_votes(struct gn_supervisor *s)
{
    for (unsigned i = 0; i < s->most; i++) {
        s->places[i].vote = GN_NO_VOTE;
        free(s->places[i].problem);
        s->places[i].problem = NULL;
    }
}

static bool is_any_starting(const struct gn_supervisor *s)
{
    for (unsigned i = 0; i < s->most; i++)
        if (gn_place_standing(&s->places[i]) == GN_STARTING)
            return true;
    return false;
}

static void load_once(struct gn_supervisor *s)
{
    int64_t begin = gn_now();
    while ((!s->started || is_any_starting(s)) && !s->stopping)
        gn_supervisor_wait_change(s, GN_NEVER);
    ask_all(s);
    await_votes(s, GN_ASKED, gn_after(s->options.load_timeout + LOAD_MORE));
    gn_supervisor_set_error(s, objection(s));
    if (s->error) {
        tell_verdict(s, GN_KIND_ABORT);
        gn_log(GN_ERROR, "not reloaded, generation %u serves on: %s", s->generation,
               s->error);
    } else {
        tell_verdict(s, GN_KIND_COMMIT);
        await_swaps(s);
        s->generation++;
        gn_log(GN_INFO, "generation %u serves, loaded in %d ms", s->generation,
               (int)((gn_now() - begin) / GN_MS));
    }
    forget_votes(s);
}

static void tell_load(const struct gn_supervisor *s, bool done)
{
    if (s->options.on_load)
        s->options.on_load(s, done, s->options.arg);
}

/* Loads until nobody has asked since the last load began. */
static void load_as_asked(void *arg)
{
    struct gn_supervisor *s = arg;
    tell_load(s, false);
    while (s->answered != s->asked) {
        unsigned covers = s->asked;
        load_once(s);
        s->answered = covers;
        gn_supervisor_tell_change(s);
    }
    tell_load(s, true);
    s->loader = NULL;
    s->fibers--;
    gn_supervisor_tell_change(s);
}

unsigned gn_supervisor_reload(struct gn_supervisor *s)
{
    s->asked++;
    if (s->loader)
        return s->asked;
    s->loader = s->stopping ? NULL : gn_fiber_new(s->sched, "reload", load_as_asked, s);
    if (s->loader) {
        s->fibers++;
    } else {
        gn_supervisor_set_error(
            s, strdup(s->stopping ? "the host stops" : "out of memory"));
        s->answered = s->asked;
    }
    return s->asked;
}

int gn_supervisor_await(struct gn_supervisor *s, unsigned ticket)
{
    int r = 0;
    while (r == 0 && (int)(s->answered - ticket) < 0)
        r = gn_supervisor_wait_change(s, GN_NEVER);
    if (r < 0)
        return r;
    return s->error ? -EBADMSG : (int)s->generation;
}
