#include "log.h"

#include "sink.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const names[] = {"error", "warn", "info", "debug"};
static _Atomic(enum gn_level) least = GN_INFO;
static void (*speaker)(struct gn_speaker *);
static struct gn_sink sink = {.fd = STDERR_FILENO};
static atomic_bool json, shows_requests;
static char origin[16];

void gn_log_set_origin(const char *text)
{
    snprintf(origin, sizeof origin, "%s", text);
}

void gn_log_set_speaker(void (*fn)(struct gn_speaker *))
{
    speaker = fn;
}

int gn_log_open(const char *where, char *error, size_t room)
{
    struct gn_sink fresh;
    if (gn_sink_open(&fresh, where, error, room) < 0)
        return -1;
    gn_sink_close(&sink);
    sink = fresh;
    return 0;
}

void gn_log_set_json(bool on)
{
    json = on;
}

bool gn_log_is_json(void)
{
    return json;
}

void gn_log_show_requests(bool on)
{
    shows_requests = on;
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

/* ---- JSON ---- */

/* The length of the UTF-8 character at `s`; 0 when it is none (RFC 3629). */
static size_t character(const unsigned char *s, size_t n)
{
    unsigned low = 0x80, high = 0xbf;
    size_t len = *s < 0x80                 ? 1
                 : *s >= 0xc2 && *s < 0xe0 ? 2
                 : *s >= 0xe0 && *s < 0xf0 ? 3
                 : *s >= 0xf0 && *s < 0xf5 ? 4
                                           : 0;
    if (*s == 0xe0)
        low = 0xa0;
    else if (*s == 0xed)
        high = 0x9f;
    else if (*s == 0xf0)
        low = 0x90;
    else if (*s == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < len; i++, low = 0x80, high = 0xbf)
        if (i >= n || s[i] < low || s[i] > high)
            return 0;
    return len;
}

size_t gn_json_string(char *out, const char *text, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *s = (const unsigned char *)text;
    char *p = out;
    *p++ = '"';
    for (size_t i = 0, len; i < n; i += len ? len : 1) {
        if (s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\') {
            *p++ = (char)s[i];
            len = 1;
            continue;
        }
        len = character(s + i, n - i);
        bool control = s[i] < 0x20 || s[i] == 0x7f;
        if (s[i] == '"' || s[i] == '\\' || s[i] == '\n') {
            *p++ = '\\';
            *p++ = s[i] == '\n' ? 'n' : (char)s[i];
        } else if (control || len == 0) {
            p = (char *)mempcpy(p, "\\u00", 4);
            *p++ = hex[s[i] >> 4];
            *p++ = hex[s[i] & 15];
        } else {
            p = (char *)mempcpy(p, s + i, len);
        }
    }
    *p++ = '"';
    return (size_t)(p - out);
}

/* ---- lines ---- */

enum { STAMP = 32 };

/* "2026-11-22T16:20:47.123Z" */
static void stamp(char out[STAMP])
{
    struct timespec now;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(out, STAMP, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + n, STAMP - n, ".%03uZ", (unsigned)(now.tv_nsec / 1000000) % 1000);
}

static struct gn_speaker who(void)
{
    struct gn_speaker s = {0};
    if (speaker)
        speaker(&s);
    return s;
}

static void put(enum gn_level level, struct iovec *line, int count)
{
    static const int priorities[] = {3, 4, 6, 7}; /* as syslog(3) counts them */
    if (gn_sink_write(&sink, priorities[level], line, count) < 0)
        return; /* there is no other place to complain */
}

/* "2026-11-22T16:20:47.123Z info  #1 [3 4f1c...] text" */
static void put_text(enum gn_level level, const char *text, size_t n)
{
    char head[256], time[STAMP];
    struct gn_speaker s = who();
    bool shown = shows_requests && s.request;
    stamp(time);
    int len = snprintf(head, sizeof head, "%s %-5s %s", time, names[level], origin);
    if (s.generation)
        len += snprintf(head + len, sizeof head - (size_t)len, "[%u%s%.128s] ",
                        s.generation, shown ? " " : "", shown ? s.request : "");
    struct iovec line[] = {{head, (size_t)len}, {(char *)text, n}, {"\n", 1}};
    put(level, line, 3);
}

static void put_json(enum gn_level level, const char *text, size_t n,
                     const char *members, size_t members_len)
{
    char head[512], time[STAMP];
    struct gn_speaker s = who();
    char *message = malloc(6 * n + 2);
    if (!message)
        return;
    stamp(time);
    int len = snprintf(head, sizeof head, "{\"time\":\"%s\",\"level\":\"%s\"", time,
                       names[level]);
    if (*origin)
        len += snprintf(head + len, sizeof head - (size_t)len, ",\"origin\":\"%.*s\"",
                        (int)strcspn(origin, " "), origin);
    if (s.generation)
        len += snprintf(head + len, sizeof head - (size_t)len, ",\"generation\":%u",
                        s.generation);
    if (s.request)
        len += snprintf(head + len, sizeof head - (size_t)len,
                        ",\"request_id\":\"%.128s\"", s.request);
    len += snprintf(head + len, sizeof head - (size_t)len, ",\"message\":");
    struct iovec line[] = {{head, (size_t)len},
                           {message, gn_json_string(message, text, n)},
                           {",", members_len > 0},
                           {(char *)members, members_len},
                           {"}\n", 2}};
    put(level, line, 5);
    free(message);
}

void gn_log_members(enum gn_level level, const char *text, size_t n,
                    const char *members, size_t members_len)
{
    if (level > least)
        return;
    while (n > 0 && text[n - 1] == '\n')
        n--;
    if (json)
        put_json(level, text, n, members, members_len);
    else
        put_text(level, text, n);
}

void gn_log_text(enum gn_level level, const char *text, size_t n)
{
    gn_log_members(level, text, n, "", 0);
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
