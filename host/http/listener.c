#include "listener.h"

#include "../libc/real.h"
#include "../log.h"
#include "../sched/sched.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
    BACKLOG = 65535,       /* the kernel cuts it to net.core.somaxconn */
    NOT_RESOLVED = -100000 /* below every errno */
};

/* ---- helpers ---- */

/* Closes `fd` and returns the negative errno of what failed before. */
static int close_failed(int fd)
{
    int failed = -errno;
    close(fd);
    return failed;
}

static int bind_and_listen(int fd, const struct sockaddr *at, socklen_t len)
{
    if (bind(fd, at, len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    return close_failed(fd);
}

static int new_socket(int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd < 0 ? -errno : fd;
}

/* Accepted sockets inherit these options, which saves setting them on each. */
static void set_tcp_options(int fd)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* ---- TCP ---- */

static int port_of(int fd)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    char port[NI_MAXSERV] = "0";
    if (gn_real()->getsockname(fd, (struct sockaddr *)&at, &len) == 0 &&
        at.ss_family != AF_UNIX)
        getnameinfo((struct sockaddr *)&at, len, NULL, 0, port, sizeof port,
                    NI_NUMERICSERV);
    return atoi(port);
}

/* "http://" and the address that the socket is bound to, under the name it was given.
 */
static void note_url(struct gn_listener *l, const char *host)
{
    l->port = port_of(l->watch.fd);
    snprintf(l->url, sizeof l->url,
             strchr(host, ':') ? "http%s://[%s]:%d" : "http%s://%s:%d",
             l->secure ? "s" : "", host, l->port);
}

/* Splits "host:port" or "[host]:port" at its end; returns the port, or NULL. */
static char *split(char *address, char **host)
{
    char *colon = strrchr(address, ':');
    if (!colon || colon == address)
        return NULL;
    *colon = '\0';
    *host = address;
    if (*address != '[')
        return strchr(address, ':') ? NULL : colon + 1;
    if (colon[-1] != ']')
        return NULL;
    colon[-1] = '\0';
    *host = address + 1;
    return colon + 1;
}

static bool is_port(const char *port)
{
    return *port && strspn(port, "0123456789") == strlen(port) && atol(port) <= 65535;
}

/* [::] is IPv6 alone, so that it goes together with 0.0.0.0. */
static int bind_tcp(const struct addrinfo *a)
{
    int on = 1, fd = new_socket(a->ai_family);
    if (fd < 0)
        return fd;
    set_tcp_options(fd);
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return bind_and_listen(fd, a->ai_addr, a->ai_addrlen);
}

/* The first address of a name that can be bound. Returns a descriptor, or a negative
 * errno, or NOT_RESOLVED plus an error of getaddrinfo(). */
static int bind_first(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE},
                    *found;
    int fd = -1, error = getaddrinfo(host, port, &hints, &found);
    if (error)
        return NOT_RESOLVED + error;
    for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
        fd = bind_tcp(a);
    freeaddrinfo(found);
    return fd;
}

static const char *why(int error)
{
    if (error == -EACCES)
        return "Permission denied: ports below 1024 need the right to them "
               "(CAP_NET_BIND_SERVICE)";
    return error < NOT_RESOLVED / 2 ? gai_strerror(error - NOT_RESOLVED)
                                    : strerror(-error);
}

static int open_tcp(struct gn_listener *l, const char *address, const char **problem)
{
    char copy[256], *host = NULL, *port;
    snprintf(copy, sizeof copy, "%s", address);
    port = split(copy, &host);
    if (!port || !is_port(port)) {
        *problem = "HOST:PORT, [IPV6]:PORT, unix:PATH or fd:N was expected";
        return -1;
    }
    int fd = bind_first(host, port);
    if (fd < 0) {
        *problem = why(fd);
        return -1;
    }
    l->watch.fd = fd;
    note_url(l, host);
    return 0;
}

/* ---- Unix ---- */

/* Removes a socket file that nobody listens on. A file of another kind stays. */
static void remove_stale(const struct sockaddr_un *at)
{
    struct stat st;
    if (stat(at->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = new_socket(AF_UNIX);
    if (fd < 0)
        return;
    if (gn_real()->connect(fd, (const struct sockaddr *)at, sizeof *at) < 0 &&
        errno == ECONNREFUSED)
        unlink(at->sun_path);
    close(fd);
}

/* Binds with exactly this mode, whatever the umask: no other thread makes files yet. */
static int bind_with_mode(int fd, const struct sockaddr_un *at, mode_t mode)
{
    mode_t old = umask(0777 & ~mode);
    int r = bind_and_listen(fd, (const struct sockaddr *)at, sizeof *at);
    umask(old);
    return r;
}

/* A `mode` of 0 leaves it to the umask. */
static int bind_unix(const char *path, mode_t mode)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof at.sun_path)
        return -ENAMETOOLONG;
    strcpy(at.sun_path, path);
    remove_stale(&at);
    int fd = new_socket(AF_UNIX);
    if (fd < 0)
        return fd;
    return mode ? bind_with_mode(fd, &at, mode)
                : bind_and_listen(fd, (struct sockaddr *)&at, sizeof at);
}

/* Cuts "?mode=0660" off a path. Returns false when it is no mode. */
static bool cut_mode(char *path, mode_t *mode)
{
    char *query = strchr(path, '?'), *end = NULL;
    *mode = 0;
    if (!query)
        return true;
    if (strncmp(query, "?mode=", 6) != 0 || strspn(query + 6, "01234567") == 0)
        return false;
    unsigned long n = strtoul(query + 6, &end, 8);
    *query = '\0';
    *mode = (mode_t)n;
    return *end == '\0' && n > 0 && n <= 0777;
}

/* Binds a path whose mode has been cut off, and notes which file that made. Returns a
 * descriptor or a negative errno. */
static int bind_and_note(struct gn_listener *l, const char *path, mode_t mode)
{
    struct stat st;
    int fd = bind_unix(path, mode);
    if (fd >= 0 && stat(path, &st) < 0)
        return close_failed(fd);
    if (fd >= 0)
        l->unix_inode = st.st_ino;
    return fd;
}

static int open_unix(struct gn_listener *l, const char *path, const char **problem)
{
    mode_t mode;
    char *copy = strdup(path);
    int fd = -ENOMEM;
    *problem = NULL;
    if (copy && (!*path || !cut_mode(copy, &mode)))
        *problem = "unix:PATH or unix:PATH?mode=0660 was expected";
    else if (copy)
        fd = bind_and_note(l, copy, mode);
    if (fd < 0) {
        *problem = *problem ? *problem : strerror(-fd);
        free(copy);
        return -1;
    }
    l->watch.fd = fd;
    l->unix_path = copy;
    snprintf(l->url, sizeof l->url, "unix:%s", copy);
    return 0;
}

/* ---- inherited ---- */

static int open_inherited(struct gn_listener *l, const char *number,
                          const char **problem)
{
    char *end;
    long fd = strtol(number, &end, 10);
    int listens = 0;
    socklen_t len = sizeof listens;
    if (!*number || *end || fd < 0 || fd > 1000000 ||
        getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 ||
        !listens) {
        *problem = "it is not a listening socket";
        return -1;
    }
    fcntl((int)fd, F_SETFL, fcntl((int)fd, F_GETFL) | O_NONBLOCK);
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    set_tcp_options((int)fd);
    l->watch.fd = (int)fd;
    l->inherited = true;
    l->port = port_of((int)fd);
    snprintf(l->url, sizeof l->url, "fd:%ld", fd);
    return 0;
}

/* ---- the end ---- */

/* Has the kernel drop what asks for a connection; segments of those that there are, or
 * are being made, go through. The flags are in byte 13 of a header (RFC 9293, section
 * 3.1). */
static void refuse_openings(int fd)
{
    enum { FLAGS = 13, SYN = 0x02, ACK = 0x10 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, FLAGS),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const struct sock_fprog program = {.len = sizeof code / sizeof *code,
                                       .filter = code};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0)
        gn_log(GN_DEBUG, "cannot seal a listening socket: %m");
}

void gn_listener_seal(struct gn_listener *l)
{
    if (l->inherited || l->watch.fd < 0)
        return;
    if (l->unix_path)
        gn_real()->shutdown(l->watch.fd, SHUT_RD);
    else
        refuse_openings(l->watch.fd);
}

/* ---- life ---- */

int gn_listener_open(struct gn_listener *l, const char *address, char *error,
                     size_t room)
{
    const char *problem = NULL;
    int r;
    *l = (struct gn_listener){.watch.fd = -1, .readable = true};
    l->secure = strncmp(address, "https://", 8) == 0;
    const char *rest = address + (l->secure                        ? 8
                                  : strncmp(address, "http://", 7) ? 0
                                                                   : 7);
    if (strncmp(rest, "unix:", 5) == 0)
        r = open_unix(l, rest + 5, &problem);
    else if (strncmp(rest, "fd:", 3) == 0)
        r = open_inherited(l, rest + 3, &problem);
    else
        r = open_tcp(l, rest, &problem);
    if (r < 0)
        snprintf(error, room, "cannot listen on %s: %s", address, problem);
    return r;
}

int gn_listener_watch(struct gn_listener *l,
                      void (*on_ready)(struct gn_watch *, uint32_t))
{
    l->watch.fn = on_ready;
    return gn_watch_add(&gn_sched_self()->poller, &l->watch, EPOLLIN | EPOLLEXCLUSIVE);
}

int gn_listener_accept(struct gn_listener *l, struct sockaddr_storage *peer)
{
    socklen_t len = sizeof *peer;
    int fd = gn_real()->accept4(l->watch.fd, (struct sockaddr *)peer, &len,
                                SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN)
        l->readable = false;
    return fd;
}

void gn_listener_close(struct gn_listener *l)
{
    if (l->watch.fd >= 0)
        close(l->watch.fd);
    l->watch.fd = -1;
    struct stat st;
    bool ours =
        l->unix_path && stat(l->unix_path, &st) == 0 && st.st_ino == l->unix_inode;
    if (ours) /* not a successor's, which has replaced it */
        unlink(l->unix_path);
    free(l->unix_path);
    l->unix_path = NULL;
}
