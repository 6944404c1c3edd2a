#include "disk.h"

#include "../sched/offload.h"
#include "vm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_TYPE "genet.disk.file"
#define DIRECTORY_TYPE "genet.disk.directory"

enum {
    PIECE = 16 * 1024,
    LIST_MOST = 10000 /* entries of a directory that are told */
};

/* Runs a job that works on the caller's stack, on a thread of the pool; where there is
 * none to be had, or nothing may wait, here. Returns 0 or the cause. */
static int away(struct gn_job *job)
{
    int r = gn_may_park() ? gn_offload_attended(job, NULL) : -ENOMEM;
    if (r == -ENOMEM) {
        job->run(job);
        r = 0;
    }
    return r;
}

/* ---- bytes ---- */

/* Whether reading the byte would wait for the disk. Where nobody can tell it would not:
 * such file systems live in memory. */
static bool is_cold(int fd, off_t at)
{
    char byte;
    struct iovec iov = {&byte, 1};
    return preadv2(fd, &iov, 1, at, RWF_NOWAIT) < 0 && errno == EAGAIN;
}

struct warming {
    struct gn_job job;
    int fd;
    off_t at, end;
};

static void warm(struct gn_job *job)
{
    struct warming *w = gn_container_of(job, struct warming, job);
    char scratch[PIECE];
    ssize_t n = 1;
    for (; w->at < w->end && n > 0; w->at += n)
        n = pread(w->fd, scratch, sizeof scratch, w->at);
}

int gn_disk_warm(int fd, off_t at, size_t n)
{
    if (n == 0 || (!is_cold(fd, at) && !is_cold(fd, at + (off_t)n - 1)))
        return 0;
    struct warming w = {.job.run = warm, .fd = fd, .at = at, .end = at + (off_t)n};
    return away(&w.job);
}

ssize_t gn_disk_read(int fd, char *buf, size_t n, off_t at)
{
    struct iovec iov = {buf, n};
    ssize_t got = preadv2(fd, &iov, 1, at, RWF_NOWAIT);
    if (got >= 0 || (errno != EAGAIN && errno != EOPNOTSUPP))
        return got < 0 ? -errno : got;
    if (errno == EAGAIN) {
        int r = gn_disk_warm(fd, at, n);
        if (r < 0)
            return r;
    }
    got = pread(fd, buf, n, at);
    return got < 0 ? -errno : got;
}

/* ---- names ---- */

struct directory {
    int fd;      /* AT_FDCWD for the working directory; -1 while it is not there */
    dev_t dev;   /* what fd is, */
    ino_t inode; /* unless that is AT_FDCWD */
    char path[]; /* absolute, or "" for the working directory */
};

/* Opening a FIFO must not wait for its writer. */
enum { OPEN_FLAGS = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY };

/* Whether what a descriptor stands for lies in a directory, by their names in /proc. */
static bool is_within(int dir, int fd)
{
    char link[32], root[PATH_MAX], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
    ssize_t n = readlink(link, root, sizeof root);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t m = readlink(link, path, sizeof path);
    if (n <= 0 || m <= 0 || n == PATH_MAX || m == PATH_MAX)
        return false;
    if (n == 1)
        return true; /* "/" */
    return m >= n && memcmp(root, path, (size_t)n) == 0 && (m == n || path[n] == '/');
}

/* For kernels and sandboxes without openat2(2): looks afterwards where it has led. */
static int open_and_look(int dir, const char *path, bool beneath)
{
    int fd = openat(dir, path, OPEN_FLAGS);
    if (fd < 0)
        return -errno;
    if (!beneath || is_within(dir, fd))
        return fd;
    close(fd);
    return -EXDEV;
}

static int open_resolved(int dir, const char *path, bool beneath, uint64_t resolve)
{
    struct open_how how = {.flags = OPEN_FLAGS, .resolve = resolve};
    if (beneath)
        how.resolve |= RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
    return fd < 0 ? -errno : fd;
}

struct opening {
    struct gn_job job;
    int dir;
    const char *path;
    bool beneath; /* nothing may lead out of the directory */
    int fd;       /* the result, or a negative errno */
};

/* EAGAIN: something was renamed meanwhile. */
static void open_slowly(struct gn_job *job)
{
    struct opening *o = gn_container_of(job, struct opening, job);
    o->fd = -EAGAIN;
    for (int i = 0; o->fd == -EAGAIN && i < 100; i++)
        o->fd = open_resolved(o->dir, o->path, o->beneath, 0);
    if (o->fd == -ENOSYS || o->fd == -EPERM)
        o->fd = open_and_look(o->dir, o->path, o->beneath);
}

/* A directory's descriptor for a job: the directory may change its own meanwhile. -1
 * and errno on failure. */
static int keep_fd(int dir)
{
    return dir == AT_FDCWD ? dir : fcntl(dir, F_DUPFD_CLOEXEC, 0);
}

static void drop_fd(int dir)
{
    if (dir != AT_FDCWD)
        close(dir);
}

/* Opens by the kernel's caches alone if they know the name, else away. May wait.
 * Returns the descriptor or a negative errno. */
static int open_at(int dir, const char *path, bool beneath)
{
    int fd = open_resolved(dir, path, beneath, RESOLVE_CACHED);
    if (fd != -EAGAIN && fd != -EINVAL && fd != -ENOSYS && fd != -EPERM)
        return fd;
    struct opening o = {.job.run = open_slowly, .path = path, .beneath = beneath};
    if ((o.dir = keep_fd(dir)) == -1)
        return -errno;
    int r = away(&o.job);
    drop_fd(o.dir);
    return r < 0 ? r : o.fd;
}

/* Has `fd` stand for what bears the directory's name at present. Returns 0 or a
 * negative errno. */
static int refresh(struct directory *d)
{
    struct stat st;
    if (!*d->path)
        return 0;
    if (stat(d->path, &st) < 0)
        return -errno;
    if (d->fd >= 0 && d->dev == st.st_dev && d->inode == st.st_ino)
        return 0;
    int fd = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (d->fd >= 0)
        close(d->fd);
    fstat(fd, &st);
    d->fd = fd;
    d->dev = st.st_dev;
    d->inode = st.st_ino;
    return 0;
}

/* ---- arguments and results ---- */

static struct directory *check_directory(lua_State *L)
{
    return luaL_checkudata(L, 1, DIRECTORY_TYPE);
}

struct gn_disk_file *gn_disk_check(lua_State *L, int arg)
{
    struct gn_disk_file *f = luaL_checkudata(L, arg, FILE_TYPE);
    luaL_argcheck(L, f->fd >= 0, arg, "the file has been closed");
    return f;
}

/* nil, a word for what is wrong, and the system's text for it; raises when the caller
 * has been interrupted. */
static int fail(lua_State *L, int error)
{
    static const struct {
        int error;
        const char *word;
    } words[] = {{ENOENT, "missing"}, {ENOTDIR, "missing"}, {ENAMETOOLONG, "missing"},
                 {ELOOP, "missing"},  {ENXIO, "missing"},   {EXDEV, "outside"},
                 {EACCES, "denied"},  {EPERM, "denied"},    {EMFILE, "busy"},
                 {ENFILE, "busy"},    {ENOMEM, "busy"},     {EISDIR, "directory"},
                 {ENODEV, "special"}};
    const char *word = "broken";
    if (error == -ECANCELED || error == -ETIME)
        return gn_vm_raise(L, error);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (words[i].error == -error)
            word = words[i].word;
    lua_pushnil(L);
    lua_pushstring(L, word);
    lua_pushstring(L, strerror(-error));
    return 3;
}

/* ---- directories ---- */

static int push_directory(lua_State *L, const char *cwd, const char *slash,
                          const char *path)
{
    size_t room = strlen(cwd) + strlen(slash) + strlen(path) + 1;
    struct directory *d = lua_newuserdatauv(L, sizeof *d + room, 0);
    *d = (struct directory){.fd = -1};
    snprintf(d->path, room, "%s%s%s", cwd, slash, path);
    luaL_setmetatable(L, DIRECTORY_TYPE);
    int r = refresh(d);
    return r < 0 ? fail(L, r) : 1;
}

/* disk.directory(path) -> the directory of that name, whatever bears it at the time of
 * a call | nil, word, text. disk.directory() -> the working directory */
static int disk_directory(lua_State *L)
{
    char cwd[PATH_MAX];
    const char *path = luaL_optstring(L, 1, NULL);
    if (!path) {
        struct directory *d = lua_newuserdatauv(L, sizeof *d + 1, 0);
        *d = (struct directory){.fd = AT_FDCWD};
        d->path[0] = '\0';
        luaL_setmetatable(L, DIRECTORY_TYPE);
        return 1;
    }
    if (*path == '/')
        return push_directory(L, "", "", path);
    if (!getcwd(cwd, sizeof cwd))
        return fail(L, -errno);
    return push_directory(L, cwd, "/", path);
}

static int directory_close(lua_State *L)
{
    struct directory *d = check_directory(L);
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    return 0;
}

/* Has the file be what a descriptor stands for, if that is a regular file. */
static int adopt(struct gn_disk_file *f, int fd)
{
    f->fd = fd;
    if (fstat(fd, &f->st) < 0)
        return -errno;
    if (S_ISDIR(f->st.st_mode))
        return -EISDIR;
    return S_ISREG(f->st.st_mode) ? 0 : -ENODEV;
}

static void close_file(struct gn_disk_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

/* directory:open(path [, beneath]) -> file | nil, word, text. With `beneath` nothing
 * leads out of the directory. Words: missing outside denied busy directory special
 * broken. Waits. */
static int directory_open(lua_State *L)
{
    struct directory *d = check_directory(L);
    const char *path = luaL_checkstring(L, 2);
    bool beneath = lua_toboolean(L, 3);
    struct gn_disk_file *f = lua_newuserdatauv(L, sizeof *f, 0);
    f->fd = -1;
    luaL_setmetatable(L, FILE_TYPE);
    int r = refresh(d);
    if (r == 0)
        r = open_at(d->fd, path, beneath);
    if (r >= 0)
        r = adopt(f, r);
    if (r >= 0)
        return 1;
    close_file(f);
    return fail(L, r);
}

/* The whole name; false when it is too long. */
static bool join(char whole[PATH_MAX], const struct directory *d, const char *path)
{
    size_t n = *path == '/' ? 0 : strlen(d->path), m = strlen(path) + 1;
    if (n + 1 + m > PATH_MAX)
        return false;
    memcpy(whole, d->path, n);
    if (n > 0)
        whole[n++] = '/';
    memcpy(whole + n, path, m);
    return true;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev &&
           a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* directory:has(path) -> whether there is something of that name, which may be outside
 */
static int directory_has(lua_State *L)
{
    char whole[PATH_MAX];
    struct stat st;
    bool fits = join(whole, check_directory(L), luaL_checkstring(L, 2));
    lua_pushboolean(L, fits && stat(whole, &st) == 0);
    return 1;
}

/* directory:same(path, file) -> whether the file, open or closed, is still what bears
 * that name, and unchanged */
static int directory_same(lua_State *L)
{
    const struct directory *d = check_directory(L);
    const char *path = luaL_checkstring(L, 2);
    const struct gn_disk_file *f = luaL_checkudata(L, 3, FILE_TYPE);
    char whole[PATH_MAX];
    struct stat st;
    lua_pushboolean(L, join(whole, d, path) && stat(whole, &st) == 0 &&
                           is_same(&st, &f->st));
    return 1;
}

/* directory:reopen(path, file [, beneath]) -> whether a closed file is still what bears
 * that name, and unchanged; it is open then. Waits. */
static int directory_reopen(lua_State *L)
{
    struct directory *d = check_directory(L);
    const char *path = luaL_checkstring(L, 2);
    struct gn_disk_file *f = luaL_checkudata(L, 3, FILE_TYPE);
    struct stat st;
    int fd = refresh(d);
    if (fd == 0)
        fd = open_at(d->fd, path, lua_toboolean(L, 4));
    bool same = fd >= 0 && fstat(fd, &st) == 0 && is_same(&st, &f->st);
    if (same && f->fd < 0) /* nobody else has opened it meanwhile */
        f->fd = fd;
    else if (fd >= 0)
        close(fd);
    lua_pushboolean(L, same);
    return 1;
}

/* ---- lists ---- */

struct entry {
    struct entry *next;
    bool is_directory;
    char name[];
};

struct listing {
    struct gn_job job;
    int dir;
    const char *path;
    bool beneath;
    struct entry *entries;
    int result;
};

static bool is_directory(int dir, const struct dirent *e)
{
    struct stat st;
    if (e->d_type != DT_UNKNOWN && e->d_type != DT_LNK)
        return e->d_type == DT_DIR;
    return fstatat(dir, e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode);
}

static int add_entry(struct listing *l, int dir, const struct dirent *e)
{
    size_t n = strlen(e->d_name) + 1;
    struct entry *new = malloc(sizeof *new + n);
    if (!new)
        return -ENOMEM;
    new->next = l->entries;
    new->is_directory = is_directory(dir, e);
    memcpy(new->name, e->d_name, n);
    l->entries = new;
    return 0;
}

static int list_all(struct listing *l, DIR *dir)
{
    const struct dirent *e;
    int r = 0;
    for (int n = 0; r == 0 && n < LIST_MOST && (e = readdir(dir)); n++)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = add_entry(l, dirfd(dir), e);
    return r;
}

static void list_slowly(struct gn_job *job)
{
    struct listing *l = gn_container_of(job, struct listing, job);
    struct opening o = {.dir = l->dir, .path = l->path, .beneath = l->beneath};
    open_slowly(&o.job);
    DIR *dir = o.fd < 0 ? NULL : fdopendir(o.fd);
    l->result = o.fd < 0 ? o.fd : dir ? list_all(l, dir) : -errno;
    if (dir)
        closedir(dir);
    else if (o.fd >= 0)
        close(o.fd);
}

/* May wait. Returns 0 or a negative errno. */
static int list(struct directory *d, struct listing *l)
{
    int r = refresh(d);
    if (r < 0)
        return r;
    if ((l->dir = keep_fd(d->fd)) == -1)
        return -errno;
    r = away(&l->job);
    drop_fd(l->dir);
    return r < 0 ? r : l->result;
}

/* The entries as a light userdata at index 1 -> {name = whether it is a directory} */
static int push_entries(lua_State *L)
{
    lua_newtable(L);
    for (const struct entry *e = lua_touserdata(L, 1); e; e = e->next) {
        lua_pushboolean(L, e->is_directory);
        lua_setfield(L, -2, e->name);
    }
    return 1;
}

/* directory:list(path [, beneath]) -> {name = whether it is a directory} | nil, word,
 * text. Tells of 10,000 entries at most. Waits. */
static int directory_list(lua_State *L)
{
    struct directory *d = check_directory(L);
    struct listing l = {.job.run = list_slowly,
                        .path = luaL_checkstring(L, 2),
                        .beneath = lua_toboolean(L, 3)};
    int r = list(d, &l);
    lua_pushcfunction(L, push_entries);
    lua_pushlightuserdata(L, r < 0 ? NULL : l.entries);
    int failed = lua_pcall(L, 1, 1, 0);
    for (struct entry *e = l.entries, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    if (failed)
        return lua_error(L);
    return r < 0 ? fail(L, r) : 1;
}

/* ---- files ---- */

/* file:stat() -> size, seconds and nanoseconds of the last change of its content,
 * inode, seconds of the last change of anything; of a closed one too */
static int file_stat(lua_State *L)
{
    const struct gn_disk_file *f = luaL_checkudata(L, 1, FILE_TYPE);
    lua_pushinteger(L, f->st.st_size);
    lua_pushinteger(L, f->st.st_mtim.tv_sec);
    lua_pushinteger(L, f->st.st_mtim.tv_nsec);
    lua_pushinteger(L, (lua_Integer)f->st.st_ino);
    lua_pushinteger(L, f->st.st_ctim.tv_sec);
    return 5;
}

/* file:read(n [, at]) -> n bytes, fewer where the file ends | nil, word, text. Waits.
 */
static int file_read(lua_State *L)
{
    const struct gn_disk_file *f = gn_disk_check(L, 1);
    lua_Integer n = luaL_checkinteger(L, 2), at = luaL_optinteger(L, 3, 0);
    luaL_argcheck(L, n >= 0, 2, "a number of bytes was expected");
    luaL_argcheck(L, at >= 0, 3, "an offset was expected");
    luaL_Buffer b;
    char *to = luaL_buffinitsize(L, &b, (size_t)n);
    size_t have = 0;
    ssize_t got = 1;
    for (; have < (size_t)n && got > 0; have += got > 0 ? (size_t)got : 0)
        got = gn_disk_read(f->fd, to + have, (size_t)n - have, at + (off_t)have);
    if (got < 0)
        return fail(L, (int)got);
    luaL_pushresultsize(&b, have);
    return 1;
}

static int file_close(lua_State *L)
{
    close_file(luaL_checkudata(L, 1, FILE_TYPE));
    return 0;
}

/* ---- the module ---- */

static void new_type(lua_State *L, const char *name, const luaL_Reg *methods,
                     lua_CFunction close_it)
{
    luaL_newmetatable(L, name);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, close_it);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, close_it);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
}

int luaopen_genet_disk(lua_State *L)
{
    static const luaL_Reg directories[] = {{"open", directory_open},
                                           {"has", directory_has},
                                           {"same", directory_same},
                                           {"reopen", directory_reopen},
                                           {"list", directory_list},
                                           {"close", directory_close},
                                           {NULL, NULL}};
    static const luaL_Reg files[] = {
        {"stat", file_stat}, {"read", file_read}, {"close", file_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"directory", disk_directory}, {NULL, NULL}};
    new_type(L, DIRECTORY_TYPE, directories, directory_close);
    new_type(L, FILE_TYPE, files, file_close);
    luaL_newlib(L, functions);
    return 1;
}
