/* host/http/listener.c: TCP, Unix and inherited listening sockets. */
#include "fiber_test.h"

#include "http/listener.h"

#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

static struct gn_listener l;
static char error[256];

static void open_it(const char *address)
{
    int r = gn_listener_open(&l, address, error, sizeof error);
    if (r < 0)
        fail_msg("%s", error);
}

static int port_of(int fd)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    return ntohs(at.sin_port);
}

static int call(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
        return fd;
    close(fd);
    return -1;
}

/* ---- TCP ---- */

static void a_free_port_is_taken_and_told(void **state)
{
    (void)state;
    static const char *const addresses[] = {"127.0.0.1:0", "http://127.0.0.1:0",
                                            "localhost:0"};
    for (size_t i = 0; i < LENGTH(addresses); i++) {
        char url[64];
        open_it(addresses[i]);
        assert_false(l.secure);
        const char *host = i == 2 ? "localhost" : "127.0.0.1";
        snprintf(url, sizeof url, "http://%s:%d", host, port_of(l.watch.fd));
        assert_string_equal(l.url, url);
        gn_listener_close(&l);
    }
    open_it("https://127.0.0.1:0");
    assert_true(l.secure);
    assert_memory_equal(l.url, "https://127.0.0.1:", 18);
    gn_listener_close(&l);
}

static void a_connection_is_taken_without_waiting(void **state)
{
    (void)state;
    struct sockaddr_storage peer;
    open_it("127.0.0.1:0");
    assert_int_equal(gn_listener_accept(&l, &peer), -1);
    assert_int_equal(errno, EAGAIN);
    assert_false(l.readable);
    int client = call(port_of(l.watch.fd)), fd = -1;
    assert_true(client >= 0);
    assert_eventually((fd = gn_listener_accept(&l, &peer)) >= 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(peer.ss_family, AF_INET);
    close(fd);
    close(client);
    gn_listener_close(&l);
}

static void a_closed_listener_refuses(void **state)
{
    (void)state;
    open_it("127.0.0.1:0");
    int port = port_of(l.watch.fd);
    gn_listener_close(&l);
    gn_listener_close(&l); /* twice is fine */
    assert_int_equal(call(port), -1);
    assert_int_equal(errno, ECONNREFUSED);
}

/* Does not wait for who does not answer. */
static int begin_to_call(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), -1);
    assert_int_equal(errno, EINPROGRESS);
    return fd;
}

static void a_sealed_listener_lets_nobody_new_in(void **state)
{
    (void)state;
    char byte = 0;
    struct sockaddr_storage peer;
    open_it("127.0.0.1:0");
    int port = port_of(l.watch.fd), early = call(port), fd = -1;
    gn_listener_seal(&l);
    int late = begin_to_call(port);
    assert_eventually((fd = gn_listener_accept(&l, &peer)) >= 0);
    assert_int_equal(gn_listener_accept(&l, &peer), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(write(early, "x", 1), 1); /* what is connected stays so */
    assert_eventually(recv(fd, &byte, 1, MSG_DONTWAIT) == 1);
    close(early);
    close(late);
    close(fd);
    gn_listener_close(&l);
}

static void what_cannot_be_listened_on_is_named(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "127.0.0.1",   "127.0.0.1:",  "127.0.0.1:70000",
        "127.0.0.1:x", ":80",         "::1:80",
        "[::1:80",     "192.0.2.1:0", "unix:/no/such/place",
        "fd:",         "fd:x",        "fd:0x3",
        "fd:999999",   "fd:-1",       ""};
    for (size_t i = 0; i < LENGTH(addresses); i++) {
        char start[128];
        snprintf(start, sizeof start, "cannot listen on %s: ", addresses[i]);
        assert_int_equal(gn_listener_open(&l, addresses[i], error, sizeof error), -1);
        assert_memory_equal(error, start, strlen(start));
        gn_listener_close(&l);
    }
}

static void a_port_in_use_is_refused(void **state)
{
    (void)state;
    struct gn_listener second;
    char address[64];
    open_it("127.0.0.1:0");
    snprintf(address, sizeof address, "127.0.0.1:%d", port_of(l.watch.fd));
    assert_int_equal(gn_listener_open(&second, address, error, sizeof error), -1);
    assert_non_null(strstr(error, "in use"));
    gn_listener_close(&second);
    gn_listener_close(&l);
}

/* ---- Unix ---- */

static char path[64];

static void make_path(void)
{
    strcpy(path, "/tmp/genet-unit-XXXXXX");
    assert_non_null(mkdtemp(path));
    strcat(path, "/s");
}

static void remove_path(void)
{
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0); /* nothing was left behind */
}

static const char *unix_address(const char *options)
{
    static char address[128];
    snprintf(address, sizeof address, "unix:%s%s", path, options);
    return address;
}

static void a_socket_file_has_the_mode_asked_for_and_goes_at_the_end(void **state)
{
    (void)state;
    struct stat st;
    make_path();
    open_it(unix_address("?mode=0660"));
    assert_string_equal(l.url, unix_address(""));
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0660);
    gn_listener_close(&l);
    assert_int_equal(stat(path, &st), -1);
    remove_path();
}

static void a_stale_socket_file_is_replaced_and_a_live_one_is_not(void **state)
{
    (void)state;
    struct gn_listener second;
    make_path();
    open_it(unix_address(""));
    assert_int_equal(gn_listener_open(&second, unix_address(""), error, sizeof error),
                     -1);
    gn_listener_close(&second);
    close(l.watch.fd); /* as after a crash: the file stays */
    free(l.unix_path);
    open_it(unix_address(""));
    gn_listener_close(&l);
    remove_path();
}

static void a_sealed_socket_file_lets_nobody_new_in(void **state)
{
    (void)state;
    struct sockaddr_storage peer;
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int early = socket(AF_UNIX, SOCK_STREAM, 0), late = socket(AF_UNIX, SOCK_STREAM, 0);
    make_path();
    open_it(unix_address(""));
    strcpy(at.sun_path, path);
    assert_int_equal(connect(early, (struct sockaddr *)&at, sizeof at), 0);
    gn_listener_seal(&l);
    assert_int_equal(connect(late, (struct sockaddr *)&at, sizeof at), -1);
    assert_int_equal(errno, ECONNREFUSED);
    int fd = gn_listener_accept(&l, &peer);
    assert_true(fd >= 0);
    assert_int_equal(gn_listener_accept(&l, &peer), -1);
    close(early);
    close(late);
    close(fd);
    gn_listener_close(&l);
    remove_path();
}

static void a_file_of_another_kind_is_left_alone(void **state)
{
    (void)state;
    struct stat st;
    make_path();
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(gn_listener_open(&l, unix_address(""), error, sizeof error), -1);
    gn_listener_close(&l);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(unlink(path), 0);
    remove_path();
}

/* ---- inherited ---- */

static void an_inherited_socket_is_listened_on(void **state)
{
    (void)state;
    char address[32];
    struct sockaddr_storage peer;
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    snprintf(address, sizeof address, "fd:%d", fd);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(gn_listener_open(&l, address, error, sizeof error), -1);
    assert_int_equal(listen(fd, 5), 0); /* now it is one */
    open_it(address);
    assert_int_equal(l.watch.fd, fd);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(gn_listener_accept(&l, &peer), -1);
    assert_int_equal(errno, EAGAIN);
    gn_listener_close(&l);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

/* ---- on the scheduler ---- */

static struct gn_fiber *waiter;

static void on_ready(struct gn_watch *w, uint32_t events)
{
    (void)events;
    gn_container_of(w, struct gn_listener, watch)->readable = true;
    gn_wake(waiter);
}

static void a_connection_is_told(void **state)
{
    (void)state;
    struct sockaddr_storage peer;
    open_it("127.0.0.1:0");
    l.readable = false;
    waiter = gn_fiber_self();
    assert_int_equal(gn_listener_watch(&l, on_ready), 0);
    int client = call(port_of(l.watch.fd));
    while (!l.readable)
        assert_int_equal(gn_park(gn_after(30 * GN_SECOND)), 0);
    int fd = gn_listener_accept(&l, &peer);
    assert_true(fd >= 0);
    close(fd);
    close(client);
    gn_listener_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(a_free_port_is_taken_and_told),
        both_ways(a_connection_is_taken_without_waiting),
        both_ways(a_closed_listener_refuses),
        both_ways(a_sealed_listener_lets_nobody_new_in),
        both_ways(what_cannot_be_listened_on_is_named),
        both_ways(a_port_in_use_is_refused),
        both_ways(a_socket_file_has_the_mode_asked_for_and_goes_at_the_end),
        both_ways(a_stale_socket_file_is_replaced_and_a_live_one_is_not),
        both_ways(a_sealed_socket_file_lets_nobody_new_in),
        both_ways(a_file_of_another_kind_is_left_alone),
        both_ways(an_inherited_socket_is_listened_on),
        on_a_fiber(a_connection_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
