/* wait waitpid wait3 wait4 waitid system: park on the child's pidfd. Waiting for any
 * child, and for stops and continuations, has no descriptor: they look now and then. */
#include "block.h"
#include "spawn.h"

#include <sys/syscall.h>

enum { LOOK_FIRST_MS = 1, LOOK_LAST_MS = 50 };
#define GRACE (2 * GN_SECOND) /* what a command may take to end, once told to */

static int wait_for_exit(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH ? 0 : -errno;
    int r = gn_wait_fd(fd, EPOLLIN, GN_NEVER);
    close(fd);
    return r;
}

/* Sleeps until it is time to look again. Returns 0 or a negative errno. */
static int sleep_longer(int *ms)
{
    int r = gn_sleep_until(gn_after_ms(*ms));
    *ms = 2 * *ms < LOOK_LAST_MS ? 2 * *ms : LOOK_LAST_MS;
    return r;
}

static pid_t look_until_exit(pid_t pid, int *status, int options, struct rusage *usage)
{
    for (int ms = LOOK_FIRST_MS;;) {
        pid_t r = gn_real()->wait4(pid, status, options | WNOHANG, usage);
        if (r != 0)
            return r;
        int slept = sleep_longer(&ms);
        if (slept < 0)
            return gn_fail(slept);
    }
}

pid_t wait4(pid_t pid, int *status, int options, struct rusage *usage)
{
    if (options & WNOHANG || !gn_may_park())
        return gn_real()->wait4(pid, status, options, usage);
    if (pid <= 0 || options & (WUNTRACED | WCONTINUED))
        return look_until_exit(pid, status, options, usage);
    pid_t r = gn_real()->wait4(pid, status, options | WNOHANG, usage);
    if (r != 0)
        return r;
    int waited = wait_for_exit(pid);
    if (waited == -ENOSYS || waited == -EMFILE || waited == -ENFILE)
        return look_until_exit(pid, status, options, usage);
    if (waited < 0)
        return gn_fail(waited);
    return gn_real()->wait4(pid, status, options, usage);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    return wait4(pid, status, options, NULL);
}

pid_t wait(int *status)
{
    return wait4(-1, status, 0, NULL);
}

pid_t wait3(int *status, int options, struct rusage *usage)
{
    return wait4(-1, status, options, usage);
}

/* ---- waitid ---- */

/* Waits until waitid() is worth another try. Returns 0 or a negative errno. */
static int wait_for_change(idtype_t type, id_t id, int options, int *ms)
{
    int r = -ENOSYS;
    if (type == P_PID && !(options & (WSTOPPED | WCONTINUED)))
        r = wait_for_exit((pid_t)id);
    else if (type == P_PIDFD && !(options & (WSTOPPED | WCONTINUED)))
        r = gn_wait_fd((int)id, EPOLLIN, GN_NEVER);
    if (r == -ENOSYS || r == -EMFILE || r == -ENFILE)
        r = sleep_longer(ms);
    return r;
}

int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    siginfo_t found;
    if (options & WNOHANG || !gn_may_park())
        return gn_real()->waitid(type, id, info, options);
    for (int ms = LOOK_FIRST_MS;;) {
        found.si_pid = 0;
        int r = gn_real()->waitid(type, id, &found, options | WNOHANG);
        if (r == 0 && found.si_pid != 0 && info)
            *info = found;
        if (r < 0 || found.si_pid != 0)
            return r;
        r = wait_for_change(type, id, options, &ms);
        if (r < 0)
            return gn_fail(r);
    }
}

/* ---- system ---- */

/* SIGINT and SIGQUIT stay as they are: the host goes on beside the command. */
int system(const char *command)
{
    char *argv[] = {"sh", "-c", (char *)command, NULL};
    struct gn_spawn how = {.argv = argv, .fd = {-1, -1, -1}};
    struct gn_child *child;
    const char *culprit;
    if (!command || !gn_may_park())
        return gn_real()->system(command);
    int r = gn_child_start(&how, &child, &culprit);
    if (r < 0)
        return gn_fail(r);
    r = gn_child_wait(child, GN_NEVER);
    if (r < 0)
        gn_child_end(child, GRACE);
    int status = child->status;
    gn_child_drop(child);
    return r < 0 ? gn_fail(r) : status;
}
