/* The command line: its options are read by lua/genet/cli.lua; here they become a
 * server or a script. */
#include "genet.h"
#include "libc/real.h"
#include "log.h"
#include "script.h"
#include "server/attach.h"
#include "server/control.h"
#include "systemd.h"
#include "vm/shared.h"
#include "vm/vm.h"

#include <lauxlib.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_FAILED = 1, EXIT_MISUSE = 2 };

struct command {
    int argc;
    char **argv;
    enum { RUNSERVER, RUN, PATCHES, RELOAD, STATUS, ATTACH, MANAGE } verb;
    struct genet_options options;             /* of `runserver` */
    struct gn_limits limits;                  /* of `run` */
    char *path;                               /* what to serve, or to run */
    bool patch;                               /* of `run`: see lua/genet/patch.lua */
    char **certificates, **keys, *client_ca;  /* of `runserver` */
    char *access_log, *log_format, *log_file; /* of `runserver`; or NULL */
    char *worker;                             /* of `attach`; or NULL */
    int status;                               /* of the same */
    char *bus;                                /* URL, or NULL */
    char *state;                              /* directory, or NULL */
    size_t shared_memory;                     /* of `run` */
    char *control;                            /* path of the control socket, or NULL */
    char **config;                            /* "NAME=VALUE" for the app */
    char **list; /* addresses to listen on, or the script's arguments; ended by NULL */
};

/* ---- the options ---- */

static char *copy_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    char *copy = strdup(luaL_checkstring(L, -1));
    lua_pop(L, 1);
    return copy ? copy : (abort(), NULL);
}

static char *optional_field(lua_State *L, const char *name)
{
    bool there = lua_getfield(L, -1, name) != LUA_TNIL;
    lua_pop(L, 1);
    return there ? copy_field(L, name) : NULL;
}

static lua_Number number_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    lua_Number n = luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return n;
}

static bool bool_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    bool value = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return value;
}

static size_t size_field(lua_State *L, const char *name)
{
    return (size_t)number_field(L, name);
}

/* A list of strings, ended by NULL. */
static char **list_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    lua_Integer n = luaL_len(L, -1);
    char **list = calloc((size_t)n + 1, sizeof *list);
    for (lua_Integer i = 0; list && i < n; i++) {
        lua_geti(L, -1, i + 1);
        list[i] = strdup(luaL_checkstring(L, -1));
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return list ? list : (abort(), NULL);
}

static void read_server(lua_State *L, struct command *c)
{
    struct genet_options *o = &c->options;
    genet_options_init(o);
    o->path = c->path = copy_field(L, "path");
    c->list = list_field(L, "listen");
    o->listen = (const char *const *)c->list;
    c->config = list_field(L, "config");
    o->config = (const char *const *)c->config;
    c->certificates = list_field(L, "cert");
    o->certificates = (const char *const *)c->certificates;
    c->keys = list_field(L, "key");
    o->keys = (const char *const *)c->keys;
    o->client_ca = c->client_ca = optional_field(L, "client_ca");
    o->bus = c->bus = optional_field(L, "bus");
    o->control = c->control = optional_field(L, "control");
    o->state = c->state = optional_field(L, "state");
    o->shared_memory = size_field(L, "shared_memory");
    o->max_connections = (int)number_field(L, "max_connections");
    o->max_body = (long long)number_field(L, "max_body");
    o->max_head = size_field(L, "max_head");
    o->max_per_ip = (int)number_field(L, "max_per_ip");
    o->redirect_https = bool_field(L, "redirect_https");
    o->head_timeout = number_field(L, "head_timeout");
    o->keep_alive = number_field(L, "keep_alive");
    o->drain = number_field(L, "drain");
    o->load_timeout = number_field(L, "load_timeout");
    o->patch = bool_field(L, "patch");
    o->reload = bool_field(L, "reload");
    o->debug = bool_field(L, "debug");
    o->threads = (int)number_field(L, "threads");
    o->processes = (int)number_field(L, "processes");
    o->slice = number_field(L, "slice_ms") / 1000;
    o->cpu_limit = number_field(L, "cpu_limit");
    o->ws_queue = size_field(L, "ws_queue");
    o->ws_ping = number_field(L, "ws_ping");
    o->access_log = c->access_log = optional_field(L, "access_log");
    o->log_format = c->log_format = copy_field(L, "access_format");
    o->request_ids = bool_field(L, "request_id");
    c->log_file = optional_field(L, "log_file");
    gn_log_set_json(bool_field(L, "log_json"));
    char *level = copy_field(L, "log_level");
    gn_log_set_level((enum gn_level)gn_level_of(level));
    free(level);
}

static void read_script(lua_State *L, struct command *c)
{
    c->patch = bool_field(L, "patch");
    c->path = copy_field(L, "file");
    c->list = list_field(L, "args");
    c->state = optional_field(L, "state");
    c->shared_memory = size_field(L, "shared_memory");
    c->limits.slice = number_field(L, "slice_ms") / 1000;
    c->limits.cpu = number_field(L, "cpu_limit");
    c->limits.quiet = true;
}

static void read_attach(lua_State *L, struct command *c)
{
    c->control = optional_field(L, "target");
    c->worker = copy_field(L, "worker");
    c->list = list_field(L, "execute");
}

static void push_argv(lua_State *L, const struct command *c)
{
    lua_createtable(L, c->argc, 1);
    for (int i = 0; i < c->argc; i++) {
        lua_pushstring(L, i == 0 ? "genet" : c->argv[i]);
        lua_rawseti(L, -2, i);
    }
}

static const char *const verbs[] = {"runserver", "run",    "patches", "reload",
                                    "status",    "attach", NULL}; /* MANAGE */

/* What is none of ours is a verb of the manager, see script.h. */
static int verb_named(const char *name)
{
    int verb = 0;
    while (verbs[verb] && (!name || strcmp(name, verbs[verb]) != 0))
        verb++;
    return verb;
}

/* Fills in the command; the Lua side ends the process for --help and for misuse. */
static int read_command(lua_State *L)
{
    struct command *c = lua_touserdata(L, 1);
    gn_vm_push_function(L, "genet.cli", "parse");
    push_argv(L, c);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "command");
    c->verb = verb_named(lua_tostring(L, -1));
    lua_pop(L, 1);
    if (c->verb == RUNSERVER)
        read_server(L, c);
    else if (c->verb == RUN)
        read_script(L, c);
    else if (c->verb == ATTACH)
        read_attach(L, c);
    else if (c->verb == RELOAD || c->verb == STATUS)
        c->control = optional_field(L, "control");
    return 0;
}

/* Runs fn(L) with `arg` in a state of its own. Returns 0, or -1 after it has told why
 * not.
 */
static int in_lua(lua_CFunction fn, void *arg)
{
    struct gn_vm vm;
    if (gn_vm_open(&vm) < 0)
        return -1;
    lua_pushcfunction(vm.L, fn);
    lua_pushlightuserdata(vm.L, arg);
    int r = lua_pcall(vm.L, 1, 0, 0);
    if (r != LUA_OK)
        fprintf(stderr, "genet: %s\n", lua_tostring(vm.L, -1));
    gn_vm_close(&vm);
    return r == LUA_OK ? 0 : -1;
}

static void free_list(char **list)
{
    for (char **s = list; s && *s; s++)
        free(*s);
    free(list);
}

static void free_command(struct command *c)
{
    free_list(c->list);
    free_list(c->config);
    free_list(c->certificates);
    free_list(c->keys);
    free(c->client_ca);
    free(c->bus);
    free(c->control);
    free(c->state);
    free(c->worker);
    free(c->access_log);
    free(c->log_format);
    free(c->log_file);
    free(c->path);
}

/* ---- runserver ---- */

static struct genet *server; /* for the signal handler only */

static void on_signal(int sig)
{
    static volatile sig_atomic_t seen;
    (void)sig;
    if (seen)
        _exit(EXIT_FAILED); /* whoever asks twice does not want to wait */
    seen = 1;
    genet_stop(server);
}

static void on_hangup(int sig)
{
    (void)sig;
    genet_reload(server);
}

/* SIGTTIN: one more process; SIGTTOU: one fewer. */
static void on_scale(int sig)
{
    genet_scale(server, sig == SIGTTIN ? 1 : -1);
}

static void on_user_signal(int sig)
{
    (void)sig;
    genet_reopen_logs(server);
}

static void on_ready(struct genet *g, void *arg)
{
    (void)arg;
    printf("genet: listening on %s\n", genet_url(g));
    fflush(stdout);
}

static void watch_signals(struct genet *g, bool processes)
{
    struct sigaction stop = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    server = g;
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    struct sigaction reload = {.sa_handler = on_hangup, .sa_flags = SA_RESTART};
    sigaction(SIGHUP, &reload, NULL);
    struct sigaction reopen = {.sa_handler = on_user_signal, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &reopen, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (processes) {
        struct sigaction scale = {.sa_handler = on_scale, .sa_flags = SA_RESTART};
        sigaction(SIGTTIN, &scale, NULL);
        sigaction(SIGTTOU, &scale, NULL);
    }
}

static int run_server(struct command *c)
{
    char error[256], **sockets = NULL;
    if (c->log_file && gn_log_open(c->log_file, error, sizeof error) < 0) {
        fprintf(stderr, "genet: %s\n", error);
        return EXIT_FAILED;
    }
    int passed = gn_systemd_listen(c->list, &sockets, error, sizeof error);
    if (passed < 0) {
        fprintf(stderr, "genet: %s\n", error);
        return EXIT_FAILED;
    }
    if (passed > 0) {
        free_list(c->list);
        c->list = sockets;
        c->options.listen = (const char *const *)sockets;
    }
    c->options.systemd = true;
    c->options.ready = on_ready;
    if (c->bus && genet_check_bus(c->bus, error, sizeof error) < 0) {
        fprintf(stderr, "genet: option '--bus': %s\n", error);
        return EXIT_MISUSE;
    }
    struct genet *g = genet_new(&c->options, error, sizeof error);
    if (!g) {
        fprintf(stderr, "genet: %s\n", error);
        return EXIT_FAILED;
    }
    watch_signals(g, c->options.processes > 0);
    int r = genet_run(g);
    if (r < 0 && *genet_error(g)) /* one of several processes tells its parent */
        fprintf(stderr, "genet: %s\n", genet_error(g));
    genet_free(g);
    return r < 0 ? EXIT_FAILED : 0;
}

/* ---- run ---- */

/* A script that calls app:run() is then served, as the command line would. */
static int run_script(struct command *c)
{
    static struct command serving; /* as in main() */
    char **line = NULL;
    const struct gn_script_options o = {.limits = &c->limits,
                                        .patch = c->patch,
                                        .state = c->state,
                                        .shared_memory = c->shared_memory};
    int status = gn_script_run(c->path, c->list, &o, &line);
    if (!line)
        return status;
    serving = (struct command){.argv = line};
    while (line[serving.argc])
        serving.argc++;
    status = in_lua(read_command, &serving) < 0 ? EXIT_MISUSE : run_server(&serving);
    free_command(&serving);
    free_list(line);
    return status;
}

/* ---- patches ---- */

static int print_lua_patches(lua_State *L)
{
    gn_vm_push_function(L, "genet.cli", "print_patches");
    lua_call(L, 0, 0);
    return 0;
}

/* The libc names, then what is patched in Lua, and what still blocks. */
static int print_patches(void)
{
    for (const struct gn_name *n = gn_names; n->name; n++)
        printf("%-24s %s\n", n->name, n->how);
    return in_lua(print_lua_patches, NULL) < 0 ? EXIT_FAILED : 0;
}

/* ---- what is written in Lua ---- */

static int manage(char **argv)
{
    struct gn_limits limits = {.slice = 0.05, .quiet = true};
    const struct gn_script_options o = {
        .limits = &limits, .patch = true, .shared_memory = GN_SHARED_MEMORY};
    return gn_script_manage(argv, &o);
}

/* ---- attach ---- */

/* Leaves the line on the stack. */
static int read_prompted(lua_State *L)
{
    gn_vm_push_function(L, "genet.reader", "read");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

static char *read_line(void *arg, const char *prompt)
{
    lua_State *L = arg;
    lua_pushcfunction(L, read_prompted);
    lua_pushstring(L, prompt);
    bool there = lua_pcall(L, 1, 1, 0) == LUA_OK && lua_isstring(L, -1);
    char *line = there ? strdup(lua_tostring(L, -1)) : NULL;
    lua_pop(L, 1);
    return line;
}

static int attach(lua_State *L)
{
    struct command *c = lua_touserdata(L, 1);
    const struct gn_attach_options o = {.target = c->control,
                                        .worker = c->worker,
                                        .commands = *c->list ? c->list : NULL,
                                        .read = read_line,
                                        .arg = L};
    c->status = gn_attach(&o);
    gn_vm_push_function(L, "genet.reader", "save");
    lua_call(L, 0, 0);
    return 0;
}

static int run_attach(struct command *c)
{
    return in_lua(attach, c) < 0 ? EXIT_FAILED : c->status;
}

int main(int argc, char **argv)
{
    static struct command
        c; /* not on this stack: a script may call os.exit() on another */
    c = (struct command){.argc = argc, .argv = argv};
    /* No cleaning up at exit: luaossl keeps references, and threads of the pool may
     * still compute. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    if (in_lua(read_command, &c) < 0)
        return EXIT_MISUSE;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL); /* who starts us may have ignored it: no child would tell
                                 how it has ended */
    int status = 0;
    if (c.verb == RUNSERVER)
        status = run_server(&c);
    else if (c.verb == RUN)
        status = run_script(&c);
    else if (c.verb == PATCHES)
        status = print_patches();
    else if (c.verb == MANAGE)
        status = manage(argv);
    else if (c.verb == ATTACH)
        status = run_attach(&c);
    else
        status = gn_control_ask(c.control, verbs[c.verb]);
    free_command(&c);
    return status;
}
