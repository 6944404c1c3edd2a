#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"error", "warn", "info", "debug"};
static _Atomic(enum gn_level) least = GN_INFO;
static size_t (*speaker)(char *, size_t);
static char origin[16];

void gn_log_set_origin(const char *text)
{
    snprintf(origin, sizeof origin, "%s", text);
}

void gn_log_set_speaker(size_t (*fn)(char *, size_t))
{
    speaker = fn;
}

void gn_log_set_level(enum gn_level level)
{
    least = level;
}

enum gn_level gn_log_level(void)
{
    return least;
}

const char *gn_level_name(enum gn_level level)
{
    return names[level];
}

int gn_level_of(const char *name)
{
    for (int i = GN_ERROR; i <= GN_DEBUG; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* "2026-11-22T16:20:47.123Z info  [3] " */
static size_t prefix(char *out, size_t room, enum gn_level level)
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(out, room, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(out + n, room - n, ".%03dZ %-5s %s",
                          (int)(now.tv_nsec / 1000000), names[level], origin);
    return speaker ? n + speaker(out + n, room - n) : n;
}

void gn_log_text(enum gn_level level, const char *text, size_t n)
{
    char head[80];
    if (level > least)
        return;
    while (n > 0 && text[n - 1] == '\n')
        n--;
    struct iovec line[] = {
        {head, prefix(head, sizeof head, level)}, {(char *)text, n}, {"\n", 1}};
    if (writev(STDERR_FILENO, line, 3) < 0)
        return; /* there is no other place to complain */
}

void gn_log(enum gn_level level, const char *format, ...)
{
    char *text;
    va_list args;
    if (level > least)
        return;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        return;
    gn_log_text(level, text, (size_t)n);
    free(text);
}
