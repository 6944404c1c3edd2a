/* The other end of the control socket: `genet reload` and `genet status`. */
#include "control.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAILED = 1, MISUSE = 2 };

/* Returns a connected socket or a negative errno. */
static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int r = -errno;
    close(fd);
    return r;
}

/* ---- finding the host ---- */

enum { HOSTS = 64 };

struct hosts {
    char directory[108];
    char *paths[HOSTS]; /* of sockets that answer */
    int count;
};

/* A host that was killed leaves its socket's file behind. */
static bool is_alive(const char *path)
{
    int fd = dial(path);
    if (fd >= 0)
        close(fd);
    else if (fd == -ECONNREFUSED)
        unlink(path);
    return fd >= 0;
}

static void add_if_alive(struct hosts *h, const char *name)
{
    char *path;
    const char *dot = strrchr(name, '.');
    if (!dot || strcmp(dot, ".sock") != 0 || h->count == HOSTS ||
        asprintf(&path, "%s/%s", h->directory, name) < 0)
        return;
    if (is_alive(path))
        h->paths[h->count++] = path;
    else
        free(path);
}

static void find_hosts(struct hosts *h)
{
    if (gn_control_directory(h->directory, sizeof h->directory) < 0)
        return;
    DIR *d = opendir(h->directory);
    for (struct dirent *e; d && (e = readdir(d));)
        add_if_alive(h, e->d_name);
    if (d)
        closedir(d);
}

static void free_hosts(struct hosts *h)
{
    while (h->count > 0)
        free(h->paths[--h->count]);
}

/* ---- asking ---- */

/* Prints what is said up to the end: the first line tells whether it went well. */
static int print_answer(int fd)
{
    char head[8] = "", buf[4096];
    FILE *in = fdopen(fd, "r");
    bool ok = in && fgets(head, sizeof head, in) && strcmp(head, "ok\n") == 0;
    FILE *out = ok ? stdout : stderr;
    if (!ok)
        fputs(*head ? "genet: " : "genet: the host gave no answer\n", out);
    for (size_t n; in && (n = fread(buf, 1, sizeof buf, in)) > 0;)
        fwrite(buf, 1, n, out);
    if (in)
        fclose(in);
    return ok ? 0 : FAILED;
}

int gn_control_dial(const char *path)
{
    int fd = dial(path);
    if (fd < 0)
        fprintf(stderr, "genet: no host answers at '%s': %s\n", path, strerror(-fd));
    return fd < 0 ? -1 : fd;
}

static int ask(const char *path, const char *verb)
{
    int fd = gn_control_dial(path);
    if (fd < 0)
        return FAILED;
    dprintf(fd, "%s\n", verb);
    return print_answer(fd);
}

/* Returns 0 when there is one host; else tells what to do, and returns the status. */
static int check_only(const struct hosts *h, const char *verb)
{
    if (h->count == 1)
        return 0;
    if (h->count == 0) {
        fprintf(stderr, "genet: no host of this user runs\n");
        return FAILED;
    }
    fprintf(stderr, "genet: several hosts run, say which:\n");
    for (int i = 0; i < h->count; i++)
        fprintf(stderr, "  genet %s --control %s\n", verb, h->paths[i]);
    return MISUSE;
}

int gn_control_ask(const char *path, const char *verb)
{
    struct hosts h = {.count = 0};
    if (path)
        return ask(path, verb);
    find_hosts(&h);
    int status = check_only(&h, verb);
    if (status == 0)
        status = ask(h.paths[0], verb);
    free_hosts(&h);
    return status;
}

int gn_control_dial_only(const char *verb, int *status)
{
    struct hosts h = {.count = 0};
    find_hosts(&h);
    *status = check_only(&h, verb);
    int fd = *status == 0 ? gn_control_dial(h.paths[0]) : -1;
    if (*status == 0 && fd < 0)
        *status = FAILED;
    free_hosts(&h);
    return fd;
}
