/* host/bus/redis.c, with a real redis-server: two hosts hear each other, whatever
 * becomes of it. */
#include "fiber_test.h"

#include "bus/redis.h"
#include "log.h"

#include <arpa/inet.h>
#include <hiredis.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { PATIENCE_MS = SANITIZED ? 1000 : 300 };

/* ---- the server ---- */

static struct {
    pid_t pid; /* 0: none runs */
    char port[8];
    char path[64]; /* of its Unix socket */
} server;

static int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void choose_port(void)
{
    uint16_t port;
    close(listen_somewhere(&port));
    snprintf(server.port, sizeof server.port, "%d", port);
    snprintf(server.path, sizeof server.path, "/tmp/genet-redis-%d.sock", getpid());
}

/* Returns without waiting for it to listen. */
static void start_server(const char *password)
{
    pid_t parent = getpid();
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", server.port,
           "--unixsocket", server.path, "--save", "", "--appendonly", "no", "--dir",
           "/tmp", "--logfile", "/dev/null", "--requirepass", password, NULL);
    _exit(127);
}

static void end_server(void)
{
    if (server.pid == 0)
        return;
    kill(server.pid, SIGKILL);
    waitpid(server.pid, NULL, 0);
    server.pid = 0;
    unlink(server.path);
}

/* ---- hosts ---- */

struct host {
    struct gn_bus bus;
    struct gn_redis *redis;
    struct gn_bus_member listener;
    size_t got, wrong;
    int next; /* the number that is to come; see in_order() */
    struct gn_bus_message *last;
};

static struct host a, b;

static void listen_to(struct gn_bus_member *m, struct gn_bus_message *const *batch,
                      size_t n)
{
    struct host *h = gn_container_of(m, struct host, listener);
    for (size_t i = 0; i < n; i++) {
        int number;
        if (batch[i]->length == sizeof number) {
            memcpy(&number, gn_bus_payload(batch[i]), sizeof number);
            h->wrong += number != h->next++;
        }
    }
    h->got += n;
    gn_bus_message_unref(h->last);
    h->last = batch[n - 1];
    atomic_fetch_add(&h->last->refs, 1);
}

static void open_host(struct host *h, const char *url)
{
    *h = (struct host){.got = 0};
    gn_bus_init(&h->bus);
    gn_bus_join(&h->bus, &h->listener, "the test", listen_to);
    h->redis = gn_redis_open(&h->bus, &(struct gn_redis_options){
                                          .url = url, .patience = PATIENCE_MS * GN_MS});
    assert_non_null(h->redis);
}

static void close_host(struct host *h)
{
    gn_redis_close(h->redis);
    gn_bus_leave(&h->listener);
    gn_bus_message_unref(h->last);
    gn_bus_term(&h->bus);
}

static const char *url_of(const char *credentials)
{
    static char url[128];
    snprintf(url, sizeof url, "redis://%s127.0.0.1:%s", credentials, server.port);
    return url;
}

static void open_both(void)
{
    open_host(&a, url_of(""));
    open_host(&b, url_of(""));
    assert_eventually(gn_redis_is_up(a.redis) && gn_redis_is_up(b.redis));
}

static void close_all(void)
{
    close_host(&a);
    close_host(&b);
}

static void say_bytes(struct host *h, enum gn_bus_kind kind, const char *topic,
                      size_t n, const void *bytes, size_t length)
{
    struct gn_bus_message *m = gn_bus_message_new(kind, topic, n, bytes, length);
    assert_non_null(m);
    gn_bus_publish(&h->bus, &h->listener, m);
    gn_bus_message_unref(m);
}

static void say(struct host *h, const char *text)
{
    say_bytes(h, GN_BUS_TEXT, "news", 4, text, strlen(text));
}

static bool has(const struct host *h, const char *text)
{
    return h->last && h->last->length == strlen(text) &&
           memcmp(gn_bus_payload(h->last), text, h->last->length) == 0;
}

/* Messages may be lost until both are there. */
static void assert_they_hear_each_other(void)
{
    assert_eventually(
        (say(&a, "from a"), gn_sleep_until(gn_after(GN_MS)), has(&b, "from a")));
    assert_eventually(
        (say(&b, "from b"), gn_sleep_until(gn_after(GN_MS)), has(&a, "from b")));
}

/* ---- tests ---- */

static int begin(void **state)
{
    (void)state;
    gn_log_set_level(GN_ERROR);
    choose_port();
    return 0;
}

static int end(void **state)
{
    (void)state;
    end_server();
    return 0;
}

static void hosts_hear_each_other_and_not_themselves(void **state)
{
    (void)state;
    static const char topic[] = "a b\0*:\r\n";
    start_server("");
    open_both();
    say(&a, "hello");
    assert_eventually(b.got == 1);
    assert_int_equal(b.last->kind, GN_BUS_EITHER); /* another host is not trusted */
    assert_memory_equal(b.last->bytes, "newshello", 9);
    say_bytes(&b, GN_BUS_BINARY, topic, sizeof topic, "\0\xff", 2);
    assert_eventually(a.got == 1);
    assert_int_equal(a.last->kind, GN_BUS_BINARY);
    assert_int_equal(a.last->topic_length, sizeof topic);
    assert_memory_equal(a.last->bytes, topic, sizeof topic);
    assert_memory_equal(gn_bus_payload(a.last), "\0\xff", 2);
    say(&b, "");
    assert_eventually(a.got == 2);
    assert_int_equal(b.got, 1);
    close_all();
}

static void large_ones_cross(void **state)
{
    (void)state;
    enum { LARGE = 3 << 20 };
    char *data = malloc(LARGE);
    fill_pattern(data, LARGE);
    start_server("");
    open_both();
    for (int i = 0; i < 5; i++)
        say_bytes(&a, GN_BUS_BINARY, "t", 1, data, LARGE);
    assert_eventually(b.got == 5);
    assert_int_equal(b.last->length, LARGE);
    assert_memory_equal(gn_bus_payload(b.last), data, LARGE);
    close_all();
    free(data);
}

static void bursts_keep_their_order(void **state)
{
    (void)state;
    enum { ALL = 10000 };
    start_server("");
    open_both();
    for (int i = 0; i < ALL; i++)
        say_bytes(&a, GN_BUS_BINARY, "t", 1, &i, sizeof i);
    assert_eventually(b.got == ALL);
    assert_int_equal(b.wrong, 0);
    close_all();
}

static void what_is_published_last_goes_out(void **state)
{
    (void)state;
    start_server("");
    open_both();
    say(&a, "farewell");
    close_host(&a);
    assert_eventually(has(&b, "farewell"));
    close_host(&b);
}

static void anybody_may_publish(void **state)
{
    (void)state;
    start_server("");
    open_both();
    redisContext *c = redisConnect("127.0.0.1", atoi(server.port));
    assert_int_equal(c->err, 0);
    freeReplyObject(redisCommand(c, "PUBLISH genet:nothing x"));
    freeReplyObject(redisCommand(c, "PUBLISH genetic:topic:news x"));
    freeReplyObject(redisCommand(c, "PUBLISH genet: x"));
    freeReplyObject(redisCommand(c, "PUBLISH genet:topic:news hello"));
    assert_eventually(a.got == 1 && b.got == 1);
    assert_int_equal(a.last->kind, GN_BUS_EITHER);
    assert_memory_equal(a.last->bytes, "newshello", 9);
    redisFree(c);
    close_all();
}

static void prefixes_keep_apart(void **state)
{
    (void)state;
    static char url[160];
    start_server("");
    snprintf(url, sizeof url, "%s/3?prefix=other", url_of(""));
    open_host(&a, url_of(""));
    open_host(&b, url);
    assert_eventually(gn_redis_is_up(a.redis) && gn_redis_is_up(b.redis));
    say(&a, "hello");
    gn_bus_flush((struct gn_bus_member *)a.redis, gn_after(30 * GN_SECOND));
    struct host c;
    open_host(&c, url);
    assert_eventually(gn_redis_is_up(c.redis));
    say(&c, "of the same prefix");
    assert_eventually(has(&b, "of the same prefix"));
    assert_int_equal(b.got, 1);
    close_host(&c);
    close_all();
}

static void it_may_come_later(void **state)
{
    (void)state;
    open_host(&a, url_of(""));
    open_host(&b, url_of(""));
    say(&a, "lost");
    gn_sleep_until(gn_after(20 * GN_MS));
    assert_false(gn_redis_is_up(a.redis));
    start_server("");
    assert_they_hear_each_other();
    close_all();
}

static void it_may_die_and_come_back(void **state)
{
    (void)state;
    start_server("");
    open_both();
    for (int round = 0; round < 2; round++) {
        end_server();
        assert_eventually(!gn_redis_is_up(a.redis) && !gn_redis_is_up(b.redis));
        struct gn_bus_member *member = (struct gn_bus_member *)a.redis;
        size_t before = gn_bus_dropped(member);
        for (int i = 0; i < 10; i++)
            say(&a, "lost");
        assert_int_equal(gn_bus_flush(member, gn_after(30 * GN_SECOND)), 0);
        assert_int_equal(gn_bus_dropped(member), before + 10);
        start_server("");
        assert_they_hear_each_other();
    }
    close_all();
}

/* Under a stream of messages, too. */
static void it_may_die_while_others_publish(void **state)
{
    (void)state;
    static char data[100000];
    start_server("");
    open_both();
    for (int i = 0; i < 400; i++) {
        say_bytes(&a, GN_BUS_BINARY, "t", 1, data, sizeof data);
        if (i == 200)
            end_server();
        if (i % 10 == 0)
            gn_sleep_until(gn_after(GN_MS));
    }
    assert_eventually(!gn_redis_is_up(a.redis));
    start_server("");
    assert_they_hear_each_other();
    close_all();
}

static void one_that_does_not_answer_is_given_up(void **state)
{
    (void)state;
    start_server("");
    open_both();
    kill(server.pid, SIGSTOP);
    say(&a, "lost"); /* a waits for an answer to this, b has asked */
    assert_eventually(!gn_redis_is_up(a.redis) && !gn_redis_is_up(b.redis));
    kill(server.pid, SIGCONT);
    assert_they_hear_each_other();
    close_all();
}

static void a_password_is_needed(void **state)
{
    (void)state;
    start_server("s3cret@/:");
    open_host(&a, url_of(":wrong@"));
    open_host(&b, url_of(""));
    struct host c, d;
    open_host(&c, url_of(":s3cret%40%2f%3A@"));
    open_host(&d, url_of("default:s3cret%40%2F%3a@"));
    assert_eventually(gn_redis_is_up(c.redis) && gn_redis_is_up(d.redis));
    assert_false(gn_redis_is_up(a.redis));
    assert_false(gn_redis_is_up(b.redis));
    say(&c, "hello");
    assert_eventually(has(&d, "hello"));
    close_host(&c);
    close_host(&d);
    close_all();
}

static void a_unix_socket_will_do(void **state)
{
    (void)state;
    static char url[128];
    snprintf(url, sizeof url, "redis+unix://%s", server.path);
    start_server("");
    open_host(&a, url);
    open_host(&b, url_of(""));
    assert_they_hear_each_other();
    close_all();
}

static void one_may_leave_while_it_connects(void **state)
{
    (void)state;
    uint16_t port;
    char url[64];
    int fd = listen_somewhere(&port); /* it connects there, and hears nothing */
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", port);
    open_host(&a, url);
    gn_sleep_until(gn_after(5 * GN_MS));
    int64_t since = gn_now();
    close_host(&a);
    assert_true(gn_now() - since < 20 * GN_SECOND);
    open_host(&a, url);
    close_host(&a);
    close(fd);
}

static void urls_are_checked(void **state)
{
    (void)state;
    static const char *const good[] = {
        "redis://localhost",
        "redis://localhost:1",
        "redis://localhost/",
        "redis://localhost:6379/15",
        "redis://:secret@h",
        "redis://user:secret@h:1/2",
        "redis://[::1]",
        "redis://[::1]:6380",
        "redis://h?prefix=a.b-c_1",
        "redis://h:1/0?prefix=x",
        "redis+unix:///run/r.sock",
        "redis+unix://:p@/run/r?prefix=x",
        "REDIS://h",
    };
    static const char *const bad[] = {
        "",
        "localhost",
        "http://localhost",
        "rediss://localhost",
        "redis://",
        "redis://:1",
        "redis://h:",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:x",
        "redis://h:+1",
        "redis://user@h",
        "redis://:%4@h",
        "redis://h/name",
        "redis://h?name=x",
        "redis://h?prefix=",
        "redis://h?prefix=a*",
        "redis://[::1",
        "redis://[::1]x",
        "redis+unix://run/r.sock",
        "redis+unix://",
    };
    char error[256];
    for (size_t i = 0; i < LENGTH(good); i++)
        if (gn_redis_check(good[i], error, sizeof error) != 0)
            fail_msg("%s: %s", good[i], error);
    for (size_t i = 0; i < LENGTH(bad); i++)
        if (gn_redis_check(bad[i], error, sizeof error) != -EINVAL)
            fail_msg("%s is no URL", bad[i]);
}

static void run_it(void **state)
{
    struct gn_sched *s = sched_begin();
    go((void (*)(void *)) * state, NULL);
    sched_end(s);
}

#define with_redis(test)                          \
    {                                             \
#test, run_it, begin, end, (void *)(test) \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_redis(urls_are_checked),
        with_redis(hosts_hear_each_other_and_not_themselves),
        with_redis(large_ones_cross),
        with_redis(bursts_keep_their_order),
        with_redis(what_is_published_last_goes_out),
        with_redis(anybody_may_publish),
        with_redis(prefixes_keep_apart),
        with_redis(it_may_come_later),
        with_redis(it_may_die_and_come_back),
        with_redis(it_may_die_while_others_publish),
        with_redis(one_that_does_not_answer_is_given_up),
        with_redis(a_password_is_needed),
        with_redis(a_unix_socket_will_do),
        with_redis(one_may_leave_while_it_connects),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
