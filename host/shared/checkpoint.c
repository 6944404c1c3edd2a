#include "checkpoint.h"

#include "../sched/clock.h"
#include "db.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BOOT_ROOM = 64, REST = 10 /* times as long as a copy took, at least */ };

static const char DATA[] = "data.mdb", COPY[] = "checkpoint.mdb", FRESH[] = "fresh.mdb",
                  OLD[] = "data.mdb.old", BOOT[] = "boot", CLEAN[] = "clean";

/* ---- the file `boot` ---- */

static int read_line(int dir, const char *name, char line[BOOT_ROOM])
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, line, BOOT_ROOM - 1);
    close(fd);
    line[n > 0 ? n : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return 0;
}

static int write_line(int dir, const char *name, const char *line)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    size_t n = strlen(line);
    int r = write(fd, line, n) == (ssize_t)n && fsync(fd) == 0 ? 0 : -EIO;
    close(fd);
    return r < 0 || fsync(dir) == 0 ? r : -errno;
}

void gn_checkpoint_clean(const struct gn_home *p)
{
    write_line(p->dir, BOOT, CLEAN);
}

/* ---- restoring ---- */

static int copy_file(int from, int to)
{
    struct stat st;
    if (fstat(from, &st) < 0)
        return -errno;
    for (off_t at = 0; at < st.st_size;) {
        ssize_t n = sendfile(to, from, &at, (size_t)(st.st_size - at));
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
    }
    return fsync(to) == 0 ? 0 : -errno;
}

/* The copy stays: it must do once more until there is a newer one. */
static int put_back(int dir)
{
    int from = openat(dir, COPY, O_RDONLY | O_CLOEXEC);
    if (from < 0)
        return errno == ENOENT
                   ? renameat(dir, DATA, dir, OLD) < 0 ? -errno : GN_PAST_SET_ASIDE
                   : -errno;
    int to = openat(dir, FRESH, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int r = to < 0 ? -errno : copy_file(from, to);
    if (r == 0 && renameat(dir, FRESH, dir, DATA) < 0)
        r = -errno;
    if (to >= 0)
        close(to);
    close(from);
    return r < 0 ? r : GN_PAST_RESTORED;
}

int gn_checkpoint_restore(const struct gn_home *p)
{
    char boot[BOOT_ROOM] = "unknown", last[BOOT_ROOM] = "";
    int past = GN_PAST_CLEAN;
    read_line(AT_FDCWD, "/proc/sys/kernel/random/boot_id", boot);
    read_line(p->dir, BOOT, last);
    if (strcmp(last, boot) == 0)
        past = GN_PAST_SAME_BOOT;
    else if (*last && strcmp(last, CLEAN) != 0 && faccessat(p->dir, DATA, F_OK, 0) == 0)
        past = put_back(p->dir);
    int r = past < 0 ? past : write_line(p->dir, BOOT, boot);
    return r < 0 ? r : past;
}

/* ---- copying ---- */

int gn_checkpoint_make(struct gn_store *s, bool compact)
{
    struct gn_marks *b = s->marks;
    int dir = s->home.dir;
    unsigned long long commits = atomic_load(&b->commits);
    int fd = openat(dir, FRESH, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = gn_db_errno(mdb_env_copyfd2(s->env, fd, compact ? MDB_CP_COMPACT : 0));
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    close(fd);
    if (r == 0 && renameat(dir, FRESH, dir, COPY) < 0)
        r = -errno;
    if (r == 0 && fsync(dir) < 0)
        r = -errno;
    if (r == 0)
        atomic_store(&b->saved, commits);
    else
        unlinkat(dir, FRESH, 0);
    return r;
}

/* ---- the thread ---- */

struct gn_keeper {
    struct gn_store *store;
    pthread_t thread;
    pthread_mutex_t lock; /* protects `stopping` */
    pthread_cond_t wake;
    bool stopping;
    atomic_bool noted;
};

/* Sleeps with the lock held. */
static void doze(struct gn_keeper *k, int64_t ns)
{
    struct timespec until;
    int r = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    ns += gn_from_timespec(&until);
    until = (struct timespec){ns / GN_SECOND, ns % GN_SECOND};
    while (r == 0 && !k->stopping)
        r = pthread_cond_timedwait(&k->wake, &k->lock, &until);
}

/* One process at a time. Whoever finds another one at it leaves it to that. */
static int64_t save(struct gn_keeper *k)
{
    struct gn_store *s = k->store;
    struct gn_marks *b = s->marks;
    int64_t began = gn_now();
    int fd = gn_home_file(&s->home, "saving", 1);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ||
        atomic_load(&b->commits) == atomic_load(&b->saved)) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    if (gn_checkpoint_make(s, true) < 0)
        atomic_store(&k->noted, true);
    close(fd);
    return gn_now() - began;
}

static void *run(void *arg)
{
    struct gn_keeper *k = arg;
    int64_t interval = k->store->checkpoint_ms * GN_MS;
    pthread_mutex_lock(&k->lock);
    while (!k->stopping) {
        while (!k->stopping && !atomic_load(&k->noted))
            pthread_cond_wait(&k->wake, &k->lock);
        if (k->stopping)
            break;
        atomic_store(&k->noted, false);
        pthread_mutex_unlock(&k->lock);
        int64_t took = save(k);
        pthread_mutex_lock(&k->lock);
        doze(k, took * REST < interval ? interval : took * REST);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

static struct gn_keeper *keeper_new(struct gn_store *s)
{
    struct gn_keeper *k = calloc(1, sizeof *k);
    pthread_condattr_t attr;
    sigset_t all, old;
    if (!k)
        return NULL;
    k->store = s;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&k->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&k->lock, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&k->thread, NULL, run, k);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r == 0)
        return k;
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    free(k);
    return NULL;
}

/* Where no thread can be had the next change tries again. */
static struct gn_keeper *keeper_of(struct gn_store *s)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct gn_keeper *k = atomic_load(&s->keeper);
    if (k)
        return k;
    pthread_mutex_lock(&lock);
    if (!(k = atomic_load(&s->keeper)))
        atomic_store(&s->keeper, k = keeper_new(s));
    pthread_mutex_unlock(&lock);
    return k;
}

void gn_keeper_note(struct gn_store *s)
{
    struct gn_keeper *k = keeper_of(s);
    if (!k || atomic_load_explicit(&k->noted, memory_order_relaxed))
        return;
    pthread_mutex_lock(&k->lock);
    if (!atomic_exchange(&k->noted, true))
        pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->lock);
}

void gn_keeper_free(struct gn_keeper *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->stopping = true;
    pthread_cond_broadcast(&k->wake);
    pthread_mutex_unlock(&k->lock);
    pthread_join(k->thread, NULL);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    free(k);
}
