#include "console.h"

#include "sched/sched.h"
#include "vm/vm.h"

#include <dlfcn.h>
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* An eventfd that SIGINT writes to; a handler, not a signalfd, because children must
 * not inherit a blocked signal. Written once, before the handler is there. */
static int interrupts = -1;

static void on_interrupt(int sig)
{
    int saved_errno = errno;
    (void)sig;
    eventfd_write(interrupts, 1);
    errno = saved_errno;
}

/* Has Ctrl-C be told by console.wait() from now on. */
static void watch_interrupts(lua_State *L)
{
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    if (interrupts >= 0)
        return;
    interrupts = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (interrupts < 0)
        luaL_error(L, "eventfd: %s", strerror(errno));
    sigaction(SIGINT, &action, NULL);
}

/* console.wait(input) -> "interrupt" when Ctrl-C has been pressed | "input" when there
 * is something to read, if that is waited for too. Waits. */
static int console_wait(lua_State *L)
{
    eventfd_t count;
    watch_interrupts(L);
    struct gn_wait waits[] = {{.fd = interrupts, .events = EPOLLIN},
                              {.fd = STDIN_FILENO, .events = EPOLLIN}};
    int r = gn_wait_any(waits, lua_toboolean(L, 1) ? 2 : 1, GN_NEVER);
    if (r < 0)
        return gn_vm_raise(L, r);
    bool interrupted = eventfd_read(interrupts, &count) == 0;
    lua_pushstring(L, interrupted ? "interrupt" : "input");
    return 1;
}

/* console.is_terminal() -> whether somebody types */
static int console_is_terminal(lua_State *L)
{
    lua_pushboolean(L, isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
    return 1;
}

/* console.pin(path): a library that stays when the state ends. Readline owns memory to
 * the end of the process. */
static int console_pin(lua_State *L)
{
    void *library = dlopen(luaL_checkstring(L, 1), RTLD_LAZY | RTLD_NODELETE);
    if (library)
        dlclose(library);
    return 0;
}

static const luaL_Reg console[] = {
    {"wait", console_wait},
    {"is_terminal", console_is_terminal},
    {"pin", console_pin},
    {NULL, NULL},
};

int luaopen_genet_console(lua_State *L)
{
    luaL_newlib(L, console);
    return 1;
}
