/* Opening what makes open(2) wait: a FIFO, until its other end is opened. And
 * terminals, so that reading one waits well. */
#include "files.h"

#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_FIRST_MS = 1, LOOK_LAST_MS = 50 };

/* "r", "w" or "a", then perhaps "+", then any "b". */
static bool is_mode(const char *mode)
{
    if (!*mode || !strchr("rwa", *mode++))
        return false;
    mode += *mode == '+';
    return strspn(mode, "b") == strlen(mode);
}

static int flags_of(const char *mode)
{
    int flags = *mode == 'r'   ? 0
                : *mode == 'w' ? O_CREAT | O_TRUNC
                               : O_CREAT | O_APPEND;
    flags |= strchr(mode, '+') ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY;
    return flags | O_CLOEXEC;
}

static int longer(int ms)
{
    return 2 * ms < LOOK_LAST_MS ? 2 * ms : LOOK_LAST_MS;
}

/* Waits until a FIFO that was opened for reading has had a writer. The kernel has no
 * event for that: a read gives EAGAIN then, and the end of the file before. The byte
 * that may be read is kept. */
static int await_writer(struct gn_file *f, int fd)
{
    unsigned char c;
    for (int ms = LOOK_FIRST_MS;; ms = longer(ms)) {
        ssize_t n = read(fd, &c, 1);
        if (n > 0)
            f->peeked = c;
        if (n != 0)
            return n > 0 || errno == EAGAIN ? 0 : -errno;
        int r = gn_wait_fd(fd, EPOLLIN, gn_after_ms(ms));
        if (r != -ETIMEDOUT)
            return r;
    }
}

static int open_reader(struct gn_file *f, const char *name, int flags)
{
    int fd = open(name, flags | O_NONBLOCK, 0666);
    if (fd < 0)
        return -errno;
    int r = await_writer(f, fd);
    if (r == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
        r = -errno;
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

/* There is no event for the first reader either. */
static int open_writer(const char *name, int flags)
{
    for (int ms = LOOK_FIRST_MS;; ms = longer(ms)) {
        int fd = open(name, flags | O_NONBLOCK, 0666);
        if (fd >= 0) {
            fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
            return fd;
        }
        if (errno != ENXIO)
            return -errno;
        int r = gn_sleep_until(gn_after_ms(ms));
        if (r < 0)
            return r;
    }
}

/* Returns a descriptor or a negative errno. */
static int open_name(struct gn_file *f, const char *name, const char *mode, bool fifo)
{
    int flags = flags_of(mode), way = flags & O_ACCMODE;
    if (fifo && gn_may_park() && way == O_RDONLY)
        return open_reader(f, name, flags);
    if (fifo && gn_may_park() && way == O_WRONLY)
        return open_writer(name, flags);
    int fd = open(name, flags, 0666);
    return fd < 0 ? -errno : fd;
}

int gn_file_from_name(lua_State *L, const char *mode)
{
    struct stat st;
    const char *name = lua_tostring(L, 1);
    if (!name || !is_mode(mode) || stat(name, &st) < 0 ||
        !(S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
        return 0;
    struct gn_file *f = gn_file_new(L);
    int fd = open_name(f, name, mode, S_ISFIFO(st.st_mode));
    int cause = gn_fiber_self() && fd < 0 ? gn_fiber_cause(gn_fiber_self()) : 0;
    if (cause < 0)
        return gn_vm_raise(L, cause);
    int r = fd < 0 ? fd : gn_file_open(f, fd, mode, gn_file_close);
    if (r < 0) {
        lua_pop(L, 1);
        return r;
    }
    lua_replace(L, 1);
    return 1;
}

static int forward(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

int gn_io_open(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
    int r = gn_file_from_name(L, mode);
    if (r == 0)
        return forward(L);
    if (r < 0) {
        errno = -r;
        return luaL_fileresult(L, 0, name);
    }
    lua_settop(L, 1);
    return 1;
}

int gn_io_default(lua_State *L)
{
    const char *name = lua_tostring(L, 1);
    int r = name ? gn_file_from_name(L, lua_tostring(L, lua_upvalueindex(2))) : 0;
    if (r < 0)
        return luaL_error(L, "cannot open file '%s' (%s)", name, strerror(-r));
    return forward(L);
}

/* io.lines(name, ...), with an open handle in the place of the name. */
static int lines_of_opened(lua_State *L)
{
    lua_pushvalue(L, 1);
    lua_insert(L, 1);
    gn_file_lines(L, 2, true);
    lua_pushnil(L);
    lua_pushnil(L);
    lua_rotate(L, 1, 3); /* the handle, to be closed, comes last */
    return 4;
}

/* io.lines(nil, ...), with the default input in the place of nil. */
static int lines_of_default(lua_State *L)
{
    luaL_checkstack(L, 1, "too many arguments");
    lua_getfield(L, LUA_REGISTRYINDEX, GN_DEFAULT_INPUT);
    struct gn_file *f = gn_file_at(L, -1);
    bool ours = f && gn_file_is_open(f);
    if (ours)
        lua_replace(L, 1);
    else
        lua_pop(L, 1);
    if (!ours)
        return forward(L);
    gn_file_lines(L, 1, false);
    return 1;
}

int gn_io_lines(lua_State *L)
{
    if (lua_isnone(L, 1))
        lua_pushnil(L);
    if (lua_isnil(L, 1))
        return lines_of_default(L);
    const char *name = luaL_checkstring(L, 1);
    int r = gn_file_from_name(L, "r");
    if (r < 0)
        return luaL_error(L, "cannot open file '%s' (%s)", name, strerror(-r));
    return r ? lines_of_opened(L) : forward(L);
}
