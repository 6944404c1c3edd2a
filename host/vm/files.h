/* Lua file handles that wait: true ones (io.type knows them, and so does every C
 * library that takes a luaL_Stream), whose FILE reads and writes by the cooperative
 * libc.
 *
 * stdio itself would be torn if a second fiber used a FILE in which the first one is
 * parked. So each handle has a lock that its methods take, first come first served;
 * handles of other makes are passed through. The Lua module `genet.stdio` has the
 * functions that stand in for those of `io` and `os`; lua/genet/patch.lua puts them
 * there. */
#ifndef GN_FILES_H
#define GN_FILES_H

#include "../libc/spawn.h"
#include "../sched/sched.h"

#include <lauxlib.h>
#include <lualib.h>

struct gn_file {
    luaL_Stream stream; /* first: all that Lua's own library looks at */
    int fd;
    int peeked;             /* a byte that is read before all others; -1: none */
    struct gn_fiber *user;  /* inside a method; NULL: nobody */
    unsigned depth;         /* how many methods `user` is inside: finalizers nest */
    struct gn_list waits;   /* fibers that want to use it, in order */
    int cause;              /* why the present method was interrupted, or 0 */
    bool interrupted;       /* a method of it was, once */
    bool collected;         /* it is closed by the collector: nothing may wait */
    bool standard;          /* its descriptor is not its own */
    struct gn_file *prompt; /* is flushed before this one is read; or NULL */
    struct gn_child *child; /* of io.popen(), owned; or NULL */
};

/* Pushes a handle that is closed as yet. Returns it, borrowed. May raise. */
struct gn_file *gn_file_new(lua_State *);

/* Opens a handle on a descriptor, which it takes, also when it fails. `close` is called
 * as Lua's own library calls it. Returns 0 or a negative errno. */
int gn_file_open(struct gn_file *, int fd, const char *mode, lua_CFunction close);

/* For gn_file_open(): closes the FILE. May wait. */
int gn_file_close(lua_State *);

/* The handle at an index if it is one of these; else NULL. */
struct gn_file *gn_file_at(lua_State *, int index);

static inline bool gn_file_is_open(const struct gn_file *f)
{
    return f->stream.closef != NULL;
}

/* Whether a descriptor can keep its reader or writer waiting: a pipe, a socket, or a
 * terminal. */
bool gn_file_waits(int fd);

/* Where Lua's library keeps its default files, in the registry. */
#define GN_DEFAULT_INPUT "_IO_input"
#define GN_DEFAULT_OUTPUT "_IO_output"

/* Replacements: io.popen, os.execute (popen.c); io.open, io.lines, io.input, io.output
 * (fifo.c). Each finds Lua's own function in its first upvalue, and gn_io_default() the
 * mode to open with in its second. */
int gn_io_popen(lua_State *);
int gn_os_execute(lua_State *);
int gn_io_open(lua_State *);
int gn_io_lines(lua_State *);
int gn_io_default(lua_State *);

/* Replaces a file name at index 1 by an open handle if opening it plainly could wait.
 * Returns 1 when it has, 0 when it is not such a name, or a negative errno. May wait,
 * may raise. */
int gn_file_from_name(lua_State *, const char *mode);

/* Replaces the handle at index `file`, and formats above it, by the iterator that
 * f:lines() returns. It closes the handle at its end when `closes`. */
void gn_file_lines(lua_State *, int file, bool closes);

/* Runs the function at index `fn`, an upvalue, with all arguments, of which the first
 * is a handle, while nobody else uses that. Returns the count of results. May wait, may
 * raise. */
int gn_file_use(lua_State *, int fn);

int luaopen_genet_stdio(lua_State *);

#endif
