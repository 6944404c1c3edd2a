/* host/libc/spawn.c: children, from their start to their end. */
#include "fiber_test.h"

#include "libc/real.h"
#include "libc/spawn.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>

#define GRACE (20 * GN_SECOND) /* never reached by who obeys SIGTERM */

static struct gn_child *try_start(const char *script, bool group, int *error)
{
    char *argv[] = {"sh", "-c", (char *)script, NULL};
    struct gn_spawn how = {.argv = argv, .fd = {-1, -1, -1}, .group = group};
    struct gn_child *c = NULL;
    const char *culprit;
    *error = gn_child_start(&how, &c, &culprit);
    return c;
}

static struct gn_child *start(const char *script)
{
    int error;
    struct gn_child *c = try_start(script, false, &error);
    assert_int_equal(error, 0);
    assert_non_null(c);
    return c;
}

/* What a script writes to a pipe; read to its end. */
static const char *output_of(struct gn_spawn *how, int descriptor)
{
    static char text[4096];
    const char *culprit;
    int fd[2];
    size_t n = 0;
    ssize_t r;
    struct gn_child *c;
    assert_int_equal(gn_pipe(fd), 0);
    how->fd[descriptor] = fd[1];
    assert_int_equal(gn_child_start(how, &c, &culprit), 0);
    close(fd[1]);
    while ((r = read(fd[0], text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)r;
    text[n] = '\0';
    close(fd[0]);
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0);
    gn_child_drop(c);
    return text;
}

static bool no_child_is_left(void)
{
    return gn_real()->waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD;
}

static int count_descriptors(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* ---- both on fibers and on threads ---- */

static void a_child_tells_its_status(void **state)
{
    (void)state;
    struct gn_child *c = start("exit 7");
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0);
    assert_true(c->ended);
    assert_int_equal(WEXITSTATUS(c->status), 7);
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0); /* as often as one likes */
    assert_int_equal(gn_child_kill(c, SIGTERM), -ESRCH);
    gn_child_drop(c);
    gn_child_drop(NULL);
    assert_true(no_child_is_left());
}

static void what_does_not_exist_is_named(void **state)
{
    (void)state;
    char *argv[] = {"/nonesuch/command", NULL};
    struct gn_spawn how = {.argv = argv, .fd = {-1, -1, -1}};
    struct gn_child *c = NULL;
    const char *culprit;
    assert_int_equal(gn_child_start(&how, &c, &culprit), -ENOENT);
    assert_string_equal(culprit, "/nonesuch/command");
    how.cwd = "/nonesuch";
    assert_int_equal(gn_child_start(&how, &c, &culprit), -ENOENT);
    assert_string_equal(culprit, "/nonesuch");
    how.cwd = "/dev/null";
    assert_int_equal(gn_child_start(&how, &c, &culprit), -ENOTDIR);
    assert_null(c);
    assert_true(no_child_is_left());
}

static void a_child_has_three_descriptors(void **state)
{
    (void)state;
    int open_on_exec = dup(STDIN_FILENO); /* not even what is not closed on exec */
    char *argv[] = {"sh", "-c", "echo /proc/self/fd/*", NULL};
    struct gn_spawn how = {.argv = argv, .fd = {-1, -1, -1}};
    const char *list = output_of(&how, 1);
    assert_null(strstr(list, "/fd/5")); /* 3 or 4 is the directory itself */
    assert_non_null(strstr(list, "/fd/2"));
    close(open_on_exec);
}

/* Those it is given more come in their order, whatever their numbers are here. */
static void a_child_may_have_more_descriptors(void **state)
{
    int one[2], two[2];
    char *argv[] = {"sh", "-c", "echo one >&4; echo two >&3; echo /proc/self/fd/*",
                    NULL};
    char got[16] = "";
    (void)state;
    assert_int_equal(gn_pipe(one), 0);
    assert_int_equal(gn_pipe(two), 0);
    const int more[] = {two[1], one[1], one[1]};
    struct gn_spawn how = {
        .file = "/bin/sh", .argv = argv, .fd = {-1, -1, -1}, .more = more};
    how.more_count = LENGTH(more);
    int before = count_descriptors();
    const char *list = output_of(&how, 1);
    assert_int_equal(count_descriptors(), before);
    assert_non_null(strstr(list, "/fd/5"));
    assert_null(strstr(list, "/fd/8")); /* 6 or 7 is the directory itself */
    assert_int_equal(read(one[0], got, sizeof got), 4);
    assert_memory_equal(got, "one", 3);
    assert_int_equal(read(two[0], got, sizeof got), 4);
    assert_memory_equal(got, "two", 3);
    close_both(one);
    close_both(two);
}

static void descriptors_may_be_exchanged(void **state)
{
    (void)state;
    char *argv[] = {"sh", "-c", "echo text >&2", NULL};
    struct gn_spawn how = {.argv = argv, .fd = {2, 2, -1}};
    assert_string_equal(output_of(&how, 2), "text\n");
    char *both[] = {"sh", "-c", "echo one; echo two >&2", NULL};
    int fd[2];
    char got[16] = "";
    const char *culprit;
    struct gn_child *c;
    assert_int_equal(gn_pipe(fd), 0);
    how = (struct gn_spawn){.argv = both, .fd = {1, fd[1], fd[1]}};
    assert_int_equal(gn_child_start(&how, &c, &culprit), 0);
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0);
    assert_int_equal(read(fd[0], got, sizeof got), 8);
    assert_string_equal(got, "one\ntwo\n");
    gn_child_drop(c);
    close_both(fd);
}

static void signals_are_as_at_birth(void **state)
{
    (void)state;
    char *argv[] = {"grep", "-E", "Sig(Blk|Ign)", "/proc/self/status", NULL};
    struct gn_spawn how = {.argv = argv, .fd = {-1, -1, -1}};
    sigset_t set, old;
    void (*handler)(int) = signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &old);
    const char *status = output_of(&how, 1);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    signal(SIGPIPE, handler);
    assert_non_null(strstr(status, "SigBlk:\t0000000000000000"));
    unsigned long ignored = strtoul(strstr(status, "SigIgn:\t") + 8, NULL, 16);
    assert_int_equal(ignored & (1ul << (SIGPIPE - 1)), 0);
}

static void a_child_is_ended_with_what_it_has_started(void **state)
{
    (void)state;
    int fd[2];
    char c;
    char *argv[] = {"sh", "-c", "sh -c 'sleep 1000; exit' & echo; wait", NULL};
    struct gn_spawn how = {.argv = argv, .fd = {-1, -1, -1}};
    struct gn_child *child;
    const char *culprit;
    assert_int_equal(gn_pipe(fd), 0);
    how.fd[1] = fd[1];
    assert_int_equal(gn_child_start(&how, &child, &culprit), 0);
    close(fd[1]);
    assert_int_equal(read(fd[0], &c, 1), 1);
    usleep(20000); /* most probably its grandchild sleeps by now */
    assert_true(gn_child_end(child, GRACE));
    assert_int_equal(WTERMSIG(child->status), SIGTERM);
    assert_int_equal(read(fd[0], &c, 1), 0); /* nobody has the other end */
    gn_child_drop(child);
    close(fd[0]);
}

static void who_ignores_SIGTERM_is_killed(void **state)
{
    (void)state;
    int fd[2];
    char c,
        *argv[] = {"sh", "-c", "trap '' TERM; echo; while :; do sleep 1; done", NULL};
    struct gn_spawn how = {.argv = argv, .fd = {-1, -1, -1}};
    struct gn_child *child;
    const char *culprit;
    assert_int_equal(gn_pipe(fd), 0);
    how.fd[1] = fd[1];
    assert_int_equal(gn_child_start(&how, &child, &culprit), 0);
    assert_int_equal(read(fd[0], &c, 1), 1);
    assert_true(gn_child_end(child, 10 * GN_MS));
    assert_int_equal(WTERMSIG(child->status), SIGKILL);
    gn_child_drop(child);
    close_both(fd);
}

static void a_wait_has_a_deadline(void **state)
{
    (void)state;
    struct gn_child *c = start("exec sleep 1000");
    assert_int_equal(gn_child_wait(c, gn_after_ms(5)), -ETIMEDOUT);
    assert_int_equal(gn_child_wait(c, 0), -ETIMEDOUT);
    assert_int_equal(gn_child_kill(c, SIGINT), 0);
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0);
    assert_int_equal(WTERMSIG(c->status), SIGINT);
    gn_child_drop(c);
}

static void a_group_is_signalled_as_a_whole(void **state)
{
    (void)state;
    int error;
    struct gn_child *c = try_start("sleep 1000", true, &error);
    assert_int_equal(error, 0);
    assert_int_equal(getpgid(c->pid), c->pid);
    assert_int_equal(gn_child_kill(c, SIGKILL), 0);
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0);
    gn_child_drop(c);
}

/* ---- on fibers ---- */

struct waiter {
    struct gn_child *child;
    int result;
    bool done;
};

static void wait_for_it(void *arg)
{
    struct waiter *w = arg;
    w->result = gn_child_wait(w->child, GN_NEVER);
    w->done = true;
}

static void many_may_wait_for_one(void **state)
{
    (void)state;
    static struct waiter w[3];
    struct gn_child *c = start("exec sleep 1000");
    struct gn_fiber *f[3];
    for (int i = 0; i < 3; i++) {
        w[i] = (struct waiter){.child = c};
        f[i] = go(wait_for_it, &w[i]);
    }
    gn_yield();
    gn_cancel(f[1], -ECANCELED);
    assert_eventually(w[1].done);
    assert_int_equal(w[1].result, -ECANCELED);
    assert_false(w[0].done || w[2].done);
    gn_child_kill(c, SIGKILL);
    assert_eventually(w[0].done && w[2].done);
    assert_int_equal(w[0].result | w[2].result, 0);
    gn_child_drop(c);
}

static void nobody_need_wait(void **state)
{
    (void)state;
    struct gn_child *c = start("exit 5");
    assert_eventually(c->ended); /* no zombie: the loop has reaped it */
    assert_int_equal(WEXITSTATUS(c->status), 5);
    gn_child_drop(c);
    gn_child_drop(start("exit 6"));
    gn_child_discard(start("exec sleep 1000"));
    assert_eventually(no_child_is_left());
}

static void a_limit_ends_it(void **state)
{
    (void)state;
    struct gn_child *c = start("exec sleep 1000");
    assert_int_equal(gn_child_limit(c, gn_after_ms(5), GRACE), 0);
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0);
    assert_true(c->overdue);
    assert_int_equal(WTERMSIG(c->status), SIGTERM);
    gn_child_drop(c);
    c = start("trap '' TERM; while :; do sleep 0.01; done");
    usleep(50000);
    gn_child_limit(c, gn_after_ms(1), 20 * GN_MS);
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0);
    assert_true(c->overdue);
    gn_child_drop(c);
    c = start("exit 0");
    gn_child_limit(c, gn_after(GRACE), GRACE);
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0);
    assert_false(c->overdue);
    gn_child_drop(c);
}

static void an_interrupted_fiber_can_still_end_it(void **state)
{
    (void)state;
    struct gn_child *c = start("sleep 1000");
    gn_cancel(gn_fiber_self(), -ECANCELED);
    assert_int_equal(gn_child_wait(c, GN_NEVER), -ECANCELED);
    assert_true(gn_child_end(c, GRACE));
    assert_int_equal(WTERMSIG(c->status), SIGTERM);
    gn_child_drop(c);
    assert_true(no_child_is_left());
}

/* Without a descriptor to spare there is no pidfd: the child is looked for. */
static void its_end_is_noticed_without_a_pidfd(void **state)
{
    (void)state;
    struct rlimit old, none;
    getrlimit(RLIMIT_NOFILE, &old);
    none = old;
    none.rlim_cur = (rlim_t)dup(STDIN_FILENO);
    close((int)none.rlim_cur);
    setrlimit(RLIMIT_NOFILE, &none);
    int error;
    struct gn_child *c = try_start("exit 9", false, &error);
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(error, 0);
    assert_int_equal(c->exit.fd, -1);
    assert_int_equal(gn_child_wait(c, GN_NEVER), 0);
    assert_int_equal(WEXITSTATUS(c->status), 9);
    gn_child_drop(c);
}

static void a_thousand_leave_nothing(void **state)
{
    (void)state;
    int before = count_descriptors(), rounds = SANITIZED ? 100 : 1000;
    for (int i = 0; i < rounds; i++) {
        struct gn_child *c = start("exec sleep 1000");
        if (i % 3 == 0)
            gn_child_end(c, GRACE);
        if (i % 3 == 1)
            gn_child_kill(c, SIGKILL);
        gn_child_discard(c);
    }
    assert_eventually(no_child_is_left());
    assert_int_equal(count_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(a_child_tells_its_status),
        both_ways(what_does_not_exist_is_named),
        both_ways(a_child_has_three_descriptors),
        both_ways(a_child_may_have_more_descriptors),
        both_ways(descriptors_may_be_exchanged),
        both_ways(signals_are_as_at_birth),
        both_ways(a_child_is_ended_with_what_it_has_started),
        both_ways(who_ignores_SIGTERM_is_killed),
        both_ways(a_wait_has_a_deadline),
        both_ways(a_group_is_signalled_as_a_whole),
        on_a_fiber(many_may_wait_for_one),
        on_a_fiber(nobody_need_wait),
        on_a_fiber(a_limit_ends_it),
        on_a_fiber(an_interrupted_fiber_can_still_end_it),
        on_a_fiber(its_end_is_noticed_without_a_pidfd),
        on_a_fiber(a_thousand_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
