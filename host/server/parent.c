#include "parent.h"

#include "../log.h"
#include "../telemetry/stats.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the control socket ---- */

static bool status(void *arg, FILE *out)
{
    struct gn_parent *p = arg;
    struct gn_supervisor *s = &p->supervisor;
    fprintf(out, "pid %d, up %lld s, %s\n", (int)getpid(),
            (long long)((gn_now() - s->born) / GN_SECOND), p->urls);
    fprintf(out, "generation %u serves, %u processes\n", s->generation, s->count);
    gn_supervisor_tell(s, out);
    if (s->error)
        fprintf(out, "the latest load failed: %s\n", s->error);
    return true;
}

static bool reload(void *arg, FILE *out)
{
    struct gn_parent *p = arg;
    struct gn_supervisor *s = &p->supervisor;
    int r = gn_supervisor_await(s, gn_supervisor_reload(s));
    if (r > 0)
        fprintf(out, "generation %d serves\n", r);
    else
        fprintf(out, "%s\n", r == -EBADMSG ? s->error : strerror(-r));
    return r > 0;
}

static const struct gn_control_verb verbs[] = {
    {"status", status}, {"reload", reload}, {NULL, NULL}};

/* Writes where the console of a process is. */
static bool place_of(void *arg, unsigned number, char *path, size_t room)
{
    struct gn_parent *p = arg;
    const struct gn_supervisor *s = &p->supervisor;
    if (number >= s->most || !s->places[number].child)
        return false;
    snprintf(path, room, "%s.%u", p->control.address.sun_path, number);
    return true;
}

static void tell_workers(void *arg, FILE *out)
{
    struct gn_parent *p = arg;
    gn_supervisor_tell(&p->supervisor, out);
}

/* A host without one serves all the same. */
static void open_control(struct gn_parent *p, const char *path)
{
    char error[300];
    if (gn_control_open_with(&p->control, p->supervisor.sched, verbs, p, path, error,
                             sizeof error) < 0)
        gn_log(GN_WARN, "%s", error);
    p->control.workers =
        (struct gn_control_workers){.tell = tell_workers, .place = place_of, .arg = p};
}

/* What processes that were killed have left. */
static void remove_sockets(const struct gn_parent *p)
{
    char path[sizeof p->control.address.sun_path + 16];
    for (unsigned i = 0; p->control.address.sun_path[0] && i < p->supervisor.most;
         i++) {
        snprintf(path, sizeof path, "%s.%u", p->control.address.sun_path, i);
        unlink(path);
    }
}

/* ---- life ---- */

/* What a process has counted is told of by the others. */
static void retire(const struct gn_supervisor *s, unsigned index, void *arg)
{
    struct gn_stats *blocks = gn_board_memory(s->board);
    (void)arg;
    gn_stats_retire(&blocks[index]);
}

int gn_parent_open(struct gn_parent *p, struct gn_acceptor *a, const char *urls,
                   const struct gn_supervisor_options *options, const char *control,
                   char *error, size_t room)
{
    struct gn_supervisor_options o = *options;
    *p = (struct gn_parent){.acceptor = a, .urls = urls, .control.fd = -1};
    for (unsigned i = 0; i < a->count; i++)
        p->listening[i] =
            (struct gn_listening){a->listeners[i].watch.fd, a->listeners[i].secure};
    o.beside = sizeof(struct gn_stats);
    o.on_end = retire;
    o.listening = p->listening;
    o.listening_count = a->count;
    p->supervisor.sched = gn_sched_self();
    open_control(p, control);
    o.control = p->control.fd < 0 ? NULL : p->control.address.sun_path;
    if (gn_supervisor_start(&p->supervisor, &o) == 0)
        return 0;
    gn_parent_close(p);
    const char *why = p->supervisor.error;
    snprintf(error, room, "%s", why ? why : "stopped before all had started");
    free(p->supervisor.error);
    p->supervisor.error = NULL;
    return -1;
}

unsigned gn_parent_close(struct gn_parent *p)
{
    gn_acceptor_seal(p->acceptor);
    gn_acceptor_close(
        p->acceptor); /* the processes have it still, while they need it */
    unsigned unsound = gn_supervisor_stop(&p->supervisor);
    gn_control_close(&p->control);
    remove_sockets(p);
    return unsound;
}
