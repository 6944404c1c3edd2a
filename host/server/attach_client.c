/* The other end of attach.h: `genet attach`. On no fiber. */
#include "attach.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAILED = 1, HEADER = 32 };

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

static bool send_all(int fd, const char *data, size_t n)
{
    for (ssize_t sent; n > 0; data += sent, n -= (size_t)sent)
        if ((sent = send(fd, data, n, MSG_NOSIGNAL)) < 0) {
            if (errno != EINTR)
                return false;
            sent = 0;
        }
    return true;
}

static bool send_frame(int fd, const char *kind, const char *text)
{
    char header[HEADER];
    int n = snprintf(header, sizeof header, "%s %zu\n", kind, strlen(text));
    return send_all(fd, header, (size_t)n) && send_all(fd, text, strlen(text));
}

/* Reads exactly `n` bytes; tells the host meanwhile of Ctrl-C. */
static bool receive(int fd, char *buf, size_t n)
{
    while (n > 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (interrupted) {
            interrupted = 0;
            send_frame(fd, "interrupt", "");
        }
        if (poll(&p, 1, 100) <= 0)
            continue;
        ssize_t got = recv(fd, buf, n, 0);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        buf += got > 0 ? got : 0;
        n -= got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool read_line(int fd, char *line, size_t room)
{
    for (size_t n = 0; n < room; n++) {
        if (!receive(fd, line + n, 1))
            return false;
        if (line[n] == '\n') {
            line[n] = '\0';
            return true;
        }
    }
    return false;
}

/* ---- running commands ---- */

enum outcome { OK, NOT_OK, MORE, GONE };

/* Takes one frame. Returns true when it ends the command. */
static bool take_frame(int fd, enum outcome *outcome)
{
    char header[HEADER], kind[16];
    size_t n;
    *outcome = GONE;
    if (!read_line(fd, header, sizeof header) ||
        sscanf(header, "%15s %zu", kind, &n) != 2)
        return true;
    char *text = calloc(1, n + 1);
    bool whole = text && receive(fd, text, n);
    bool done = whole && strcmp(kind, "done") == 0;
    if (done)
        *outcome = strcmp(text, "ok") == 0     ? OK
                   : strcmp(text, "more") == 0 ? MORE
                                               : NOT_OK;
    else if (whole)
        fwrite(text, 1, n, strcmp(kind, "err") == 0 ? stderr : stdout);
    free(text);
    return done || !whole;
}

static enum outcome run(int fd, const char *text)
{
    enum outcome outcome = GONE;
    interrupted = 0;
    if (send_frame(fd, "run", text))
        while (!take_frame(fd, &outcome))
            fflush(stdout);
    fflush(stdout);
    if (outcome == GONE)
        fprintf(stderr, "genet: the host has ended the connection\n");
    return outcome;
}

static int run_all(int fd, char **commands)
{
    for (; *commands; commands++) {
        enum outcome outcome = run(fd, *commands);
        if (outcome == MORE)
            fprintf(stderr, "genet: the code is not complete\n");
        if (outcome != OK)
            return FAILED;
    }
    return 0;
}

/* Puts a line behind what is not complete without it. Takes both. */
static char *join(char *before, char *line)
{
    char *all = NULL;
    if (!before)
        return line;
    if (asprintf(&all, "%s\n%s", before, line) < 0)
        all = NULL;
    free(before);
    free(line);
    return all;
}

static int converse(int fd, const struct gn_attach_options *o)
{
    char *text = NULL, *line;
    while ((line = o->read(o->arg, text ? ">> " : "> "))) {
        if (!text && (strcmp(line, "quit") == 0 || strcmp(line, "exit") == 0)) {
            free(line);
            break;
        }
        text = join(text, line);
        enum outcome outcome = text ? run(fd, text) : NOT_OK;
        if (outcome != MORE) {
            free(text);
            text = NULL;
        }
        if (outcome == GONE)
            return FAILED;
    }
    free(text);
    return 0;
}

/* ---- the connection ---- */

/* The path of a host's socket; "" when it cannot be told. */
static void find_path(const char *target, char *out, size_t room)
{
    char directory[108];
    *out = '\0';
    if (strspn(target, "0123456789") != strlen(target))
        snprintf(out, room, "%s", target);
    else if (gn_control_directory(directory, sizeof directory) == 0)
        snprintf(out, room, "%s/%s.sock", directory, target);
}

/* Takes a connected socket. Returns it, or that of the process where the worker is,
 * once a host lets us in; -1 after it has told why not. */
static int enter(int fd, const char *worker)
{
    char line[HEADER], text[256];
    int n = snprintf(line, sizeof line, "attach %.16s\n", worker);
    if (!send_all(fd, line, (size_t)n) || !read_line(fd, line, sizeof line)) {
        fprintf(stderr, "genet: the host gave no answer: it may be another user's\n");
        close(fd);
        return -1;
    }
    if (strcmp(line, "ok") == 0)
        return fd;
    bool more = read_line(fd, text, sizeof text), moved = strcmp(line, "moved") == 0;
    close(fd);
    if (moved && more)
        return (fd = gn_control_dial(text)) < 0 ? -1 : enter(fd, worker);
    fprintf(stderr, "genet: %s\n", more ? text : line);
    return -1;
}

int gn_attach(const struct gn_attach_options *o)
{
    char path[256];
    int status = 0, fd;
    if (o->target) {
        find_path(o->target, path, sizeof path);
        fd = gn_control_dial(path);
    } else {
        fd = gn_control_dial_only("attach", &status);
    }
    if (fd < 0)
        return status ? status : FAILED;
    struct sigaction action = {.sa_handler = on_interrupt};
    if (!o->commands)
        sigaction(SIGINT, &action, NULL);
    fd = enter(fd, o->worker);
    if (fd < 0)
        return FAILED;
    status = o->commands ? run_all(fd, o->commands) : converse(fd, o);
    close(fd);
    return status;
}
