/* host/http/address.c: addresses of peers, for people. */
#include "fiber_test.h"

#include "http/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>

static void assert_v4(const char *address, int port)
{
    char out[GN_ADDRESS_ROOM];
    struct sockaddr_storage from = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&from;
    *in =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    assert_int_equal(inet_pton(AF_INET, address, &in->sin_addr), 1);
    assert_int_equal(gn_address_format(&from, out), port);
    assert_string_equal(out, address);
}

static void assert_v6(const char *address, unsigned scope, const char *expected)
{
    char out[GN_ADDRESS_ROOM];
    struct sockaddr_storage from = {0};
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&from;
    *in6 = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(99), .sin6_scope_id = scope};
    assert_int_equal(inet_pton(AF_INET6, address, &in6->sin6_addr), 1);
    assert_int_equal(gn_address_format(&from, out), 99);
    assert_string_equal(out, expected);
}

static void ipv4_is_four_numbers(void **state)
{
    (void)state;
    assert_v4("0.0.0.0", 0);
    assert_v4("127.0.0.2", 1234);
    assert_v4("9.10.99.100", 80);
    assert_v4("255.255.255.255", 65535);
}

static void ipv6_is_as_short_as_can_be(void **state)
{
    (void)state;
    assert_v6("::1", 0, "::1");
    assert_v6("2001:db8:0:0:1:0:0:1", 0, "2001:db8::1:0:0:1");
    assert_v6("2001:db8:1111:2222:3333:4444:5555:6666", 0,
              "2001:db8:1111:2222:3333:4444:5555:6666");
}

static void an_ipv4_peer_of_an_ipv6_socket_is_one(void **state)
{
    (void)state;
    assert_v6("::ffff:192.0.2.1", 0, "192.0.2.1");
}

static void a_scope_is_named(void **state)
{
    (void)state;
    assert_v6("fe80::1", if_nametoindex("lo"), "fe80::1%lo");
    assert_v6("fe80::1", 999999, "fe80::1"); /* gone since */
}

static void a_unix_socket_has_no_address(void **state)
{
    (void)state;
    char out[GN_ADDRESS_ROOM];
    struct sockaddr_storage from = {.ss_family = AF_UNIX};
    assert_int_equal(gn_address_format(&from, out), 0);
    assert_string_equal(out, "unix:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_is_four_numbers),
        cmocka_unit_test(ipv6_is_as_short_as_can_be),
        cmocka_unit_test(an_ipv4_peer_of_an_ipv6_socket_is_one),
        cmocka_unit_test(a_scope_is_named),
        cmocka_unit_test(a_unix_socket_has_no_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
