/* Operations of host/shared by processes of their own, on one store in memory (or on
 * disk):
 *
 *     bench_store DIR memory|disk PROCESSES get|set|incr OPERATIONS
 *
 * Prints operations a second of all, and processor time of each in microseconds. */
#include "shared/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KEYS = 10000 };

static struct gn_store *store;
static struct gn_scratch scratch;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void operate(const char *op, unsigned dict, int i)
{
    char name[32];
    struct gn_item item;
    struct gn_value text = {.kind = GN_BYTES, .data = "some value", .size = 10};
    struct gn_value one = {.kind = GN_INTEGER, .integer = 1}, sum;
    struct gn_key k = {dict, name,
                       (size_t)snprintf(name, sizeof name, "key%d", i % KEYS)};
    int r = *op == 'g'   ? gn_store_get(store, &k, &item, &scratch)
            : *op == 's' ? gn_store_set(store, &k, &text, 0, GN_ALWAYS, 0)
                         : gn_store_incr(store, &k, &one, &one, 0, &sum);
    if (r < 0)
        abort();
}

static void work(const struct gn_store_options *o, const char *op, int n)
{
    char error[500];
    if (gn_store_open(&store, o, error, sizeof error) < 0)
        exit(fprintf(stderr, "%s\n", error));
    unsigned dict = (unsigned)gn_store_dict(store, op, strlen(op), false);
    for (int i = 0; *op == 'g' && i < KEYS; i++)
        operate("set", dict, i);
    for (int i = 0; i < n; i++)
        operate(op, dict, *op == 'i' ? 0 : i);
    exit(0);
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    int processes = atoi(argv[3]), n = atoi(argv[5]);
    struct gn_store_options o = {.path = argv[1],
                                 .limit = 64 << 20,
                                 .in_memory = strcmp(argv[2], "memory") == 0};
    mkdir(argv[1], 0700);
    double began = now();
    for (int i = 0; i < processes; i++)
        if (fork() == 0)
            work(&o, argv[4], n);
    while (wait(NULL) > 0)
        ;
    double wall = now() - began, all = (double)n * processes;
    struct rusage use;
    getrusage(RUSAGE_CHILDREN, &use);
    double cpu = (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                 (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
    printf("%10.0f %8.2f\n", all / wall, cpu / all * 1e6);
    return 0;
}
