#include "sink.h"

#include "sched/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

enum { FILE_FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY };

static atomic_uint wanted; /* how often sinks were to be opened anew */

static const struct {
    const char *name;
    int facility;
} facilities[] = {{"daemon", LOG_DAEMON}, {"user", LOG_USER},
                  {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},
                  {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3},
                  {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5},
                  {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7}};

static int open_syslog(struct gn_sink *s, const char *name, char *error, size_t room)
{
    for (size_t i = 0; i < sizeof facilities / sizeof *facilities; i++)
        if (strcmp(facilities[i].name, name) == 0) {
            s->facility = facilities[i].facility;
            openlog("genet", LOG_PID | LOG_NDELAY, LOG_DAEMON);
            return 0;
        }
    snprintf(error, room, "there is no syslog facility '%s'", name);
    return -1;
}

static int open_file(struct gn_sink *s, const char *path, char *error, size_t room)
{
    s->fd = open(path, FILE_FLAGS, 0640);
    s->path = s->fd >= 0 ? strdup(path) : NULL;
    if (s->path)
        return 0;
    snprintf(error, room, "log '%s': %s", path, strerror(errno));
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    return -1;
}

int gn_sink_open(struct gn_sink *s, const char *where, char *error, size_t room)
{
    *s = (struct gn_sink){.fd = -1};
    s->opened = wanted;
    if (strcmp(where, "syslog") == 0)
        return open_syslog(s, "daemon", error, room);
    if (strncmp(where, "syslog:", 7) == 0)
        return open_syslog(s, where + 7, error, room);
    if (strcmp(where, "-") == 0 || strcmp(where, "stderr") == 0)
        s->fd = STDERR_FILENO;
    else if (strcmp(where, "stdout") == 0)
        s->fd = STDOUT_FILENO;
    return s->fd >= 0 ? 0 : open_file(s, where, error, room);
}

void gn_sink_close(struct gn_sink *s)
{
    if (s->path)
        close(s->fd);
    free((char *)s->path);
    *s = (struct gn_sink){.fd = -1};
}

/* The number stays the same, so whoever writes meanwhile writes to either file. */
static void open_anew(struct gn_sink *s)
{
    int fd = open(s->path, FILE_FLAGS, 0640);
    if (fd < 0)
        return; /* the old file is better than none */
    dup3(fd, s->fd, O_CLOEXEC);
    close(fd);
}

static bool was_moved(const struct gn_sink *s)
{
    struct stat there, here;
    return fstat(s->fd, &here) == 0 &&
           (stat(s->path, &there) < 0 || there.st_ino != here.st_ino ||
            there.st_dev != here.st_dev);
}

void gn_sink_refresh(struct gn_sink *s)
{
    unsigned now_wanted = wanted, before = s->opened;
    if (!s->path)
        return;
    if (before != now_wanted &&
        atomic_compare_exchange_strong(&s->opened, &before, now_wanted)) {
        open_anew(s);
        return;
    }
    int64_t now = gn_now(), looked = s->looked;
    if (now - looked > GN_SECOND &&
        atomic_compare_exchange_strong(&s->looked, &looked, now) && was_moved(s))
        open_anew(s);
}

/* One message a line: a daemon would encode a newline. */
static void write_syslog(const struct gn_sink *s, int priority, char *text)
{
    for (char *line, *rest = text; (line = strsep(&rest, "\n"));)
        if (*line)
            syslog(s->facility | priority, "%s", line);
}

static ssize_t log_to_syslog(const struct gn_sink *s, int priority,
                             const struct iovec *iov, int count)
{
    size_t n = 0;
    for (int i = 0; i < count; i++)
        n += iov[i].iov_len;
    char *text = malloc(n + 1), *p = text;
    if (!text)
        return -1;
    for (int i = 0; i < count; i++)
        p = (char *)mempcpy(p, iov[i].iov_base, iov[i].iov_len);
    *p = '\0';
    write_syslog(s, priority, text);
    free(text);
    return (ssize_t)n;
}

ssize_t gn_sink_write(struct gn_sink *s, int priority, const struct iovec *iov,
                      int count)
{
    gn_sink_refresh(s);
    return s->fd < 0 ? log_to_syslog(s, priority, iov, count)
                     : writev(s->fd, iov, count);
}

void gn_sinks_reopen(void)
{
    wanted++;
}
