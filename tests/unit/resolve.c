/* host/libc/resolve.c: names and addresses, of this machine only. */
#include "fiber_test.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

static const struct addrinfo IPV4 = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};

static const struct sockaddr_in *ipv4_of(const struct addrinfo *a)
{
    assert_int_equal(a->ai_family, AF_INET);
    return (const struct sockaddr_in *)a->ai_addr;
}

/* ---- getaddrinfo ---- */

static void a_number_needs_no_look_up(void **state)
{
    (void)state;
    struct addrinfo *found;
    assert_int_equal(getaddrinfo("127.0.0.5", "80", &IPV4, &found), 0);
    assert_int_equal(ipv4_of(found)->sin_addr.s_addr, htonl(0x7f000005));
    assert_int_equal(ipv4_of(found)->sin_port, htons(80));
    freeaddrinfo(found);
    assert_int_equal(getaddrinfo("::1", NULL, NULL, &found), 0);
    assert_int_equal(found->ai_family, AF_INET6);
    freeaddrinfo(found);
    assert_int_equal(getaddrinfo(NULL, "80", &IPV4, &found), 0);
    freeaddrinfo(found);
}

static void localhost_is_found(void **state)
{
    (void)state;
    struct addrinfo *found;
    assert_int_equal(getaddrinfo("localhost", "443", &IPV4, &found), 0);
    assert_int_equal(ipv4_of(found)->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    assert_int_equal(ipv4_of(found)->sin_port, htons(443));
    freeaddrinfo(found);
    assert_int_equal(getaddrinfo("localhost", NULL, NULL, &found), 0);
    freeaddrinfo(found);
}

static void what_is_no_host_or_service_is_told(void **state)
{
    (void)state;
    struct addrinfo *found, numeric = {.ai_flags = AI_NUMERICHOST};
    assert_int_equal(getaddrinfo("localhost", NULL, &numeric, &found), EAI_NONAME);
    assert_int_equal(getaddrinfo(NULL, NULL, NULL, &found), EAI_NONAME);
    assert_int_equal(getaddrinfo("localhost", "no such service", &IPV4, &found),
                     EAI_SERVICE);
}

/* ---- gethostbyname ---- */

static void gethostbyname_knows_localhost_and_numbers(void **state)
{
    (void)state;
    const char *const names[] = {"localhost", "127.0.0.1"};
    for (size_t i = 0; i < LENGTH(names); i++) {
        struct hostent *h = gethostbyname(names[i]);
        assert_non_null(h);
        assert_string_equal(h->h_name, names[i]);
        assert_int_equal(h->h_addrtype, AF_INET);
        assert_int_equal(h->h_length, 4);
        assert_memory_equal(h->h_addr_list[0], "\x7f\0\0\1", 4);
        assert_non_null(h->h_aliases);
    }
}

/* No query goes out for a name that cannot be one. */
static void gethostbyname_tells_what_it_cannot_find(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    h_errno = 0;
    assert_null(gethostbyname(name));
    assert_int_not_equal(h_errno, 0);
}

/* ---- getnameinfo ---- */

static const struct sockaddr_in LOOPBACK = {.sin_family = AF_INET};

static struct sockaddr *loopback(struct sockaddr_in *at, int port)
{
    *at = LOOPBACK;
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at->sin_port = htons((uint16_t)port);
    return (struct sockaddr *)at;
}

static void an_address_has_a_name(void **state)
{
    (void)state;
    struct sockaddr_in at;
    char host[NI_MAXHOST], service[NI_MAXSERV];
    assert_int_equal(getnameinfo(loopback(&at, 80), sizeof at, host, sizeof host,
                                 service, sizeof service,
                                 NI_NUMERICHOST | NI_NUMERICSERV),
                     0);
    assert_string_equal(host, "127.0.0.1");
    assert_string_equal(service, "80");
    assert_int_equal(getnameinfo(loopback(&at, 80), sizeof at, host, sizeof host,
                                 service, sizeof service, NI_NUMERICSERV),
                     0);
    assert_string_equal(host, "localhost");
    assert_string_equal(service, "80");
    assert_int_equal(
        getnameinfo(loopback(&at, 80), sizeof at, host, sizeof host, NULL, 0, 0), 0);
    assert_string_equal(host, "localhost");
}

static void a_name_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct sockaddr_in at;
    char host[4] = "";
    assert_int_equal(
        getnameinfo(loopback(&at, 80), sizeof at, host, sizeof host, NULL, 0, 0),
        EAI_OVERFLOW);
}

/* 192.0.2.1 is nobody's: asking for its name would take long, and nobody does. */
static void only_the_service_is_looked_up_when_only_it_is_asked_for(void **state)
{
    (void)state;
    struct sockaddr_in at;
    char service[NI_MAXSERV];
    loopback(&at, 9);
    at.sin_addr.s_addr = htonl(0xc0000201);
    assert_int_equal(getnameinfo((struct sockaddr *)&at, sizeof at, NULL, 0, service,
                                 sizeof service, NI_NAMEREQD),
                     0);
}

/* ---- on fibers ---- */

static void mark(void *flag)
{
    *(bool *)flag = true;
}

static void others_run_during_a_look_up(void **state)
{
    (void)state;
    struct sockaddr_in at;
    struct addrinfo *found;
    char host[NI_MAXHOST];
    bool ran = false;
    go(mark, &ran);
    assert_int_equal(getaddrinfo("localhost", NULL, &IPV4, &found), 0);
    freeaddrinfo(found);
    assert_true(ran);
    ran = false;
    go(mark, &ran);
    assert_non_null(gethostbyname("localhost"));
    assert_true(ran);
    ran = false;
    go(mark, &ran);
    assert_int_equal(
        getnameinfo(loopback(&at, 1), sizeof at, host, sizeof host, NULL, 0, 0), 0);
    assert_true(ran);
}

static void without_a_pool_the_thread_looks_up(void **state)
{
    (void)state;
    struct gn_sched *s = gn_sched_self();
    struct gn_pool *pool = s->pool;
    struct addrinfo *found;
    s->pool = NULL;
    int r = getaddrinfo("localhost", NULL, &IPV4, &found);
    s->pool = pool;
    assert_int_equal(r, 0);
    freeaddrinfo(found);
}

static void cancel(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
}

/* What keeps the pool busy until there is a byte in the gate. */
static struct {
    struct gn_job job;
    int gate[2];
    atomic_bool begun;
} busy;

static void wait_at_the_gate(struct gn_job *job)
{
    char byte;
    (void)job;
    busy.begun = true;
    if (read(busy.gate[0], &byte, 1) != 1)
        abort();
}

static void keep_the_pool_busy(void *unused)
{
    (void)unused;
    busy.job.run = wait_at_the_gate;
    gn_offload(&busy.job);
}

static void a_cancelled_look_up_fails_and_leaks_nothing(void **state)
{
    (void)state;
    struct sockaddr_in at;
    struct addrinfo *found;
    char host[NI_MAXHOST];
    struct gn_pool *pool = gn_sched_self()->pool, *small = gn_pool_new(1);
    gn_sched_self()->pool = small;
    open_pair(busy.gate);
    go(keep_the_pool_busy, NULL);
    assert_eventually(busy.begun);
    go(cancel, gn_fiber_self());
    for (int i = 0; i < 2; i++) { /* during the wait, and before it */
        assert_int_equal(getaddrinfo("localhost", NULL, &IPV4, &found), EAI_SYSTEM);
        assert_int_equal(errno, ECANCELED);
    }
    assert_null(gethostbyname("localhost"));
    assert_int_equal(
        getnameinfo(loopback(&at, 1), sizeof at, host, sizeof host, NULL, 0, 0),
        EAI_SYSTEM);
    assert_int_equal(errno, ECANCELED);
    write_byte(&busy.gate[1]);
    gn_pool_free(small);
    gn_sched_self()->pool = pool;
    close_both(busy.gate);
}

static int answers;

static void look_up_many_times(void *unused)
{
    (void)unused;
    for (int i = 0; i < 10; i++) {
        struct addrinfo *found;
        struct hostent *h = gethostbyname("localhost");
        answers += h && memcmp(h->h_addr_list[0], "\x7f\0\0\1", 4) == 0;
        if (getaddrinfo("localhost", NULL, &IPV4, &found) == 0) {
            freeaddrinfo(found);
            answers++;
        }
    }
}

static void fifty_fibers_look_up_at_once(void **state)
{
    (void)state;
    answers = 0;
    for (int i = 0; i < 50; i++)
        go(look_up_many_times, NULL);
    assert_eventually(answers == 50 * 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        both_ways(a_number_needs_no_look_up),
        both_ways(localhost_is_found),
        both_ways(what_is_no_host_or_service_is_told),
        both_ways(gethostbyname_knows_localhost_and_numbers),
        both_ways(gethostbyname_tells_what_it_cannot_find),
        both_ways(an_address_has_a_name),
        both_ways(a_name_that_does_not_fit_is_refused),
        both_ways(only_the_service_is_looked_up_when_only_it_is_asked_for),
        on_a_fiber(others_run_during_a_look_up),
        on_a_fiber(without_a_pool_the_thread_looks_up),
        on_a_fiber(a_cancelled_look_up_fails_and_leaks_nothing),
        on_a_fiber(fifty_fibers_look_up_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
