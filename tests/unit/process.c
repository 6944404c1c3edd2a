/* host/libc/process.c: waiting for children. */
#include "fiber_test.h"

#include "libc/real.h"

#include <signal.h>
#include <sys/wait.h>

/* A child that ends with `status` once it can read from `gate`, or at once when that is
 * -1. */
static pid_t start_child(const int gate[2], int status)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char c;
        if (gate) {
            close(gate[1]);
            while (gn_real()->read(gate[0], &c, 1) <
                   0) /* ours would run the parent's fibers */
                ;
        }
        _exit(status);
    }
    return pid;
}

static void a_child_is_waited_for(void **state)
{
    (void)state;
    int gate[2], status = -1;
    assert_int_equal(pipe(gate), 0);
    pid_t pid = start_child(gate, 7);
    meanwhile(write_byte, &gate[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    assert_int_equal(waitpid(pid, &status, 0), -1);
    assert_int_equal(errno, ECHILD);
    close_both(gate);
}

static void a_child_that_has_ended_is_there_at_once(void **state)
{
    (void)state;
    int status = -1;
    siginfo_t info;
    pid_t pid = start_child(NULL, 3);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 3);
    pid = start_child(NULL, 4);
    assert_int_equal(waitpid(pid, NULL, 0), pid); /* the status is not wanted */
}

static void any_child_may_be_waited_for(void **state)
{
    (void)state;
    int gate[2], status = -1;
    assert_int_equal(pipe(gate), 0);
    pid_t pid = start_child(gate, 9);
    meanwhile(write_byte, &gate[1]);
    assert_int_equal(waitpid(-1, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 9);
    assert_int_equal(waitpid(-1, &status, 0), -1);
    assert_int_equal(errno, ECHILD);
    close_both(gate);
}

static void who_does_not_want_to_wait_gets_0(void **state)
{
    (void)state;
    int gate[2], status;
    assert_int_equal(pipe(gate), 0);
    pid_t pid = start_child(gate, 0);
    assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
    write_byte(&gate[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(waitpid(pid, &status, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    close_both(gate);
}

static void the_signal_that_ended_a_child_is_told(void **state)
{
    (void)state;
    int gate[2], status;
    assert_int_equal(pipe(gate), 0);
    pid_t pid = start_child(gate, 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    close_both(gate);
}

static void a_stopped_child_is_told(void **state)
{
    (void)state;
    int gate[2], status;
    assert_int_equal(pipe(gate), 0);
    pid_t pid = start_child(gate, 0);
    kill(pid, SIGSTOP);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    kill(pid, SIGCONT);
    assert_int_equal(waitpid(pid, &status, WCONTINUED), pid);
    assert_true(WIFCONTINUED(status));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close_both(gate);
}

static void what_is_no_child_is_refused(void **state)
{
    (void)state;
    assert_int_equal(waitpid(1, NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(waitpid(getpid(), NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
}

/* ---- the other names ---- */

static void each_name_waits(void **state)
{
    (void)state;
    int gate[2], status;
    struct rusage usage;
    siginfo_t info;
    assert_int_equal(pipe(gate), 0);
    for (int name = 0; name < 5; name++) {
        pid_t pid = start_child(gate, 40 + name), got = pid;
        meanwhile(write_byte, &gate[1]);
        if (name == 0)
            got = wait(&status);
        else if (name == 1)
            got = wait3(&status, 0, &usage);
        else if (name == 2)
            got = wait4(pid, &status, 0, &usage);
        else if (name == 3)
            assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED), 0);
        else
            assert_int_equal(waitid(P_ALL, 0, &info, WEXITED), 0);
        assert_int_equal(got, pid);
        assert_int_equal(name < 3 ? WEXITSTATUS(status) : info.si_status, 40 + name);
    }
    assert_int_equal(wait(NULL), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(waitid(P_ALL, 0, NULL, WEXITED), -1);
    assert_int_equal(errno, ECHILD);
    close_both(gate);
}

static void commands_are_executed(void **state)
{
    (void)state;
    assert_true(system(NULL) != 0);
    int status = system("exit 3");
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    status = system("kill -9 $$");
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

/* ---- on fibers ---- */

struct parent {
    int gate[2];
    pid_t child;
    int status;
    bool done;
};

static void wait_for_child(void *arg)
{
    struct parent *p = arg;
    if (waitpid(p->child, &p->status, 0) != p->child)
        p->status = -1;
    p->done = true;
}

static void each_fiber_waits_for_its_own_child(void **state)
{
    (void)state;
    enum { CHILDREN = 5 };
    static struct parent p[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        p[i].done = false;
        assert_int_equal(pipe(p[i].gate), 0);
        p[i].child = start_child(p[i].gate, i);
        go(wait_for_child, &p[i]);
    }
    gn_yield();
    for (int i = CHILDREN - 1; i >= 0; i--) { /* the last one ends first */
        assert_false(p[i].done);
        write_byte(&p[i].gate[1]);
        assert_eventually(p[i].done);
        assert_int_equal(WEXITSTATUS(p[i].status), i);
        close_both(p[i].gate);
    }
}

static void cancel(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
}

static void a_cancelled_wait_leaves_the_child(void **state)
{
    (void)state;
    int gate[2], status;
    assert_int_equal(pipe(gate), 0);
    pid_t pid = start_child(gate, 5);
    go(cancel, gn_fiber_self());
    assert_int_equal(waitpid(pid, &status, 0), -1);
    assert_int_equal(errno, ECANCELED);
    assert_int_equal(waitpid(-1, &status, 0), -1);
    assert_int_equal(errno, ECANCELED);
    write_byte(&gate[1]);
    siginfo_t info;
    assert_int_equal(gn_real()->waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 5);
    close_both(gate);
}

static void execute(void *done)
{
    *(bool *)done = system("read line; exit 4") == 4 << 8;
}

static void a_cancelled_command_is_ended(void **state)
{
    (void)state;
    go(cancel, gn_fiber_self());
    assert_int_equal(system("sleep 1000 & wait"), -1);
    assert_int_equal(errno, ECANCELED);
    assert_int_equal(gn_real()->waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void others_run_while_a_command_is_executed(void **state)
{
    (void)state;
    int gate[2], saved = dup(STDIN_FILENO);
    bool done = false;
    assert_int_equal(pipe(gate), 0);
    dup2(gate[0], STDIN_FILENO);
    go(execute, &done);
    gn_yield();
    assert_false(done);
    assert_int_equal(write(gate[1], "\n", 1), 1);
    assert_eventually(done);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close_both(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(a_child_is_waited_for),
        both_ways(a_child_that_has_ended_is_there_at_once),
        both_ways(any_child_may_be_waited_for),
        both_ways(who_does_not_want_to_wait_gets_0),
        both_ways(the_signal_that_ended_a_child_is_told),
        both_ways(a_stopped_child_is_told),
        both_ways(what_is_no_child_is_refused),
        on_a_fiber(each_fiber_waits_for_its_own_child),
        on_a_fiber(a_cancelled_wait_leaves_the_child),
        both_ways(each_name_waits),
        both_ways(commands_are_executed),
        on_a_fiber(a_cancelled_command_is_ended),
        on_a_fiber(others_run_while_a_command_is_executed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
