/* Loads a WebSocket server from one thread.
 *
 *     load PORT PATH COUNT echo SECONDS    each connection sends a message of 100 bytes and waits
 *                                          for it to come back; prints how many came
 *     load PORT PATH COUNT room ROUNDS     once all are connected and have got "joined" prints
 *                                          "ready" and reads a line; then the first sends a message
 *                                          as often as told, each time after all have got the last
 *                                          one; prints milliseconds until the last had it
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 100, ROOM = 4096, FRAME = 6 + PAYLOAD };

struct peer {
    int fd;
    bool open; /* the handshake is over */
    size_t have;
    char in[ROOM];
};

static struct peer *peers;
static int count, epfd;
static char frame[FRAME];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put(const struct peer *p, const char *bytes, size_t n)
{
    if (send(p->fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n)
        die("send");
}

static void open_peer(struct peer *p, int port, const char *path)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    char head[512];
    int n = snprintf(head, sizeof head,
                     "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     path);
    p->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&at, sizeof at) < 0)
        die("connect");
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    put(p, head, (size_t)n);
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, p->fd, &e) < 0)
        die("epoll_ctl");
}

/* Bytes of the frame at the front; 0 while it is not whole. Pings count as frames. */
static size_t frame_length(const struct peer *p)
{
    if (p->have < 2)
        return 0;
    size_t n = 2 + (size_t)(unsigned char)p->in[1];
    return n <= 127 && p->have >= n ? n : 0;
}

static void drop(struct peer *p, size_t n)
{
    p->have -= n;
    memmove(p->in, p->in + n, p->have);
}

/* Reads what has come; returns the number of text frames in it. */
static int take(struct peer *p)
{
    int texts = 0;
    ssize_t n = recv(p->fd, p->in + p->have, ROOM - 1 - p->have, 0);
    if (n <= 0) {
        fprintf(stderr, "a connection was closed\n");
        exit(1);
    }
    p->have += (size_t)n;
    p->in[p->have] = '\0';
    char *end = p->open ? NULL : strstr(p->in, "\r\n\r\n");
    if (end) {
        if (memcmp(p->in, "HTTP/1.1 101", 12) != 0)
            die("handshake");
        p->open = true;
        drop(p, (size_t)(end + 4 - p->in));
    }
    for (size_t length; p->open && (length = frame_length(p)) > 0; drop(p, length))
        texts += (p->in[0] & 15) == 1;
    return texts;
}

/* Waits until so many texts have come to all together, or until `deadline`. With `answer` each
 * is followed by another message. */
static long collect(long wanted, double deadline, bool answer)
{
    struct epoll_event events[512];
    long got = 0;
    while (got < wanted && now() < deadline) {
        int n = epoll_wait(epfd, events, 512, 100);
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            int texts = take(p);
            got += texts;
            for (int k = 0; answer && k < texts; k++)
                put(p, frame, FRAME);
        }
    }
    return got;
}

static void wait_for_handshakes(void)
{
    for (int i = 0; i < count; i++)
        while (!peers[i].open)
            take(&peers[i]);
}

static void echo(double seconds)
{
    wait_for_handshakes();
    for (int i = 0; i < count; i++)
        put(&peers[i], frame, FRAME);
    printf("%ld\n", collect(1L << 60, now() + seconds, true));
}

static void room(int rounds)
{
    char line[16];
    collect(count, now() + 60, false); /* "joined" */
    puts("ready");
    fflush(stdout);
    if (!fgets(line, sizeof line, stdin))
        exit(1);
    for (int i = 0; i < rounds; i++) {
        double start = now();
        put(&peers[0], frame, FRAME);
        if (collect(count, start + 60, false) < count)
            die("not all got it");
        printf("%.1f\n", (now() - start) * 1e3);
    }
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    count = atoi(argv[3]);
    peers = calloc((size_t)count, sizeof *peers);
    epfd = epoll_create1(0);
    frame[0] = (char)0x81;
    frame[1] = (char)(0x80 | PAYLOAD);
    memset(frame + 6, 'm', PAYLOAD);
    for (int i = 0; i < count; i++) {
        open_peer(&peers[i], atoi(argv[1]), argv[2]);
    }
    if (strcmp(argv[4], "echo") == 0)
        echo(atof(argv[5]));
    else
        room(atoi(argv[5]));
    return 0;
}
