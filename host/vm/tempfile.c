/* core.temporary_file: a file that has no name, and goes with its handle. */
#include "core.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int close_file(lua_State *L)
{
    luaL_Stream *s = luaL_checkudata(L, 1, LUA_FILEHANDLE);
    return luaL_fileresult(L, fclose(s->f) == 0, NULL);
}

/* For file systems that know no O_TMPFILE. Returns a descriptor, or -1 with errno. */
static int open_and_unlink(const char *directory)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/genet-XXXXXX", directory);
    if (n < 0 || n >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static FILE *open_nameless(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        fd = open_and_unlink(directory);
    FILE *f = fd >= 0 ? fdopen(fd, "w+") : NULL;
    if (!f && fd >= 0)
        close(fd);
    return f;
}

int gn_core_temporary_file(lua_State *L)
{
    const char *directory = luaL_checkstring(L, 1);
    luaL_Stream *s = lua_newuserdatauv(L, sizeof *s, 0);
    s->closef = NULL; /* closed as yet */
    luaL_setmetatable(L, LUA_FILEHANDLE);
    s->f = open_nameless(directory);
    if (!s->f)
        return luaL_fileresult(L, 0, directory);
    s->closef = close_file;
    lua_pushfstring(L, "/proc/%d/fd/%d", (int)getpid(), fileno(s->f));
    return 2;
}
