/* getaddrinfo gethostbyname getnameinfo: the resolver polls inside libc, out of reach,
 * so a fiber has a pool thread make the call. What needs no look-up is answered at
 * once. */
#include "../sched/offload.h"
#include "real.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static char *copy(const char *s)
{
    return s ? strdup(s) : NULL;
}

static bool offloads(void)
{
    return gn_may_park() && gn_sched_self()->pool;
}

static bool is_number(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    return !host || inet_pton(AF_INET, host, address) == 1 ||
           inet_pton(AF_INET6, host, address) == 1;
}

/* ---- getaddrinfo ---- */

struct lookup {
    struct gn_job job;
    char *host, *service;
    struct addrinfo hints, *found;
    bool has_hints;
    int result, error;
};

static void run_lookup(struct gn_job *job)
{
    struct lookup *l = gn_container_of(job, struct lookup, job);
    l->result = gn_real()->getaddrinfo(l->host, l->service,
                                       l->has_hints ? &l->hints : NULL, &l->found);
    l->error = errno;
}

static void drop_lookup(struct gn_job *job)
{
    struct lookup *l = gn_container_of(job, struct lookup, job);
    if (l->found)
        freeaddrinfo(l->found);
    free(l->host);
    free(l->service);
    free(l);
}

static struct lookup *new_lookup(const char *host, const char *service,
                                 const struct addrinfo *hints)
{
    struct lookup *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->job.run = run_lookup;
    l->job.drop = drop_lookup;
    l->host = copy(host);
    l->service = copy(service);
    l->has_hints = hints != NULL;
    if (hints)
        l->hints = *hints;
    if ((host && !l->host) || (service && !l->service)) {
        drop_lookup(&l->job);
        return NULL;
    }
    return l;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **found)
{
    if (!offloads() || is_number(host) || (hints && hints->ai_flags & AI_NUMERICHOST))
        return gn_real()->getaddrinfo(host, service, hints, found);
    struct lookup *l = new_lookup(host, service, hints);
    if (!l)
        return EAI_MEMORY;
    int r = gn_offload(&l->job);
    if (r < 0 && r != -ENOMEM) { /* cancelled: the job is the pool's */
        errno = -r;
        return EAI_SYSTEM;
    }
    int result = r == 0 ? l->result : EAI_MEMORY;
    errno = l->error;
    if (r == 0 && result == 0)
        *found = l->found;
    l->found = NULL;
    drop_lookup(&l->job);
    return result;
}

/* ---- gethostbyname: a static answer, as libc's, good until this thread's next call
 * ---- */

enum { HOST_BYTES = 8192, HOST_POINTERS = 64 };

static _Thread_local struct {
    struct hostent entry;
    char *pointers[HOST_POINTERS];
    char bytes[HOST_BYTES];
} answer;

/* Lays out IPv4 addresses, found by getaddrinfo(), as a hostent. */
static struct hostent *to_hostent(const char *host, const struct addrinfo *found)
{
    char **addresses = answer.pointers;
    size_t n = 0, used = strlen(host) + 1;
    if (used > HOST_BYTES / 2)
        return NULL;
    memcpy(answer.bytes, host, used);
    used = (used + 7) & ~(size_t)7;
    for (; found && n < HOST_POINTERS - 2; found = found->ai_next) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)found->ai_addr;
        addresses[n] = answer.bytes + used;
        memcpy(addresses[n++], &in->sin_addr, sizeof in->sin_addr);
        used += sizeof in->sin_addr;
    }
    addresses[n] = NULL;
    answer.entry = (struct hostent){.h_name = answer.bytes,
                                    .h_aliases = &addresses[n],
                                    .h_addrtype = AF_INET,
                                    .h_length = sizeof(struct in_addr),
                                    .h_addr_list = addresses};
    return &answer.entry;
}

static int to_h_errno(int error)
{
    return error == EAI_AGAIN    ? TRY_AGAIN
           : error == EAI_NONAME ? HOST_NOT_FOUND
                                 : NO_RECOVERY;
}

struct hostent *gethostbyname(const char *host)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    if (!offloads() || is_number(host))
        return gn_real()->gethostbyname(host);
    int r = getaddrinfo(host, NULL, &hints, &found);
    if (r != 0) {
        h_errno = to_h_errno(r);
        return NULL;
    }
    struct hostent *entry = to_hostent(host, found);
    freeaddrinfo(found);
    if (!entry)
        h_errno = NO_RECOVERY;
    return entry;
}

/* ---- getnameinfo ---- */

struct naming {
    struct gn_job job;
    struct sockaddr_storage address;
    socklen_t length;
    char host[NI_MAXHOST], service[NI_MAXSERV];
    bool wants_host, wants_service;
    int flags, result, error;
};

static void run_naming(struct gn_job *job)
{
    struct naming *n = gn_container_of(job, struct naming, job);
    n->result = gn_real()->getnameinfo(
        (struct sockaddr *)&n->address, n->length, n->wants_host ? n->host : NULL,
        n->wants_host ? sizeof n->host : 0, n->wants_service ? n->service : NULL,
        n->wants_service ? sizeof n->service : 0, n->flags);
    n->error = errno;
}

static void drop_naming(struct gn_job *job)
{
    free(gn_container_of(job, struct naming, job));
}

static int hand_over(char *to, socklen_t room, const char *from)
{
    if (!to || room == 0)
        return 0;
    if (strlen(from) >= room)
        return EAI_OVERFLOW;
    strcpy(to, from);
    return 0;
}

int getnameinfo(const struct sockaddr *address, socklen_t length, char *host,
                socklen_t host_room, char *service, socklen_t service_room, int flags)
{
    struct naming *n;
    bool looks_up =
        (host && !(flags & NI_NUMERICHOST)) || (service && !(flags & NI_NUMERICSERV));
    if (!looks_up || !offloads() || length > sizeof n->address)
        return gn_real()->getnameinfo(address, length, host, host_room, service,
                                      service_room, flags);
    if (!(n = calloc(1, sizeof *n)))
        return EAI_MEMORY;
    n->job.run = run_naming;
    n->job.drop = drop_naming;
    memcpy(&n->address, address, length);
    n->length = length;
    n->wants_host = host != NULL;
    n->wants_service = service != NULL;
    n->flags = flags;
    int r = gn_offload(&n->job);
    if (r < 0 && r != -ENOMEM) {
        errno = -r;
        return EAI_SYSTEM;
    }
    int result = r == 0 ? n->result : EAI_MEMORY;
    if (result == 0)
        result = hand_over(host, host_room, n->host);
    if (result == 0)
        result = hand_over(service, service_room, n->service);
    errno = n->error;
    free(n);
    return result;
}
