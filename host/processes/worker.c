#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

bool gn_is_worker(void)
{
    return getenv(GN_WORKER_VARIABLE) != NULL;
}

/* ---- what the parent has left ---- */

static void close_on_exec(int first, int end)
{
    for (int fd = first; fd < end; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* `secure` has a letter for each socket, from descriptor `fd` on: s for TLS. */
static char **name_listeners(const char *secure, int fd)
{
    size_t n = strlen(secure);
    char **list = calloc(n + 1, sizeof *list);
    for (size_t i = 0; list && i < n; i++)
        if (asprintf(&list[i], "%sfd:%d", secure[i] == 's' ? "https://" : "",
                     fd + (int)i) < 0)
            abort();
    return list;
}

/* "parent=7,slot=0,count=2,generation=1,pokes=16,listen=ps,control=/run/x.sock.0" */
static bool read_variable(struct gn_worker *w, const char *text, pid_t *parent)
{
    char secure[64];
    int n = 0;
    if (sscanf(text,
               "parent=%d,slot=%u,count=%u,generation=%u,pokes=%u,listen=%63[ps],"
               "control=%n",
               parent, &w->index, &w->count, &w->generation, &w->pokes, secure,
               &n) < 6 ||
        n == 0 || w->index >= w->pokes || w->pokes > GN_PROCESSES)
        return false;
    w->channel_fd = GN_FIRST_FD;
    w->first_poke = GN_FIRST_FD + 2;
    int first_listener = w->first_poke + (int)w->pokes;
    close_on_exec(GN_FIRST_FD, first_listener);
    w->listen = name_listeners(secure, first_listener);
    w->control = text[n] ? strdup(text + n) : NULL;
    return w->listen;
}

/* One whose parent had died before the kernel was asked to tell would stay for ever. */
static int die_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == parent ? 0 : -ESRCH;
}

struct gn_worker *gn_worker_new(char *error, size_t room)
{
    struct gn_worker *w = calloc(1, sizeof *w);
    pid_t parent = 0;
    if (w)
        w->channel_fd = w->channel.watch.fd = -1;
    bool good = w && read_variable(w, getenv(GN_WORKER_VARIABLE), &parent);
    unsetenv(GN_WORKER_VARIABLE);
    int r = good ? die_with(parent) : -EINVAL;
    if (r == 0)
        r = gn_board_open(&w->board, GN_FIRST_FD + 1, w->pokes);
    if (r < 0) {
        snprintf(error, room, "what " GN_WORKER_VARIABLE " tells is not so: %s",
                 strerror(-r));
        gn_worker_free(w);
        return NULL;
    }
    prctl(PR_SET_NAME, program_invocation_short_name);
    w->line = &w->board->lines[w->index];
    return w;
}

void gn_worker_free(struct gn_worker *w)
{
    if (!w)
        return;
    gn_channel_close(&w->channel);
    if (w->channel_fd >= 0)
        close(w->channel_fd);
    for (unsigned i = 0; w->board && i < w->pokes; i++)
        close(w->first_poke + (int)i);
    gn_board_free(w->board);
    for (char **s = w->listen; s && *s; s++)
        free(*s);
    free(w->listen);
    free(w->control);
    free(w);
}

/* ---- sharing ---- */

static unsigned this_second(void)
{
    return (unsigned)(gn_now() / GN_SECOND);
}

void gn_worker_took(struct gn_worker *w)
{
    gn_line_took(w->line, this_second());
}

int gn_worker_better(struct gn_worker *w)
{
    return w->greedy ? -1 : gn_board_better(w->board, w->index, this_second());
}

void gn_worker_poke(const struct gn_worker *w, int index)
{
    eventfd_write(w->first_poke + index, GN_POKE);
}

static void on_poke(struct gn_watch *watch, uint32_t events)
{
    struct gn_worker *w = gn_container_of(watch, struct gn_worker, poke);
    eventfd_t told = 0;
    (void)events;
    eventfd_read(watch->fd, &told);
    atomic_store(&w->line->deaf, 0);
    w->greedy = w->greedy || told >= GN_POKE_ALL;
    if (w->on_poke)
        w->on_poke(w->poke_arg);
}

int gn_worker_start(struct gn_worker *w)
{
    int fd = w->channel_fd;
    w->channel_fd = -1;
    int r = gn_channel_open(&w->channel, fd);
    w->poke = (struct gn_watch){.fd = w->first_poke + (int)w->index, .fn = on_poke};
    return r < 0 ? r : gn_watch_add(&gn_sched_self()->poller, &w->poke, EPOLLIN);
}
