#include "files.h"

#include "../libc/real.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static atomic_bool leaving; /* exit() flushes: no other fiber may run any more */

/* ---- one user at a time ---- */

struct waiter {
    struct gn_list link;
    struct gn_fiber *fiber;
};

static void release(struct gn_file *f)
{
    if (f->user != gn_fiber_self() || !f->user || --f->depth > 0)
        return;
    struct gn_list *l = gn_list_pop(&f->waits);
    f->user = l ? gn_container_of(l, struct waiter, link)->fiber : NULL;
    f->depth = l != NULL;
    if (l)
        gn_wake(f->user);
}

/* Waits for its turn. Returns 0 or the cause of an interruption. */
static int queue_up(struct gn_file *f, struct gn_fiber *self)
{
    struct waiter w = {.fiber = self};
    int r = 0;
    gn_list_append(&f->waits, &w.link);
    while (f->user != self && r == 0)
        r = gn_park(GN_NEVER);
    gn_list_del(&w.link);
    if (r < 0 && f->user == self)
        release(f); /* its turn came, and it was interrupted */
    return r;
}

/* Returns 0, -EBUSY where it is in use and nothing may wait, or the cause of an
 * interruption. */
static int acquire(struct gn_file *f)
{
    struct gn_fiber *self = gn_fiber_self();
    int r = 0;
    if (f->user && f->user != self)
        r = gn_may_park() ? queue_up(f, self) : -EBUSY;
    else if (self) {
        f->user = self;
        f->depth++;
    }
    if (r == 0 && f->depth <= 1)
        f->cause = 0;
    return r;
}

/* Raises the error on the top of the stack as if the running function had: Lua's own
 * cannot see, from inside, whose argument was bad and where it was called. `shift` is
 * how many arguments it was given in front. */
static int raise_as_own(lua_State *L, int shift)
{
    int arg, length = 0;
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (!text)
        return lua_error(L);
    if (sscanf(text, "bad argument #%d to '?' (%n", &arg, &length) == 1 && length > 0) {
        lua_pushlstring(L, text + length, strlen(text + length) - 1);
        return luaL_argerror(L, arg - shift, lua_tostring(L, -1));
    }
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
    return lua_error(L);
}

/* As gn_file_use(), for a function that was given a handle in front. */
static int use(lua_State *L, int fn, int shift)
{
    struct gn_file *f = lua_touserdata(L, 1);
    int args = lua_gettop(L);
    luaL_checkstack(L, 2, "too many arguments");
    lua_pushvalue(L, 1); /* keeps the handle while its method runs */
    lua_pushvalue(L, fn);
    lua_rotate(L, 1, 2);
    int r = acquire(f);
    if (r == -EBUSY) {
        luaL_pushfail(L);
        lua_pushliteral(L, "the file is used by another task");
        lua_pushinteger(L, EBUSY);
        return 3;
    }
    if (r < 0)
        return gn_vm_raise(L, r);
    int status = lua_pcall(L, args, LUA_MULTRET, 0);
    int cause = f->cause;
    release(f);
    if (cause < 0)
        return gn_vm_raise(L, cause);
    if (status != LUA_OK)
        return raise_as_own(L, shift);
    return lua_gettop(L) - 1;
}

int gn_file_use(lua_State *L, int fn)
{
    return use(L, fn, 0);
}

/* ---- the FILE ---- */

/* Notes that a call fell short because its fiber was interrupted. */
static void note_interruption(struct gn_file *f)
{
    struct gn_fiber *self = gn_fiber_self();
    int cause = self ? gn_fiber_cause(self) : 0;
    if (cause < 0) {
        f->cause = cause;
        f->interrupted = true;
    }
}

/* Shows what was written for the eyes of whoever types, unless it is in use. */
static void flush_prompt(struct gn_file *f)
{
    struct gn_fiber *self = gn_fiber_self();
    if (!f || !gn_file_is_open(f) || (f->user && f->user != self) || acquire(f) < 0)
        return;
    fflush(f->stream.f);
    release(f);
}

static ssize_t on_read(void *cookie, char *buf, size_t n)
{
    struct gn_file *f = cookie;
    if (f->peeked >= 0 && n > 0) {
        *buf = (char)f->peeked;
        f->peeked = -1;
        return 1;
    }
    if (atomic_load(&leaving))
        return gn_real()->read(f->fd, buf, n);
    flush_prompt(f->prompt);
    ssize_t r = read(f->fd, buf, n);
    if (r < 0)
        note_interruption(f);
    return r;
}

/* A cookie's write must not return -1. */
static ssize_t on_write(void *cookie, const char *buf, size_t n)
{
    struct gn_file *f = cookie;
    ssize_t r =
        atomic_load(&leaving) ? gn_real()->write(f->fd, buf, n) : write(f->fd, buf, n);
    if (r < (ssize_t)n)
        note_interruption(f);
    return r < 0 ? 0 : r;
}

static int on_seek(void *cookie, off64_t *offset, int whence)
{
    struct gn_file *f = cookie;
    off64_t at = lseek64(f->fd, *offset, whence);
    if (at < 0)
        return -1;
    *offset = at;
    return 0;
}

static int on_close(void *cookie)
{
    struct gn_file *f = cookie;
    return f->standard ? 0 : close(f->fd);
}

static void on_exit_process(void)
{
    atomic_store(&leaving, true);
}

struct gn_file *gn_file_new(lua_State *L)
{
    struct gn_file *f = lua_newuserdatauv(L, sizeof *f, 0);
    *f = (struct gn_file){.fd = -1, .peeked = -1};
    gn_list_init(&f->waits);
    luaL_setmetatable(L, LUA_FILEHANDLE);
    return f;
}

int gn_file_open(struct gn_file *f, int fd, const char *mode, lua_CFunction close_it)
{
    const cookie_io_functions_t calls = {on_read, on_write, on_seek, on_close};
    static atomic_flag watching = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&watching))
        atexit(on_exit_process);
    f->stream.f = fopencookie(f, mode, calls);
    if (!f->stream.f) {
        if (!f->standard)
            close(fd);
        return -ENOMEM;
    }
    f->stream.f->_fileno = fd; /* so that fileno(3) tells it, as of Lua's own */
    f->fd = fd;
    f->stream.closef = close_it;
    return 0;
}

int gn_file_close(lua_State *L)
{
    struct gn_file *f = lua_touserdata(L, 1);
    return luaL_fileresult(L, fclose(f->stream.f) == 0, NULL);
}

struct gn_file *gn_file_at(lua_State *L, int index)
{
    struct gn_file *f = luaL_testudata(L, index, LUA_FILEHANDLE);
    return f && lua_rawlen(L, index) == sizeof *f ? f : NULL;
}

bool gn_file_waits(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return false;
    return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
           (S_ISCHR(st.st_mode) && isatty(fd));
}

/* ---- methods ---- */

/* Lua's own function, a C function without upvalues, in the place of the running one.
 */
static int forward(lua_State *L)
{
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

/* f:read, f:write ... and __close. */
static int method(lua_State *L)
{
    if (!gn_file_at(L, 1))
        return forward(L);
    return gn_file_use(L, lua_upvalueindex(1));
}

/* io.read, io.write ...: the method in upvalue 2 for the default file that upvalue 3
 * names. */
static int default_method(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, lua_tostring(L, lua_upvalueindex(3)));
    struct gn_file *f = gn_file_at(L, -1);
    if (!f || !gn_file_is_open(f)) {
        lua_pop(L, 1);
        return forward(L);
    }
    lua_insert(L, 1);
    return use(L, lua_upvalueindex(2), 1);
}

/* io.close: of the default output unless there is an argument. */
static int default_close(lua_State *L)
{
    if (!lua_isnone(L, 1))
        return gn_file_at(L, 1) ? gn_file_use(L, lua_upvalueindex(2)) : forward(L);
    return default_method(L);
}

/* Upvalues: Lua's own iterator, the handle, and whether to close it at the end. */
static int next_item(lua_State *L)
{
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(2));
    int n = gn_file_use(L, lua_upvalueindex(1));
    if (n > 0 && !lua_isnil(L, -n))
        return n;
    if (n > 1) /* it could not be asked */
        return luaL_error(L, "%s", lua_tostring(L, 1 - n));
    lua_pushvalue(L, lua_upvalueindex(2));
    if (lua_toboolean(L, lua_upvalueindex(3)))
        luaL_callmeta(L, -1, "__close");
    return 0;
}

static int lines_method(lua_State *L)
{
    bool ours = gn_file_at(L, 1) != NULL;
    int n = forward(L);
    if (!ours)
        return n;
    lua_pushvalue(L, 1);
    lua_pushboolean(L, false);
    lua_pushcclosure(L, next_item, 3);
    return 1;
}

void gn_file_lines(lua_State *L, int file, bool closes)
{
    int args = lua_gettop(L) - file + 1;
    lua_getfield(L, file, "lines");
    lua_insert(L, file);
    lua_call(L, args, 1);
    lua_pushboolean(L, closes);
    lua_setupvalue(L, file, 3);
}

/* Where the rest of a pipe's data finds no room in a finalizer, it is lost. */
static int collect(lua_State *L)
{
    struct gn_file *f = gn_file_at(L, 1);
    if (!f)
        return forward(L);
    f->collected = true;
    if (gn_file_is_open(f) && f->standard) {
        f->stream.closef = NULL;
        fclose(f->stream.f);
    } else if (gn_file_is_open(f)) {
        if (gn_fiber_self())
            fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) | O_NONBLOCK);
        forward(L);
    }
    gn_child_drop(f->child);
    f->child = NULL;
    return 0;
}

/* ---- standard files ---- */

static int keep_open(lua_State *L)
{
    struct gn_file *f = lua_touserdata(L, 1);
    f->stream.closef = keep_open;
    luaL_pushfail(L);
    lua_pushliteral(L, "cannot close standard file");
    return 2;
}

/* stdio.standard(name [, prompt]) -> a handle for "stdin" or "stdout" | nil when that
 * cannot wait. `prompt` is a handle that is flushed before this one is read. */
static int stdio_standard(lua_State *L)
{
    static const char *const names[] = {"stdin", "stdout", NULL};
    int fd = luaL_checkoption(L, 1, NULL, names);
    if (!gn_file_waits(fd))
        return 0;
    struct gn_file *prompt = gn_file_at(L, 2), *f = gn_file_new(L);
    f->standard = true;
    int r = gn_file_open(f, fd, fd == STDIN_FILENO ? "r" : "w", keep_open);
    if (r < 0)
        return luaL_error(L, "%s", strerror(-r));
    if (isatty(fd)) {
        setvbuf(f->stream.f, NULL, _IOLBF, BUFSIZ);
        f->prompt = prompt;
    }
    return 1;
}

/* stdio.set_default("input" | "output", file): as io.input and io.output do. */
static int stdio_set_default(lua_State *L)
{
    static const char *const names[] = {"input", "output", NULL};
    int which = luaL_checkoption(L, 1, NULL, names);
    luaL_checkudata(L, 2, LUA_FILEHANDLE);
    lua_settop(L, 2);
    lua_setfield(L, LUA_REGISTRYINDEX, which ? GN_DEFAULT_OUTPUT : GN_DEFAULT_INPUT);
    return 0;
}

/* ---- the module ---- */

/* Pushes what Lua's library has under a name: a C function without upvalues. */
static void push_original(lua_State *L, int library, const char *name)
{
    lua_getfield(L, library, name);
    if (!lua_iscfunction(L, -1) || lua_getupvalue(L, -1, 1))
        luaL_error(L, "'%s' of a library is not Lua's own", name);
}

static void wrap(lua_State *L, int library, const char *name, lua_CFunction fn)
{
    push_original(L, library, name);
    lua_pushcclosure(L, fn, 1);
}

/* Has the methods of all handles take the lock of those that have one. */
static void wrap_methods(lua_State *L, int meta, int methods)
{
    static const char *const plain[] = {"read",  "write",   "flush", "seek",
                                        "close", "setvbuf", NULL};
    for (const char *const *name = plain; *name; name++) {
        wrap(L, methods, *name, method);
        lua_setfield(L, methods, *name);
    }
    wrap(L, methods, "lines", lines_method);
    lua_setfield(L, methods, "lines");
    wrap(L, meta, "__close", method);
    lua_setfield(L, meta, "__close");
    wrap(L, meta, "__gc", collect);
    lua_setfield(L, meta, "__gc");
}

/* module[name] for io[name], by the method of that name. */
static void add_default(lua_State *L, int module, int io, int methods, const char *name,
                        const char *file, lua_CFunction fn)
{
    push_original(L, io, name);
    push_original(L, methods, name);
    lua_pushstring(L, file);
    lua_pushcclosure(L, fn, 3);
    lua_setfield(L, module, name);
}

static void add_defaults(lua_State *L, int module, int io, int methods)
{
    add_default(L, module, io, methods, "read", GN_DEFAULT_INPUT, default_method);
    add_default(L, module, io, methods, "write", GN_DEFAULT_OUTPUT, default_method);
    add_default(L, module, io, methods, "flush", GN_DEFAULT_OUTPUT, default_method);
    add_default(L, module, io, methods, "close", GN_DEFAULT_OUTPUT, default_close);
}

static void add_replacements(lua_State *L, int module, int io)
{
    static const luaL_Reg functions[] = {
        {"open", gn_io_open},      {"lines", gn_io_lines}, {"input", gn_io_default},
        {"output", gn_io_default}, {"popen", gn_io_popen}, {NULL, NULL},
    };
    for (const luaL_Reg *f = functions; f->name; f++) {
        push_original(L, io, f->name);
        lua_pushstring(L, f->name[0] == 'o' ? "w" : "r"); /* for io.input, io.output */
        lua_pushcclosure(L, f->func, 2);
        lua_setfield(L, module, f->name);
    }
    lua_pushcfunction(L, gn_os_execute);
    lua_setfield(L, module, "execute");
    lua_pushcfunction(L, stdio_standard);
    lua_setfield(L, module, "standard");
    lua_pushcfunction(L, stdio_set_default);
    lua_setfield(L, module, "set_default");
}

int luaopen_genet_stdio(lua_State *L)
{
    enum { MODULE = 1, IO, META, METHODS };
    lua_settop(L, 0);
    lua_newtable(L);
    lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_getfield(L, -1, LUA_IOLIBNAME);
    lua_remove(L, -2);
    luaL_getmetatable(L, LUA_FILEHANDLE);
    lua_getfield(L, META, "__index");
    add_defaults(L, MODULE, IO, METHODS);
    add_replacements(L, MODULE, IO);
    wrap_methods(L, META, METHODS);
    lua_settop(L, MODULE);
    return 1;
}
