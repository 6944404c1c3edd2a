#include "home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { UNOWNED_SECONDS = 60 }; /* what has no owner's file for so long has lost it */

static const char ALIVE[] = "alive", OPENING[] = "opening";

static int lock(int fd, int how)
{
    int r;
    while ((r = flock(fd, how)) < 0 && errno == EINTR)
        ;
    return r < 0 ? -errno : 0;
}

/* ---- private directories ---- */

static const char *usual_base(void)
{
    const char *tmp = getenv("TMPDIR");
    if (access("/dev/shm", R_OK | W_OK | X_OK) == 0)
        return "/dev/shm";
    return tmp && *tmp == '/' ? tmp : "/tmp";
}

static int prefix(char *out, size_t room)
{
    return snprintf(out, room, "genet-%u-", (unsigned)geteuid());
}

/* Removes the files in a directory; it holds no directories. */
static void empty(int dir)
{
    int again = dup(dir);
    DIR *d = again < 0 ? NULL : fdopendir(again);
    if (!d) {
        if (again >= 0)
            close(again);
        return;
    }
    rewinddir(d);
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            unlinkat(dir, e->d_name, 0);
    closedir(d);
}

/* Whether its maker may still be about to make the owner's file. */
static bool is_fresh(int dir)
{
    struct stat st;
    return fstat(dir, &st) < 0 || time(NULL) - st.st_mtime < UNOWNED_SECONDS;
}

/* Whether nobody uses a directory. Its lock is then held by *alive, which is -1 when
 * there is none. */
static bool is_dead(int dir, int *alive)
{
    *alive = openat(dir, ALIVE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (*alive < 0)
        return errno == ENOENT && !is_fresh(dir);
    return lock(*alive, LOCK_EX | LOCK_NB) == 0;
}

/* Removes a directory that nobody uses. Returns whether it has. */
static bool bury(int base, const char *name)
{
    struct stat st;
    int alive = -1;
    int dir = openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        return false;
    bool dead = fstat(dir, &st) == 0 && st.st_uid == geteuid() && is_dead(dir, &alive);
    if (dead) {
        empty(dir);
        dead = unlinkat(base, name, AT_REMOVEDIR) == 0;
    }
    if (alive >= 0)
        close(alive);
    close(dir);
    return dead;
}

int gn_home_sweep(const char *base)
{
    char start[32];
    size_t n = (size_t)prefix(start, sizeof start);
    int removed = 0;
    DIR *d = opendir(base ? base : usual_base());
    if (!d)
        return 0;
    for (struct dirent *e; (e = readdir(d));)
        if (strncmp(e->d_name, start, n) == 0)
            removed += bury(dirfd(d), e->d_name);
    closedir(d);
    return removed;
}

/* Takes the lock of a directory that was just made; -ESTALE when somebody has removed
 * it before. */
static int claim(const char *path)
{
    struct stat st;
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s/%s", path, ALIVE);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOENT ? -ESTALE : -errno;
    int r = lock(fd, LOCK_SH);
    if (r == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
        return fd;
    close(fd);
    return r < 0 ? r : -ESTALE;
}

int gn_home_make(const char *base, char *path, size_t room, int *alive)
{
    char start[32];
    base = base ? base : usual_base();
    gn_home_sweep(base);
    prefix(start, sizeof start);
    do {
        if ((size_t)snprintf(path, room, "%s/%s%d-XXXXXX", base, start,
                             (int)getpid()) >= room)
            return -ENAMETOOLONG;
        if (!mkdtemp(path))
            return -errno;
        *alive = claim(path);
    } while (*alive == -ESTALE);
    if (*alive >= 0)
        return 0;
    rmdir(path);
    return *alive;
}

void gn_home_remove(const char *path, int alive)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir >= 0) {
        empty(dir);
        close(dir);
        rmdir(path);
    }
    if (alive >= 0)
        close(alive);
}

/* ---- using one ---- */

static int open_lock(const struct gn_home *p, const char *name)
{
    int fd = openat(p->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

/* Takes the lock of the living; tells whether it was nobody's. */
static int join(struct gn_home *p, bool *first)
{
    int r = lock(p->opening, LOCK_EX);
    if (r < 0)
        return r;
    *first = lock(p->alive, LOCK_EX | LOCK_NB) == 0;
    return lock(p->alive, LOCK_SH);
}

int gn_home_open(struct gn_home *p, const char *path, bool *first)
{
    int r = 0;
    *p = (struct gn_home){.dir = -1, .alive = -1, .opening = -1};
    if ((size_t)snprintf(p->path, sizeof p->path, "%s", path) >= sizeof p->path)
        return -ENAMETOOLONG;
    p->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->dir < 0)
        r = -errno;
    if (r == 0 && (p->alive = open_lock(p, ALIVE)) < 0)
        r = p->alive;
    if (r == 0 && (p->opening = open_lock(p, OPENING)) < 0)
        r = p->opening;
    if (r == 0)
        r = join(p, first);
    if (r < 0)
        gn_home_close(p);
    return r;
}

void gn_home_settle(struct gn_home *p)
{
    lock(p->opening, LOCK_UN);
}

/* The lock is converted, which lets go of it for a moment: nobody can open the place
 * meanwhile, and whoever sweeps leaves what is not private alone. */
bool gn_home_leave(struct gn_home *p)
{
    lock(p->opening, LOCK_EX);
    return lock(p->alive, LOCK_EX | LOCK_NB) == 0;
}

void gn_home_close(struct gn_home *p)
{
    int fds[] = {p->alive, p->opening, p->dir};
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *p = (struct gn_home){.dir = -1, .alive = -1, .opening = -1};
}

int gn_home_file(const struct gn_home *p, const char *name, size_t size)
{
    int fd = openat(p->dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int r = posix_fallocate(fd, 0, (off_t)size);
    if (r == 0)
        return fd;
    close(fd);
    return -r;
}

const char *gn_home_name(const struct gn_home *p, const char *name, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s/%s", p->path, name);
    return out;
}
