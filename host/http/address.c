#include "address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

void gn_address_stand_in(struct sockaddr *addr, socklen_t *len, int port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    memcpy(addr, &in, *len < sizeof in ? *len : sizeof in);
    *len = sizeof in;
}

static void format_ipv4(const unsigned char *b, char *out)
{
    for (int i = 0; i < 4; i++) {
        if (b[i] >= 100)
            *out++ = (char)('0' + b[i] / 100);
        if (b[i] >= 10)
            *out++ = (char)('0' + b[i] / 10 % 10);
        *out++ = (char)('0' + b[i] % 10);
        *out++ = i < 3 ? '.' : '\0';
    }
}

static void format_ipv6(const struct sockaddr_in6 *in6, char out[GN_ADDRESS_ROOM])
{
    inet_ntop(AF_INET6, &in6->sin6_addr, out, GN_ADDRESS_ROOM);
    char *scope = out + strlen(out);
    *scope = '%';
    if (!in6->sin6_scope_id || !if_indextoname(in6->sin6_scope_id, scope + 1))
        *scope = '\0';
}

int gn_address_format(const struct sockaddr_storage *from, char out[GN_ADDRESS_ROOM])
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)from;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
    if (from->ss_family == AF_INET) {
        format_ipv4((const unsigned char *)&in->sin_addr, out);
        return ntohs(in->sin_port);
    }
    if (from->ss_family != AF_INET6) {
        strcpy(out, "unix:");
        return 0;
    }
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        format_ipv4(&in6->sin6_addr.s6_addr[12], out);
    else
        format_ipv6(in6, out);
    return ntohs(in6->sin6_port);
}
