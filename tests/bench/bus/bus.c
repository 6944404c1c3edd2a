/* Measures the bus between two threads, or between two processes that a relay connects.
 *
 *     bench_bus threads|processes latency        median and 99th percentile, there and
 *                                                back, in microseconds
 *     bench_bus threads|processes flood BYTES    messages in a second
 */
#include "bus/relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 20000, FLOOD = 400000, WINDOW = 1024 };

/* A thread, or a process. */
struct side {
    struct gn_bus *bus;
    struct gn_bus_member member;
    struct gn_relay relay;
    int fd; /* to the other process; -1: it is a thread of this one */
    bool echoes;
    size_t got;
    struct gn_fiber *waiter;
};

static struct gn_bus shared;
static bool floods;
static size_t size;

static void say(struct side *s, size_t n)
{
    static _Thread_local char data[1 << 20];
    struct gn_bus_message *m = gn_bus_message_new(GN_BUS_BINARY, "t", 1, data, n);
    if (!m)
        abort();
    gn_bus_publish(s->bus, &s->member, m);
    gn_bus_message_unref(m);
}

static void deliver(struct gn_bus_member *m, struct gn_bus_message *const *batch,
                    size_t n)
{
    struct side *s = gn_container_of(m, struct side, member);
    (void)batch;
    for (size_t i = 0; i < n; i++) {
        s->got++;
        if (s->echoes && (!floods || s->got % (WINDOW / 2) == 0))
            say(s, 1);
    }
    if (s->waiter)
        gn_wake(s->waiter);
}

static int send_packet(struct gn_relay *r, const char *packet, size_t n)
{
    struct side *s = gn_container_of(r, struct side, relay);
    return send(s->fd, packet, n, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void read_packets(void *arg)
{
    static _Thread_local char packet[GN_RELAY_PACKET];
    struct side *s = arg;
    ssize_t n;
    while ((n = recv(s->fd, packet, sizeof packet, 0)) > 0)
        if (gn_relay_receive(&s->relay, packet, (size_t)n) < 0)
            abort();
}

static void enter(struct side *s)
{
    gn_bus_join(s->bus, &s->member, "bench", deliver);
    if (s->fd < 0)
        return;
    gn_relay_open(&s->relay, s->bus, "relay", send_packet);
    gn_fiber_new(gn_sched_self(), "reader", read_packets, s);
}

static void echo(void *arg)
{
    enter(arg);
    gn_sleep_until(GN_NEVER);
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void wait_for(struct side *s, size_t n)
{
    s->waiter = gn_fiber_self();
    while (s->got < n)
        gn_park(GN_NEVER);
    s->waiter = NULL;
}

static void measure_latency(struct side *s)
{
    static int64_t times[ROUNDS];
    for (size_t i = 0; i < ROUNDS; i++) {
        int64_t start = gn_now();
        say(s, 1);
        wait_for(s, i + 1);
        times[i] = gn_now() - start;
    }
    qsort(times, ROUNDS, sizeof *times, by_time);
    printf("%.1f %.1f\n", (double)times[ROUNDS / 2] / 1e3,
           (double)times[ROUNDS * 99 / 100] / 1e3);
}

static void measure_flood(struct side *s)
{
    int64_t start = gn_now();
    size_t total = FLOOD / WINDOW * WINDOW;
    for (size_t i = 0; i < total; i++) {
        if (i >= WINDOW)
            wait_for(s, (i - WINDOW) / (WINDOW / 2) + 1);
        say(s, size);
    }
    wait_for(s, total / (WINDOW / 2));
    printf("%.0f\n", (double)total / ((double)(gn_now() - start) / 1e9));
}

static void measure(void *arg)
{
    struct side *s = arg;
    enter(s);
    gn_sleep_until(gn_after(100 * GN_MS)); /* until the other side has joined */
    floods ? measure_flood(s) : measure_latency(s);
    fflush(stdout);
    _exit(0);
}

static void *run(void *arg)
{
    struct side *s = arg;
    struct gn_sched *sched = gn_sched_new();
    if (!sched || !gn_fiber_new(sched, "side", s->echoes ? echo : measure, s))
        abort();
    gn_sched_run(sched);
    return NULL;
}

int main(int argc, char **argv)
{
    static struct side here, there;
    int fd[2] = {-1, -1};
    pthread_t thread;
    if (argc < 3)
        return 2;
    floods = strcmp(argv[2], "flood") == 0;
    size = argc > 3 ? (size_t)atol(argv[3]) : 1;
    gn_bus_init(&shared);
    bool processes = strcmp(argv[1], "processes") == 0;
    if (processes && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fd) < 0)
        return 1;
    here = (struct side){.bus = &shared, .fd = fd[0]};
    there = (struct side){.bus = &shared, .fd = fd[1], .echoes = true};
    if (!processes) {
        pthread_create(&thread, NULL, run, &there);
    } else if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(&there);
    }
    run(&here);
    return 0;
}
