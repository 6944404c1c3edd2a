/* waitpid: parks on the child's pidfd. Waiting for any child has no descriptor: it
 * looks now and then. */
#include "block.h"

#include <sys/syscall.h>

enum { LOOK_FIRST_MS = 1, LOOK_LAST_MS = 50 };

static int wait_for_exit(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return errno == ESRCH ? 0 : -errno;
    int r = gn_wait_fd(fd, EPOLLIN, GN_NEVER);
    close(fd);
    return r;
}

static pid_t look_until_exit(pid_t pid, int *status, int options)
{
    for (int ms = LOOK_FIRST_MS;; ms = 2 * ms < LOOK_LAST_MS ? 2 * ms : LOOK_LAST_MS) {
        pid_t r = gn_real()->waitpid(pid, status, options | WNOHANG);
        if (r != 0)
            return r;
        int slept = gn_sleep_until(gn_after_ms(ms));
        if (slept < 0)
            return gn_fail(slept);
    }
}

/* A pidfd becomes readable at exit only: stops and continuations are looked for. */
pid_t waitpid(pid_t pid, int *status, int options)
{
    if (options & WNOHANG || !gn_may_park())
        return gn_real()->waitpid(pid, status, options);
    if (pid <= 0 || options & (WUNTRACED | WCONTINUED))
        return look_until_exit(pid, status, options);
    pid_t r = gn_real()->waitpid(pid, status, options | WNOHANG);
    if (r != 0)
        return r;
    int waited = wait_for_exit(pid);
    if (waited == -ENOSYS)
        return look_until_exit(pid, status, options);
    if (waited < 0)
        return gn_fail(waited);
    return gn_real()->waitpid(pid, status, options);
}
