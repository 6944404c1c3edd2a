#include "systemd.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

/* ---- sockets that were passed on ---- */

struct sockets {
    int count;
    char **names; /* one for each */
    char **list;  /* of addresses, in the making */
    size_t used;
};

/* Never more than each address with each socket. */
static size_t room_for(char *const *addresses, const struct sockets *s)
{
    size_t n = 0;
    while (addresses[n])
        n++;
    return (n + 1) * ((size_t)s->count + 1) + 1;
}

static void add(struct sockets *s, const char *scheme, int i)
{
    char address[40];
    snprintf(address, sizeof address, "%sfd:%d", scheme, SD_LISTEN_FDS_START + i);
    s->list[s->used++] = strdup(address);
}

/* The NAME of `fd:NAME`; NULL for other addresses, `fd:3` too. */
static const char *name_in(const char *address, const char **scheme)
{
    *scheme = strncmp(address, "https://", 8) == 0 ? "https://" : "";
    const char *rest = address + strlen(*scheme);
    if (strncmp(rest, "fd:", 3) != 0 || strspn(rest + 3, "0123456789-") > 0)
        return NULL;
    return rest[3] ? rest + 3 : NULL;
}

static size_t add_named(struct sockets *s, const char *scheme, const char *name)
{
    size_t before = s->used;
    for (int i = 0; i < s->count; i++)
        if (strcmp(s->names[i], name) == 0)
            add(s, scheme, i);
    return s->used - before;
}

static void add_all(struct sockets *s)
{
    for (int i = 0; i < s->count; i++)
        add(s, strncmp(s->names[i], "https", 5) == 0 ? "https://" : "", i);
}

static int name_them(struct sockets *s, char *const *addresses, char *error,
                     size_t room)
{
    size_t named = 0;
    const char *scheme, *name;
    for (char *const *a = addresses; *a; a++)
        named += name_in(*a, &scheme) != NULL;
    if (named == 0) {
        add_all(s);
        gn_log(GN_INFO, "listening on the sockets of systemd alone");
        return 1;
    }
    for (char *const *a = addresses; *a; a++) {
        if (!(name = name_in(*a, &scheme)))
            s->list[s->used++] = strdup(*a);
        else if (add_named(s, scheme, name) == 0) {
            snprintf(error, room,
                     "cannot listen on %s: systemd has passed no socket "
                     "of that name",
                     *a);
            return -1;
        }
    }
    return 1;
}

static void free_strings(char **list)
{
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

int gn_systemd_listen(char *const *addresses, char ***out, char *error, size_t room)
{
    struct sockets s = {0};
    s.count = sd_listen_fds_with_names(1, &s.names);
    if (s.count < 0) {
        snprintf(error, room, "the sockets of systemd: %s", strerror(-s.count));
        return -1;
    }
    if (s.count == 0)
        return 0;
    s.list = calloc(room_for(addresses, &s), sizeof *s.list);
    int r = s.list ? name_them(&s, addresses, error, room) : (abort(), -1);
    free_strings(s.names);
    if (r > 0)
        *out = s.list;
    else
        free_strings(s.list);
    return r;
}

/* ---- what it hears ---- */

static void tell_as(enum gn_level importance, const char *text)
{
    int r = sd_notify(0, text);
    if (r < 0)
        gn_log(importance, "systemd does not hear: %s", strerror(-r));
}

static void tell(const char *text)
{
    tell_as(GN_WARN, text);
}

void gn_systemd_ready(const char *urls)
{
    char text[3000];
    snprintf(text, sizeof text, "READY=1\nSTATUS=Listening on %s", urls);
    tell(text);
}

static long long monotonic_usec(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

void gn_systemd_reloading(void)
{
    char text[120];
    snprintf(text, sizeof text,
             "RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=Loading the scripts",
             monotonic_usec());
    tell(text);
}

/* A status is one line. */
void gn_systemd_reloaded(unsigned generation, const char *error)
{
    char text[600];
    snprintf(text, sizeof text, "READY=1\nSTATUS=Generation %u serves%s%.*s",
             generation, error ? ", the scripts cannot be loaded: " : "",
             error ? (int)strcspn(error, "\n") : 0, error ? error : "");
    tell(text);
}

void gn_systemd_stopping(double seconds)
{
    char text[120];
    snprintf(text, sizeof text,
             "STOPPING=1\nSTATUS=Ending what goes on\nEXTEND_TIMEOUT_USEC=%.0f",
             seconds * 1e6);
    tell(text);
}

int64_t gn_systemd_watchdog(void)
{
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0 || usec > INT64_MAX / 1000)
        return 0;
    return (int64_t)usec * 1000;
}

void gn_systemd_ping(void)
{
    tell_as(GN_DEBUG, "WATCHDOG=1"); /* again and again */
}
