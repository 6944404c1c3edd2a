#include "spawn.h"

#include "block.h"
#include "tree.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
    LOOK_FIRST_MS = 1,
    LOOK_LAST_MS = 50,
    LOOK_DOUBLINGS = 6,  /* from the first to the last */
    HALT_MS = 1,         /* between attempts to have a child and its own stand still */
    HALTS = 100,         /* then they are told, though one may hold the signal back */
    KILL_WAIT_MS = 5000, /* how long a killed process may take to vanish */
    LAST_WAIT_MS = 100   /* the same where no scheduler will notice later */
};

/* Reachable while they live; each leaves when it is reaped. */
static _Thread_local struct gn_list orphans;

/* ---- starting ---- */

enum { FIRST_MORE = STDERR_FILENO + 1 };

/* A copy of `fd` that is closed on exec and is none of 0 to 2, which the child's own
 * take. */
static int move_up(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, FIRST_MORE);
}

int gn_pipe(int fd[2])
{
    if (pipe2(fd, O_CLOEXEC) < 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        if (fd[i] > STDERR_FILENO)
            continue;
        int high = move_up(fd[i]), error = errno;
        close(fd[i]);
        fd[i] = high;
        if (high < 0) {
            close(fd[!i]);
            return -error;
        }
    }
    return 0;
}

static int set_actions(posix_spawn_file_actions_t *a, const struct gn_spawn *how,
                       const int fd[3])
{
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++)
        if (fd[i] >= 0)
            r = posix_spawn_file_actions_adddup2(a, fd[i], i);
    for (unsigned i = 0; i < how->more_count && r == 0; i++)
        r = posix_spawn_file_actions_adddup2(a, how->more[i],
                                             STDERR_FILENO + 1 + (int)i);
    if (r == 0)
        r = posix_spawn_file_actions_addclosefrom_np(a, STDERR_FILENO + 1 +
                                                            (int)how->more_count);
    if (r == 0 && how->cwd)
        r = posix_spawn_file_actions_addchdir_np(a, how->cwd);
    return r;
}

static void set_attributes(posix_spawnattr_t *attr, bool group)
{
    sigset_t set;
    short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    sigfillset(&set);
    posix_spawnattr_setsigdefault(attr, &set);
    sigemptyset(&set);
    posix_spawnattr_setsigmask(attr, &set);
    if (group) {
        flags |= POSIX_SPAWN_SETPGROUP;
        posix_spawnattr_setpgroup(attr, 0);
    }
    posix_spawnattr_setflags(attr, flags);
}

/* With descriptors that no dup2() of the list overwrites before it is copied. */
static int spawn_with(const struct gn_spawn *how, const int fd[3], pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    set_attributes(&attr, how->group);
    int r = set_actions(&actions, how, fd);
    if (r == 0)
        r = posix_spawnp(pid, how->file ? how->file : how->argv[0], &actions, &attr,
                         how->argv, how->envp ? how->envp : environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return -r;
}

/* Replaces what is passed on by copies whose numbers lie above all that the child shall
 * have. Returns 0 or a negative errno; the first *count are to be closed in any case.
 */
static int lift(int *fd, unsigned n, unsigned *count)
{
    for (*count = 0; *count < n; ++*count) {
        int high = fcntl(fd[*count], F_DUPFD_CLOEXEC, STDERR_FILENO + 1 + (int)n);
        if (high < 0)
            return -errno;
        fd[*count] = high;
    }
    return 0;
}

/* spawn() of a child with more descriptors than three. */
static int spawn_lifted(const struct gn_spawn *how, const int fd[3], pid_t *pid)
{
    struct gn_spawn lifted = *how;
    unsigned count = 0;
    int *more = malloc(how->more_count * sizeof *more);
    if (!more)
        return -ENOMEM;
    memcpy(more, how->more, how->more_count * sizeof *more);
    lifted.more = more;
    int r = lift(more, how->more_count, &count);
    if (r == 0)
        r = spawn_with(&lifted, fd, pid);
    while (count > 0)
        close(more[--count]);
    free(more);
    return r;
}

static int spawn(const struct gn_spawn *how, pid_t *pid)
{
    int fd[3], r = 0;
    for (int i = 0; i < 3; i++) {
        bool low = how->fd[i] >= 0 && how->fd[i] <= STDERR_FILENO;
        fd[i] = low && how->fd[i] != i ? move_up(how->fd[i]) : how->fd[i];
        if (fd[i] < 0 && how->fd[i] >= 0)
            r = -errno;
    }
    if (r == 0)
        r = how->more_count ? spawn_lifted(how, fd, pid) : spawn_with(how, fd, pid);
    for (int i = 0; i < 3; i++)
        if (fd[i] >= 0 && fd[i] != how->fd[i])
            close(fd[i]);
    return r;
}

/* Whether a child may begin in this directory. */
static int check_directory(const char *cwd)
{
    struct stat st;
    if (stat(cwd, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    return access(cwd, X_OK) < 0 ? -errno : 0;
}

/* ---- ending ---- */

struct wait {
    struct gn_list link;
    struct gn_fiber *fiber;
};

static void free_child(struct gn_child *c)
{
    if (c->exit.fd >= 0)
        close(c->exit.fd);
    if (c->sched) {
        gn_timer_del(&c->sched->timers, &c->look);
        gn_timer_del(&c->sched->timers, &c->limit);
    }
    free(c);
}

static void on_ended(struct gn_child *c, int status)
{
    c->status = status;
    c->ended = true;
    if (c->exit.fd >= 0)
        close(c->exit.fd);
    c->exit.fd = -1;
    if (c->sched) {
        gn_timer_del(&c->sched->timers, &c->look);
        gn_timer_del(&c->sched->timers, &c->limit);
    }
    for (struct gn_list *l; (l = gn_list_pop(&c->waits));)
        gn_wake(gn_container_of(l, struct wait, link)->fiber);
    if (c->orphan) {
        gn_list_del(&c->link);
        free_child(c);
    }
}

static bool is_dead(pid_t pid)
{
    siginfo_t info = {0};
    int r = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return r < 0 || info.si_pid == pid;
}

/* Reaps it if it has ended; `c` may be gone then. A group goes with the leader that was
 * told to end, while the zombie still keeps the group's number. */
static bool reap(struct gn_child *c)
{
    int status = -1;
    if (c->group && c->told) {
        if (!is_dead(c->pid))
            return false;
        kill(-c->pid, SIGKILL);
    }
    pid_t r = gn_real()->waitpid(c->pid, &status, WNOHANG);
    if (r == 0)
        return false;
    on_ended(c, r < 0 ? -1 : status);
    return true;
}

static void on_exit_event(struct gn_watch *w, uint32_t events)
{
    (void)events;
    reap(gn_container_of(w, struct gn_child, exit));
}

static int look_later(struct gn_child *c)
{
    int ms = LOOK_FIRST_MS << c->looks;
    if (c->looks < LOOK_DOUBLINGS)
        c->looks++;
    ms = ms < LOOK_LAST_MS ? ms : LOOK_LAST_MS;
    return gn_timer_add(&c->sched->timers, &c->look, gn_after_ms(ms));
}

static void on_look(struct gn_timer *t)
{
    struct gn_child *c = gn_container_of(t, struct gn_child, look);
    if (!reap(c))
        look_later(c);
}

/* Has the loop notice its end. Returns 0 or -ENOMEM. */
static int watch(struct gn_child *c)
{
    c->exit.fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (!c->sched)
        return 0;
    if (c->exit.fd >= 0 && gn_watch_add(&c->sched->poller, &c->exit, EPOLLIN) == 0)
        return 0;
    return look_later(c);
}

int gn_child_start(const struct gn_spawn *how, struct gn_child **child,
                   const char **culprit)
{
    *culprit = how->cwd;
    int r = how->cwd ? check_directory(how->cwd) : 0;
    if (r < 0)
        return r;
    *culprit = how->argv[0];
    struct gn_child *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    r = spawn(how, &c->pid);
    if (r < 0) {
        free(c);
        return r;
    }
    c->group = how->group;
    c->sched = gn_sched_self();
    c->exit.fn = on_exit_event;
    c->look.fn = on_look;
    gn_list_init(&c->waits);
    gn_list_init(&c->link);
    r = watch(c);
    if (r < 0) {
        kill(c->pid, SIGKILL);
        gn_real()->waitpid(c->pid, NULL, 0);
        free_child(c);
        return r;
    }
    *child = c;
    return 0;
}

/* ---- signals and limits ---- */

int gn_child_kill(struct gn_child *c, int signal)
{
    if (c->ended)
        return -ESRCH;
    return kill(c->group ? -c->pid : c->pid, signal) < 0 ? -errno : 0;
}

/* To the child and all that it has started. Returns false when that is to be tried
 * again in HALT_MS, as they do not stand still where they may end. */
static bool tell_to_end(struct gn_child *c, int signal)
{
    if (c->ended)
        return true;
    c->told = true;
    if (signal != SIGKILL && c->halts < HALTS && !gn_tree_halt(c->pid, signal)) {
        c->halts++;
        return false;
    }
    gn_tree_end(c->pid, signal);
    if (c->group)
        kill(-c->pid, signal);
    return true;
}

static void on_limit(struct gn_timer *t)
{
    struct gn_child *c = gn_container_of(t, struct gn_child, limit);
    bool last = c->asked;
    c->overdue = true;
    c->asked = tell_to_end(c, last ? SIGKILL : SIGTERM);
    if (last)
        return;
    int64_t next = c->asked ? gn_after(c->grace) : gn_after_ms(HALT_MS);
    if (gn_timer_add(&c->sched->timers, t, next) < 0)
        tell_to_end(c, SIGKILL);
}

int gn_child_limit(struct gn_child *c, int64_t deadline, int64_t grace)
{
    if (c->ended || !c->sched)
        return 0;
    c->limit.fn = on_limit;
    c->grace = grace;
    return gn_timer_add(&c->sched->timers, &c->limit, deadline);
}

/* ---- waiting ---- */

/* How long poll(2) may take until the deadline. */
static int ms_until(int64_t deadline)
{
    int64_t left = deadline == GN_NEVER ? GN_SECOND : deadline - gn_now();
    return left <= 0 ? 0 : left < GN_SECOND ? (int)(left / GN_MS + 1) : 1000;
}

/* Where nothing may park: on the thread itself. */
static int wait_plainly(struct gn_child *c, int64_t deadline)
{
    while (!reap(c)) {
        int ms = ms_until(deadline);
        if (ms == 0)
            return -ETIMEDOUT;
        struct pollfd p = {.fd = c->exit.fd, .events = POLLIN};
        gn_real()->poll(&p, 1, p.fd >= 0 || ms < LOOK_LAST_MS ? ms : LOOK_LAST_MS);
    }
    return 0;
}

int gn_child_wait(struct gn_child *c, int64_t deadline)
{
    if (c->ended)
        return 0;
    if (!gn_may_park() || !c->sched)
        return wait_plainly(c, deadline);
    struct wait self = {.fiber = gn_fiber_self()};
    gn_list_append(&c->waits, &self.link);
    self.fiber->sched->outside++;
    int r = gn_park(deadline);
    self.fiber->sched->outside--;
    gn_list_del(&self.link);
    return c->ended ? 0 : r;
}

bool gn_child_end(struct gn_child *c, int64_t grace)
{
    struct gn_scope shield = {.shield = true};
    if (c->ended)
        return true;
    if (gn_fiber_self())
        gn_scope_enter(&shield, gn_fiber_self());
    while (!tell_to_end(c, SIGTERM))
        usleep(HALT_MS * 1000);
    if (gn_child_wait(c, gn_after(grace)) < 0) {
        tell_to_end(c, SIGKILL);
        gn_child_wait(c, gn_after_ms(KILL_WAIT_MS));
    }
    gn_scope_leave(&shield);
    return c->ended;
}

void gn_child_drop(struct gn_child *c)
{
    if (!c)
        return;
    if (!c->ended && c->sched && gn_fiber_self()) {
        if (!orphans.next)
            gn_list_init(&orphans);
        c->orphan = true;
        gn_list_append(&orphans, &c->link);
        return;
    }
    if (!c->ended && c->told)
        wait_plainly(c, gn_after_ms(LAST_WAIT_MS));
    free_child(c);
}

void gn_child_discard(struct gn_child *c)
{
    if (c)
        tell_to_end(c, SIGKILL);
    gn_child_drop(c);
}
