/* io.popen and os.execute. */
#include "files.h"
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRACE (2 * GN_SECOND) /* what a command may take to end, once told to */

/* Waits for the command of a closed pipe. Takes the child. Returns its status, or -1
 * with errno. */
static int wait_for(struct gn_child *c, int *cause)
{
    int r = gn_child_wait(c, GN_NEVER);
    if (r < 0)
        gn_child_end(c, GRACE);
    int status = c->status;
    gn_child_drop(c);
    *cause = r;
    errno = status == -1 ? ECHILD : 0;
    return status;
}

/* The command goes on when its pipe is collected, unless the task that read from it was
 * interrupted: then nobody will ever want to know. */
static int leave_command(struct gn_file *f)
{
    struct gn_child *c = f->child;
    f->child = NULL;
    if (f->interrupted)
        gn_child_discard(c);
    else
        gn_child_drop(c);
    return 0;
}

static int close_pipe(lua_State *L)
{
    struct gn_file *f = lua_touserdata(L, 1);
    int cause;
    fclose(f->stream.f);
    if (f->collected)
        return leave_command(f);
    struct gn_child *c = f->child;
    f->child = NULL;
    int status = wait_for(c, &cause);
    return cause < 0 ? gn_vm_raise(L, cause) : luaL_execresult(L, status);
}

/* Starts a command with one end of a new pipe. Returns the other end or a negative
 * errno. */
static int start(const char *command, bool reads, struct gn_child **child)
{
    char *argv[] = {"sh", "-c", (char *)command, NULL};
    struct gn_spawn how = {.argv = argv, .fd = {-1, -1, -1}};
    const char *culprit;
    int fd[2], r = gn_pipe(fd);
    if (r < 0)
        return r;
    how.fd[reads ? STDOUT_FILENO : STDIN_FILENO] = fd[reads];
    r = gn_child_start(&how, child, &culprit);
    close(fd[reads]);
    if (r < 0)
        close(fd[!reads]);
    return r < 0 ? r : fd[!reads];
}

/* io.popen(command [, mode]). Waits in the methods of what it returns. */
int gn_io_popen(lua_State *L)
{
    const char *command = luaL_checkstring(L, 1), *mode = luaL_optstring(L, 2, "r");
    luaL_argcheck(L, (*mode == 'r' || *mode == 'w') && !mode[1], 2, "invalid mode");
    struct gn_file *f = gn_file_new(L);
    fflush(stdout); /* what was written before the command comes before it */
    int r = start(command, *mode == 'r', &f->child);
    if (r >= 0)
        r = gn_file_open(f, r, mode, close_pipe);
    if (r >= 0)
        return 1;
    gn_child_discard(f->child);
    f->child = NULL;
    errno = -r;
    return luaL_fileresult(L, 0, command);
}

/* os.execute([command]). Waits. */
int gn_os_execute(lua_State *L)
{
    const char *command = luaL_optstring(L, 1, NULL);
    if (!command) {
        lua_pushboolean(L, access("/bin/sh", X_OK) == 0);
        return 1;
    }
    int status = system(command), error = status == -1 ? errno : 0;
    struct gn_fiber *self = gn_fiber_self();
    int cause = self && error ? gn_fiber_cause(self) : 0;
    errno = error;
    return cause < 0 ? gn_vm_raise(L, cause) : luaL_execresult(L, status);
}
