/* host/libc/file.c: read write and their kin on pipes, files, terminals and sockets. */
#include "fiber_test.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

enum { BIG = 4 << 20 };

/* ---- big data ---- */

struct reader {
    int fd;
    bool right;
    atomic_bool done;
};

static void read_slowly(void *arg)
{
    struct reader *r = arg;
    char *expected = malloc(BIG), *got = malloc(BIG + 1);
    size_t n = 0;
    ssize_t piece;
    fill_pattern(expected, BIG);
    for (int i = 1; n < BIG && (piece = read(r->fd, got + n,
                                             30000 < BIG - n ? 30000 : BIG - n)) > 0;
         i++) {
        n += (size_t)piece;
        if (i % 50 == 0)
            usleep(200);
    }
    r->right = n == BIG && memcmp(expected, got, BIG) == 0;
    free(expected);
    free(got);
    r->done = true;
}

static char *big_pattern(void)
{
    char *data = malloc(BIG);
    assert_non_null(data);
    fill_pattern(data, BIG);
    return data;
}

static void write_puts_megabytes_through_a_pipe(void **state)
{
    (void)state;
    int fd[2];
    char *data = big_pattern();
    assert_int_equal(pipe(fd), 0);
    struct reader r = {.fd = fd[0]};
    meanwhile(read_slowly, &r);
    assert_int_equal(write(fd[1], data, BIG), BIG);
    assert_eventually(r.done);
    assert_true(r.right);
    close_both(fd);
    free(data);
}

static void writev_puts_megabytes_through_a_pipe(void **state)
{
    (void)state;
    enum { PARTS = 30 };
    int fd[2];
    char *data = big_pattern();
    struct iovec iov[PARTS];
    size_t at = 0;
    for (size_t i = 0; i < PARTS; i++) {
        size_t n = i == PARTS - 1 ? BIG - at : i % 4 == 0 ? 0 : i * 3456;
        iov[i] = (struct iovec){data + at, n};
        at += n;
    }
    assert_int_equal(pipe(fd), 0);
    struct reader r = {.fd = fd[0]};
    meanwhile(read_slowly, &r);
    assert_int_equal(writev(fd[1], iov, PARTS), BIG);
    assert_eventually(r.done);
    assert_true(r.right);
    close_both(fd);
    free(data);
}

static void write_reaches_a_slow_reader_of_a_socket(void **state)
{
    (void)state;
    int fd[2];
    char *data = big_pattern();
    open_pair(fd);
    struct reader r = {.fd = fd[0]};
    meanwhile(read_slowly, &r);
    assert_int_equal(write(fd[1], data, BIG), BIG);
    assert_eventually(r.done);
    assert_true(r.right);
    close_both(fd);
    free(data);
}

/* ---- pipes ---- */

static void read_waits_until_bytes_come(void **state)
{
    (void)state;
    int fd[2];
    char c = 0;
    assert_int_equal(pipe(fd), 0);
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(read(fd[0], &c, 1), 1);
    assert_int_equal(c, 'x');
    meanwhile(write_byte, &fd[1]);
    assert_int_equal(readv(fd[0], &(struct iovec){&c, 1}, 1), 1);
    assert_false(fcntl(fd[0], F_GETFL) & O_NONBLOCK);
    close_both(fd);
}

static void read_takes_what_is_there_and_then_the_end(void **state)
{
    (void)state;
    int fd[2];
    char got[16], a[2], b[16];
    struct iovec iov[] = {{a, 2}, {b, 16}};
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "hello", 5), 5);
    assert_int_equal(readv(fd[0], iov, 2), 5);
    assert_memory_equal(a, "he", 2);
    assert_memory_equal(b, "llo", 3);
    close(fd[1]);
    assert_int_equal(read(fd[0], got, sizeof got), 0);
    close(fd[0]);
}

static void who_does_not_want_to_wait_gets_EAGAIN(void **state)
{
    (void)state;
    int fd[2];
    char c, *data = big_pattern();
    struct iovec iov[] = {{data, BIG / 2}, {data, BIG / 2}};
    assert_int_equal(pipe2(fd, O_NONBLOCK), 0);
    assert_int_equal(read(fd[0], &c, 1), -1);
    assert_int_equal(errno, EAGAIN);
    assert_in_range(write(fd[1], data, BIG), 1, BIG - 1);
    assert_int_equal(write(fd[1], data, BIG), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(writev(fd[1], iov, 2), -1);
    assert_int_equal(errno, EAGAIN);
    close_both(fd);
    free(data);
}

static void writing_to_nobody_fails(void **state)
{
    (void)state;
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    close(fd[0]);
    assert_int_equal(write(fd[1], "x", 1), -1);
    assert_int_equal(errno, EPIPE);
    close(fd[1]);
}

static void nothing_can_be_written(void **state)
{
    (void)state;
    int fd[2];
    struct iovec iov[] = {{NULL, 0}, {NULL, 0}};
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[1], "", 0), 0);
    assert_int_equal(writev(fd[1], iov, 2), 0);
    close_both(fd);
}

static void what_cannot_be_read_is_refused(void **state)
{
    (void)state;
    char c = 0;
    int fd[2], dir = open("/", O_RDONLY | O_DIRECTORY);
    assert_int_equal(read(dir, &c, 1), -1);
    assert_int_equal(errno, EISDIR);
    close(dir);
    assert_int_equal(read(dir, &c, 1), -1);
    assert_int_equal(errno, EBADF);
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(write(fd[0], &c, 1), -1); /* the wrong end */
    assert_int_equal(errno, EBADF);
    close_both(fd);
}

/* ---- what is neither pipe nor socket ---- */

static void regular_files_are_read_and_written(void **state)
{
    (void)state;
    char got[16], *data = big_pattern(), *back = malloc(BIG);
    FILE *f = tmpfile();
    int fd = fileno(f);
    assert_int_equal(write(fd, data, BIG), BIG);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    size_t n = 0;
    for (ssize_t r; n < BIG && (r = read(fd, back + n, BIG - n)) > 0;)
        n += (size_t)r;
    assert_int_equal(n, BIG);
    assert_memory_equal(back, data, BIG);
    assert_int_equal(read(fd, got, sizeof got), 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), BIG);
    fclose(f);
    free(data);
    free(back);
}

static void devices_answer_at_once(void **state)
{
    (void)state;
    char got[16] = "full of letters";
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_RDWR);
    assert_int_equal(read(zero, got, sizeof got), sizeof got);
    assert_int_equal(got[7], 0);
    assert_int_equal(read(null, got, sizeof got), 0);
    assert_int_equal(write(null, got, sizeof got), sizeof got);
    close(zero);
    close(null);
}

static void add_one(void *fd)
{
    eventfd_write(*(int *)fd, 1);
}

static void an_event_counter_is_waited_for(void **state)
{
    (void)state;
    uint64_t n = 0;
    int fd = eventfd(0, EFD_CLOEXEC);
    meanwhile(add_one, &fd);
    assert_int_equal(read(fd, &n, sizeof n), sizeof n);
    assert_int_equal(n, 1);
    close(fd);
}

static void a_timer_is_waited_for(void **state)
{
    (void)state;
    uint64_t n = 0;
    struct itimerspec t = {.it_value.tv_nsec = 2 * GN_MS};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    timerfd_settime(fd, 0, &t, NULL);
    assert_int_equal(read(fd, &n, sizeof n), sizeof n);
    assert_int_equal(n, 1);
    close(fd);
}

static void write_line(void *fd)
{
    if (write(*(int *)fd, "line\n", 5) != 5)
        abort();
}

static void a_terminal_is_waited_for(void **state)
{
    (void)state;
    char got[16];
    int keyboard = posix_openpt(O_RDWR | O_NOCTTY);
    if (keyboard < 0)
        return; /* none to be had */
    assert_int_equal(grantpt(keyboard), 0);
    assert_int_equal(unlockpt(keyboard), 0);
    int terminal = open(ptsname(keyboard), O_RDWR | O_NOCTTY);
    assert_true(terminal >= 0);
    meanwhile(write_line, &keyboard);
    assert_int_equal(read(terminal, got, sizeof got), 5);
    assert_memory_equal(got, "line\n", 5);
    close_both((int[]){terminal, keyboard});
}

/* ---- a connection that breaks ---- */

static void open_tcp_pair(int fd[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd[0], (struct sockaddr *)&at, sizeof at), 0);
    fd[1] = accept(listener, NULL, NULL);
    assert_true(fd[1] >= 0);
    close(listener);
}

static void reset(void *fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(*(int *)fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(*(int *)fd);
}

static void a_reset_connection_is_an_error_not_an_end(void **state)
{
    (void)state;
    int fd[2];
    char c;
    open_tcp_pair(fd);
    meanwhile(reset, &fd[1]);
    assert_int_equal(read(fd[0], &c, 1), -1);
    assert_int_equal(errno, ECONNRESET);
    assert_int_equal(read(fd[0], &c, 1), 0);
    close(fd[0]);
}

/* ---- sendfile ---- */

static void sendfile_feeds_a_slow_reader(void **state)
{
    (void)state;
    int fd[2];
    char *data = big_pattern();
    FILE *f = tmpfile();
    off_t at = 0;
    assert_int_equal(write(fileno(f), data, BIG), BIG);
    open_pair(fd);
    struct reader r = {.fd = fd[0]};
    meanwhile(read_slowly, &r);
    for (ssize_t n; at < BIG;) {
        off_t before = at;
        n = sendfile(fd[1], fileno(f), &at, (size_t)(BIG - at));
        assert_true(n > 0);
        assert_int_equal(at, before + n);
    }
    assert_eventually(r.done);
    assert_true(r.right);
    assert_int_equal(sendfile(fd[1], fileno(f), &at, 10), 0); /* the end */
    assert_false(fcntl(fd[1], F_GETFL) & O_NONBLOCK);
    close_both(fd);
    fclose(f);
    free(data);
}

/* ---- FIFOs, which do not know RWF_NOWAIT ---- */

/* Opens a new FIFO, which is gone from the disk then. */
static int open_fifo(int flags)
{
    char dir[] = "/tmp/genet-fifo.XXXXXX", name[64];
    assert_non_null(mkdtemp(dir));
    snprintf(name, sizeof name, "%s/fifo", dir);
    assert_int_equal(mkfifo(name, 0600), 0);
    int fd = open(name, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    unlink(name);
    rmdir(dir);
    return fd;
}

static void megabytes_go_through_a_FIFO(void **state)
{
    (void)state;
    int fd = open_fifo(O_RDWR);
    char *data = big_pattern();
    struct reader r = {.fd = fd};
    meanwhile(read_slowly, &r);
    assert_int_equal(write(fd, data, BIG), BIG);
    assert_eventually(r.done);
    assert_true(r.right);
    close(fd);
    free(data);
}

static void a_FIFO_without_writers_is_at_its_end(void **state)
{
    (void)state;
    int fd = open_fifo(O_RDONLY | O_NONBLOCK);
    char c;
    assert_int_equal(read(fd, &c, 1), 0);
    close(fd);
    fd = open_fifo(O_RDWR | O_NONBLOCK);
    assert_int_equal(read(fd, &c, 1), -1);
    assert_int_equal(errno, EAGAIN);
    close(fd);
}

/* ---- between fibers ---- */

static void close_it(void *fd)
{
    close(*(int *)fd);
}

static void closing_a_pipe_wakes_the_fiber_that_reads(void **state)
{
    (void)state;
    int fd[2];
    char c;
    assert_int_equal(pipe(fd), 0);
    go(close_it, &fd[0]);
    assert_int_equal(read(fd[0], &c, 1), -1);
    assert_int_equal(errno, EBADF);
    close(fd[1]);
}

static void cancel(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
}

static void cancelling_ends_a_blocked_call(void **state)
{
    (void)state;
    int fd[2];
    char c, *data = big_pattern();
    assert_int_equal(pipe(fd), 0);
    go(cancel, gn_fiber_self());
    assert_int_equal(read(fd[0], &c, 1), -1);
    assert_int_equal(errno, ECANCELED);
    assert_in_range(write(fd[1], data, BIG), 1, BIG - 1);
    assert_int_equal(write(fd[1], data, BIG), -1);
    assert_int_equal(errno, ECANCELED);
    close_both(fd);
    free(data);
}

static int ignore_sigpipe(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(write_puts_megabytes_through_a_pipe),
        both_ways(writev_puts_megabytes_through_a_pipe),
        both_ways(write_reaches_a_slow_reader_of_a_socket),
        both_ways(read_waits_until_bytes_come),
        both_ways(read_takes_what_is_there_and_then_the_end),
        both_ways(who_does_not_want_to_wait_gets_EAGAIN),
        both_ways(writing_to_nobody_fails),
        both_ways(nothing_can_be_written),
        both_ways(what_cannot_be_read_is_refused),
        both_ways(regular_files_are_read_and_written),
        both_ways(devices_answer_at_once),
        both_ways(an_event_counter_is_waited_for),
        both_ways(a_timer_is_waited_for),
        both_ways(a_terminal_is_waited_for),
        both_ways(a_reset_connection_is_an_error_not_an_end),
        both_ways(sendfile_feeds_a_slow_reader),
        both_ways(megabytes_go_through_a_FIFO),
        both_ways(a_FIFO_without_writers_is_at_its_end),
        on_a_fiber(closing_a_pipe_wakes_the_fiber_that_reads),
        on_a_fiber(cancelling_ends_a_blocked_call),
    };
    return cmocka_run_group_tests(tests, ignore_sigpipe, NULL);
}
