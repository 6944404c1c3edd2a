/* host/libc/real.c and names.h: the whole list is ours, and the twins lead where they
 * should. */
#include "fiber_test.h"

#include "libc/real.h"

#include <dlfcn.h>
#include <netinet/in.h>
#include <signal.h>

int __poll_chk(struct pollfd *, nfds_t, int, size_t);
int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *,
                size_t);
ssize_t __recv_chk(int, void *, size_t, size_t, int);
ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *,
                       socklen_t *);
ssize_t __read_chk(int, void *, size_t, size_t);

static const void *image_of(const void *address)
{
    Dl_info info = {0};
    return dladdr(address, &info) ? info.dli_fbase : NULL;
}

static void every_library_in_the_process_finds_our_names(void **state)
{
    (void)state;
    const void *program = image_of((const void *)&gn_real_loaded);
    int count = 0;
    assert_non_null(program);
    for (const struct gn_name *n = gn_names; n->name; n++, count++) {
        const void *found = dlsym(RTLD_DEFAULT, n->name);
        if (!found || image_of(found) != program)
            fail_msg("%s is not ours", n->name);
        assert_true(strlen(n->how) > 0);
    }
    assert_true(count > 40);
}

static void the_real_functions_are_not_ours(void **state)
{
    (void)state;
    const void *program = image_of((const void *)&gn_real_loaded);
    const struct gn_real *real = gn_real();
#define ASSERT_NOT_OURS(ret, name, params, how) \
    assert_non_null(real->name);                \
    assert_ptr_not_equal(image_of((const void *)real->name), program);
    GN_NAMES(ASSERT_NOT_OURS)
#undef ASSERT_NOT_OURS
}

/* ---- the twins that _FORTIFY_SOURCE calls ---- */

static void the_fortified_twins_wait_too(void **state)
{
    (void)state;
    int fd[2];
    char c = 0;
    open_pair(fd);
    struct pollfd p = {.fd = fd[0], .events = POLLIN};
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(__poll_chk(&p, 1, -1, sizeof p), 1);
    assert_int_equal(__ppoll_chk(&p, 1, NULL, NULL, sizeof p), 1);
    assert_int_equal(__recv_chk(fd[0], &c, 1, sizeof c, 0), 1);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(__recv_chk(fd[0], &c, 1, sizeof c, 0), 1);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(__recvfrom_chk(fd[0], &c, 1, sizeof c, 0, NULL, NULL), 1);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(__read_chk(fd[0], &c, 1, sizeof c), 1);
    assert_int_equal(c, 'x');
    assert_int_equal(__poll_chk(&p, 1, 0, sizeof p), 0);
    close_both(fd);
}

static struct pollfd one_poll;
static char one_byte;

static void overrun_poll(void)
{
    __poll_chk(&one_poll, 2, 0, sizeof one_poll);
}

static void overrun_ppoll(void)
{
    __ppoll_chk(&one_poll, 2, NULL, NULL, sizeof one_poll);
}

static void overrun_recv(void)
{
    __recv_chk(0, &one_byte, 2, 1, 0);
}

static void overrun_recvfrom(void)
{
    __recvfrom_chk(0, &one_byte, 2, 1, 0, NULL, NULL);
}

static void overrun_read(void)
{
    __read_chk(0, &one_byte, 2, 1);
}

static void a_buffer_that_is_too_small_ends_the_process(void **state)
{
    (void)state;
    void (*const overruns[])(void) = {overrun_poll, overrun_ppoll, overrun_recv,
                                      overrun_recvfrom, overrun_read};
    for (size_t i = 0; i < LENGTH(overruns); i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            signal(SIGABRT, SIG_DFL);
            overruns[i]();
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

static void sendfile64_is_sendfile(void **state)
{
    (void)state;
    int fd[2];
    char got[8];
    off_t at = 1;
    FILE *f = tmpfile();
    assert_int_equal(write(fileno(f), "hello", 5), 5);
    open_pair(fd);
    assert_int_equal(sendfile64(fd[0], fileno(f), &at, 10), 4);
    assert_int_equal(at, 5);
    assert_int_equal(recv(fd[1], got, sizeof got, 0), 4);
    assert_memory_equal(got, "ello", 4);
    close_both(fd);
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_library_in_the_process_finds_our_names),
        cmocka_unit_test(the_real_functions_are_not_ours),
        both_ways(the_fortified_twins_wait_too),
        cmocka_unit_test(a_buffer_that_is_too_small_ends_the_process),
        both_ways(sendfile64_is_sendfile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
