#include "subprocess.h"

#include "core.h"
#include "files.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const char CHILD[] = "genet.child";

struct handle {
    struct gn_child *child; /* owned; NULL until it is started */
};

/* ---- how to start ---- */

/* One of the child's descriptors 0 to 2. */
struct end {
    int theirs;           /* what it is a copy of; -1: inherited */
    bool borrowed;        /* `theirs` belongs to a Lua file or to the host */
    int ours;             /* the other end of a pipe, or -1 */
    struct gn_file *file; /* for `ours`, on the stack */
};

struct plan {
    struct gn_spawn how;
    struct end end[3];
};

static const char *const names[] = {"stdin", "stdout", "stderr"};

/* Pushes an array of `n` + 1 pointers, zeroed. */
static char **new_array(lua_State *L, lua_Unsigned n)
{
    char **array = lua_newuserdatauv(L, (n + 1) * sizeof *array, 0);
    memset(array, 0, (n + 1) * sizeof *array);
    return array;
}

/* The list of strings in a field of the options, whose table keeps them. Pushes the
 * array. */
static char **read_list(lua_State *L, const char *field)
{
    lua_getfield(L, 1, field);
    lua_Unsigned n = lua_rawlen(L, -1);
    char **list = new_array(L, n);
    for (lua_Unsigned i = 0; i < n; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        list[i] = (char *)luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    return list;
}

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "="), m = strcspn(b, "=");
    return n == m && memcmp(a, b, n) == 0;
}

static bool is_changed(const char *entry, char *const *changes)
{
    while (*changes && !same_name(entry, *changes))
        changes++;
    return *changes != NULL;
}

/* The host's environment with changes: "NAME=value", or "NAME" for one that goes.
 * Pushes the array. */
static char **read_environment(lua_State *L)
{
    char **changes = read_list(L, "env");
    lua_Unsigned room = lua_rawlen(L, -1) / sizeof *changes, n = 0;
    lua_getfield(L, 1, "clear_env");
    bool clear = lua_toboolean(L, -1);
    for (char **e = environ; e && *e; e++)
        room++;
    char **list = new_array(L, room);
    for (char **e = environ; !clear && e && *e; e++)
        if (!is_changed(*e, changes))
            list[n++] = *e;
    for (; *changes; changes++)
        if (strchr(*changes, '='))
            list[n++] = *changes;
    return list;
}

/* ---- its descriptors: nothing here may raise ---- */

static int open_pipe(struct end *e, bool reads)
{
    int fd[2], r = gn_pipe(fd);
    if (r < 0)
        return r;
    e->ours = fd[!reads];
    e->theirs = fd[reads];
    return 0;
}

static int write_all(int fd, const char *data, size_t n)
{
    while (n > 0) {
        ssize_t r = write(fd, data, n);
        if (r < 0)
            return -errno;
        data += r;
        n -= (size_t)r;
    }
    return lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* Data lies in a file of memory, from which the child reads when it likes to: it can
 * neither keep us waiting nor wait for us. */
static int open_input(struct end *e, const char *data, size_t n)
{
    e->theirs = memfd_create("input", MFD_CLOEXEC);
    return e->theirs < 0 ? -errno : write_all(e->theirs, data, n);
}

static int open_end(lua_State *L, struct plan *p, int i, int value)
{
    struct end *e = &p->end[i];
    luaL_Stream *s = lua_touserdata(L, value);
    size_t n;
    const char *word = s ? NULL : lua_tolstring(L, value, &n);
    e->borrowed = s != NULL;
    if (s) {
        e->theirs = fileno(s->f);
        return e->theirs < 0 ? -errno : 0;
    }
    if (strcmp(word, "pipe") == 0)
        return open_pipe(e, i != STDIN_FILENO);
    if (strcmp(word, "null") == 0) {
        e->theirs = open("/dev/null", O_RDWR | O_CLOEXEC);
        return e->theirs < 0 ? -errno : 0;
    }
    if (strcmp(word, "stdout") == 0) {
        e->borrowed = true;
        e->theirs = p->end[1].theirs >= 0 ? p->end[1].theirs : STDOUT_FILENO;
    }
    return 0;
}

static int open_ends(lua_State *L, struct plan *p, int values, int input)
{
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++) {
        size_t n;
        const char *data = i == 0 ? lua_tolstring(L, input, &n) : NULL;
        r = data ? open_input(&p->end[i], data, n) : open_end(L, p, i, values + i);
    }
    return r;
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void close_theirs(struct plan *p)
{
    for (int i = 0; i < 3; i++)
        if (!p->end[i].borrowed)
            close_fd(p->end[i].theirs);
}

/* Makes the handles of our ends usable. */
static int adopt_ours(struct plan *p)
{
    int r = 0;
    for (int i = 0; i < 3; i++) {
        struct end *e = &p->end[i];
        if (e->ours >= 0 && r == 0)
            r = gn_file_open(e->file, e->ours, i == 0 ? "w" : "r", gn_file_close);
        else
            close_fd(e->ours);
        if (e->ours >= 0 && r == 0 && i == 0)
            setvbuf(e->file->stream.f, NULL, _IONBF, 0); /* it waits for our data */
        e->ours = -1;
    }
    return r;
}

static int start(lua_State *L, struct plan *p, int values, int input, struct handle *h,
                 const char **culprit)
{
    *culprit = p->how.argv[0];
    int r = open_ends(L, p, values, input);
    for (int i = 0; i < 3; i++)
        p->how.fd[i] = p->end[i].theirs;
    if (r == 0)
        r = gn_child_start(&p->how, &h->child, culprit);
    close_theirs(p);
    if (r == 0)
        return adopt_ours(p);
    for (int i = 0; i < 3; i++)
        close_fd(p->end[i].ours);
    return r;
}

/* ---- subprocess.start ---- */

/* Pushes the value that each of the child's descriptors shall have; checks them. */
static int push_values(lua_State *L)
{
    static const char *const words[] = {"pipe", "null", "inherit", "stdout", NULL};
    int first = lua_gettop(L) + 1;
    for (int i = 0; i < 3; i++) {
        lua_getfield(L, 1, names[i]);
        luaL_Stream *s = luaL_testudata(L, -1, LUA_FILEHANDLE);
        if (s && !s->closef)
            luaL_error(L, "genet.process: '%s' is a closed file", names[i]);
        if (!s)
            luaL_checkoption(L, first + i, NULL, words);
    }
    return first;
}

static void push_handles(lua_State *L, struct plan *p, int values)
{
    for (int i = 0; i < 3; i++) {
        const char *word = lua_tostring(L, values + i);
        if (word && strcmp(word, "pipe") == 0)
            p->end[i].file = gn_file_new(L);
        else
            lua_pushnil(L);
    }
}

/* subprocess.start(options) -> child, stdin, stdout, stderr | nil, message, errno.
 * All fields of `options` are there and of the right type, as process.lua makes them.
 */
static int s_start(lua_State *L)
{
    struct plan p = {.how.fd = {-1, -1, -1}};
    const char *culprit;
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstack(L, 2 * LUA_MINSTACK, NULL);
    for (int i = 0; i < 3; i++)
        p.end[i].theirs = p.end[i].ours = -1;
    p.how.argv = read_list(L, "argv");
    p.how.envp = read_environment(L);
    lua_getfield(L, 1, "cwd");
    p.how.cwd = lua_tostring(L, -1);
    lua_getfield(L, 1, "group");
    p.how.group = lua_toboolean(L, -1);
    lua_getfield(L, 1, "input");
    int input = lua_gettop(L), values = push_values(L);
    struct handle *h = lua_newuserdatauv(L, sizeof *h, 0);
    *h = (struct handle){0};
    luaL_setmetatable(L, CHILD);
    push_handles(L, &p, values);
    int r = start(L, &p, values, input, h, &culprit);
    if (r == 0)
        return 4;
    errno = -r;
    return luaL_fileresult(L, 0, culprit);
}

/* ---- a child ---- */

static struct gn_child *check_child(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, CHILD);
    return h->child ? h->child : (luaL_argerror(L, 1, "not started"), NULL);
}

/* child:pid() -> integer */
static int child_pid(lua_State *L)
{
    lua_pushinteger(L, check_child(L)->pid);
    return 1;
}

/* child:wait([seconds]) -> whether it has ended. Waits. Raises "cancelled" or "timeout"
 * when it is interrupted. */
static int child_wait(lua_State *L)
{
    struct gn_child *c = check_child(L);
    int64_t deadline = gn_opt_deadline(L, 2);
    int r = gn_child_wait(c, deadline);
    if (r < 0 && r != -ETIMEDOUT)
        return gn_vm_raise(L, r);
    lua_pushboolean(L, r == 0);
    return 1;
}

/* child:result() of one that has ended -> true | nil, "exit" | "signal" | "timeout",
 * code */
static int child_result(lua_State *L)
{
    const struct gn_child *c = check_child(L);
    if (c->overdue && c->status != -1) {
        luaL_pushfail(L);
        lua_pushliteral(L, "timeout");
        lua_pushinteger(L, WIFSIGNALED(c->status) ? WTERMSIG(c->status)
                                                  : WEXITSTATUS(c->status));
        return 3;
    }
    errno = c->status == -1 ? ECHILD : 0;
    return luaL_execresult(L, c->status);
}

static int signal_of(const char *name)
{
    if (strncmp(name, "SIG", 3) == 0)
        name += 3;
    for (int sig = 1; sig < NSIG; sig++) {
        const char *abbreviation = sigabbrev_np(sig);
        if (abbreviation && strcmp(abbreviation, name) == 0)
            return sig;
    }
    return -1;
}

/* subprocess.signal(name or number) -> its number | nil when there is none */
static int s_signal(lua_State *L)
{
    lua_Integer sig = lua_tointeger(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING)
        sig = signal_of(lua_tostring(L, 1));
    if (sig <= 0 || sig >= NSIG)
        return 0;
    lua_pushinteger(L, sig);
    return 1;
}

/* child:kill(number) -> true | nil, message */
static int child_kill(lua_State *L)
{
    struct gn_child *c = check_child(L);
    int r = gn_child_kill(c, (int)luaL_checkinteger(L, 2));
    if (r == 0) {
        lua_pushboolean(L, true);
        return 1;
    }
    luaL_pushfail(L);
    lua_pushstring(L, r == -ESRCH ? "the process has ended" : strerror(-r));
    return 2;
}

static int64_t check_ns(lua_State *L, int arg)
{
    int64_t deadline = gn_check_deadline(L, arg);
    return deadline == GN_NEVER ? GN_NEVER : deadline - gn_now();
}

/* child:limit(seconds, grace): has it end by then. */
static int child_limit(lua_State *L)
{
    struct gn_child *c = check_child(L);
    int64_t deadline = gn_check_deadline(L, 2);
    if (gn_child_limit(c, deadline, check_ns(L, 3)) < 0)
        return luaL_error(L, "no memory for a deadline");
    return 0;
}

/* child:finish(grace): ends it. Waits, also in an interrupted task. */
static int child_finish(lua_State *L)
{
    struct gn_child *c = check_child(L);
    gn_child_end(c, check_ns(L, 2));
    return 0;
}

static int child_gc(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, CHILD);
    gn_child_discard(h->child);
    h->child = NULL;
    return 0;
}

/* subprocess.release(file): closes our end of a pipe unless it is in use; then the
 * collector will. What is not written is lost. Does not wait. */
static int s_release(lua_State *L)
{
    struct gn_file *f = gn_file_at(L, 1);
    if (!f || !gn_file_is_open(f) || f->user)
        return 0;
    fcntl(f->fd, F_SETFL, fcntl(f->fd, F_GETFL) | O_NONBLOCK);
    f->stream.closef = NULL;
    fclose(f->stream.f);
    return 0;
}

static const luaL_Reg methods[] = {
    {"pid", child_pid},   {"wait", child_wait},   {"result", child_result},
    {"kill", child_kill}, {"limit", child_limit}, {"finish", child_finish},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"start", s_start},
    {"release", s_release},
    {"signal", s_signal},
    {NULL, NULL},
};

int luaopen_genet_subprocess(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_pushliteral(L, "genet.stdio"); /* whose methods lock our handles */
    lua_call(L, 1, 0);
    luaL_newmetatable(L, CHILD);
    lua_pushcfunction(L, child_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}
