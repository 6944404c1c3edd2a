#include "attach.h"

#include "../log.h"
#include "../sched/errand.h"
#include "../vm/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEADER = 32,
    LARGEST = 1 << 20, /* bytes of a frame */
    SLICE = 16         /* calls that are looked at before others run */
};

struct gn_session {
    struct gn_list link; /* in control->sessions */
    struct gn_control *control;
    struct gn_generations
        *generations; /* of the worker, on whose thread it is served */
    unsigned number;  /* of the worker */
    int fd;
    struct gn_fiber *worker; /* runs a command, or NULL */
    struct gn_fiber *reader; /* waits for its end, or NULL */
    char *text;              /* the command */
    bool interrupted;        /* and so shall it end */
};

/* ---- frames ---- */

static bool send_all(int fd, const char *data, size_t n, int flags)
{
    for (ssize_t sent; n > 0; data += sent, n -= (size_t)sent)
        if ((sent = send(fd, data, n, MSG_NOSIGNAL | flags)) <= 0)
            return false;
    return true;
}

static void send_frame(struct gn_session *s, const char *kind, const char *data,
                       size_t n)
{
    char header[HEADER];
    int len = snprintf(header, sizeof header, "%s %zu\n", kind, n);
    if (!send_all(s->fd, header, (size_t)len, n ? MSG_MORE : 0) ||
        !send_all(s->fd, data, n, 0))
        s->interrupted = true;
}

static bool receive(int fd, char *buf, size_t n)
{
    for (ssize_t got; n > 0; buf += got, n -= (size_t)got)
        if ((got = recv(fd, buf, n, 0)) <= 0)
            return false;
    return true;
}

/* Reads "KIND LENGTH" and the bytes, which it returns with a NUL behind them; NULL at
 * the end of the stream, or when it is no frame. */
static char *read_frame(int fd, char kind[HEADER])
{
    char line[HEADER];
    size_t n = 0, length;
    while (n + 1 < sizeof line && receive(fd, line + n, 1) && line[n] != '\n')
        n++;
    if (line[n] != '\n')
        return NULL;
    line[n] = '\0';
    if (sscanf(line, "%15s %zu", kind, &length) != 2 || length > LARGEST)
        return NULL;
    char *text = malloc(length + 1);
    if (text && receive(fd, text, length)) {
        text[length] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

/* ---- commands ---- */

/* A text that is written, then sent as one frame. */
struct page {
    FILE *out;
    char *text;
    size_t size;
};

static bool begin_page(struct page *p)
{
    *p = (struct page){0};
    p->out = open_memstream(&p->text, &p->size);
    return p->out != NULL;
}

static void send_page(struct gn_session *s, struct page *p, const char *kind)
{
    fclose(p->out);
    if (p->size > 0)
        send_frame(s, kind, p->text, p->size);
    free(p->text);
}

static const char *complain(struct gn_session *s, const char *why)
{
    send_frame(s, "err", why, strlen(why));
    return "failed";
}

/* The states that there are, the one that serves first; NULL behind them. */
static void find_apps(const struct gn_session *s, struct gn_app *apps[3])
{
    const struct gn_generations *gs = s->generations;
    apps[0] = gs->current ? gs->current : gs->retiring;
    apps[1] = gs->current ? gs->retiring : NULL;
    apps[2] = NULL;
}

/* The one of this number, or NULL. */
static struct gn_app *find_app(const struct gn_session *s, unsigned long number)
{
    struct gn_app *apps[3], **app = apps;
    find_apps(s, apps);
    while (*app && (*app)->vm.number != number)
        app++;
    return *app;
}

static struct gn_call *find_call(const struct gn_session *s, unsigned long id)
{
    struct gn_app *apps[3];
    find_apps(s, apps);
    for (int i = 0; apps[i]; i++) {
        struct gn_call *c = gn_inspect_find(&apps[i]->vm, id);
        if (c)
            return c;
    }
    return NULL;
}

/* Writes some calls of a state from `*id` on, and sets it to the last of them: until
 * the next time they may come and go. Returns how many. */
static int list_some(const struct gn_vm *vm, unsigned long *id, FILE *out)
{
    int n = 0;
    struct gn_call *c = gn_inspect_next(vm, *id);
    for (; c && n < SLICE; n++) {
        gn_inspect_brief(c, out);
        *id = c->id;
        bool last = c->link.next == &vm->calls;
        c = last ? NULL : gn_container_of(c->link.next, struct gn_call, link);
    }
    return n;
}

/* Lists the calls of a state, others running meanwhile. Returns how many there were. */
static size_t list_app(struct gn_session *s, unsigned number)
{
    unsigned long id = 0;
    size_t total = 0;
    struct gn_app *app;
    struct page p;
    while ((app = find_app(s, number)) && !s->interrupted && begin_page(&p)) {
        int n = list_some(&app->vm, &id, p.out);
        send_page(s, &p, "out");
        if (n == 0)
            break;
        total += (size_t)n;
        gn_yield();
    }
    return total;
}

static const char *do_tasks(struct gn_session *s, const char *arg)
{
    struct gn_app *apps[3];
    size_t total = 0;
    char text[64];
    (void)arg;
    find_apps(s, apps);
    unsigned numbers[] = {apps[0] ? apps[0]->vm.number : 0,
                          apps[0] && apps[1] ? apps[1]->vm.number : 0};
    for (int i = 0; i < 2 && numbers[i]; i++)
        total += list_app(s, numbers[i]);
    int len = snprintf(text, sizeof text, "%zu calls\n", total);
    send_frame(s, "out", text, (size_t)len);
    return "ok";
}

static const char *do_task(struct gn_session *s, const char *arg)
{
    struct gn_call *c = find_call(s, strtoul(arg, NULL, 10));
    struct page p;
    if (!c)
        return complain(s, "there is no such call; 'tasks' lists them\n");
    if (!begin_page(&p))
        return "failed";
    gn_inspect_full(c, p.out);
    send_page(s, &p, "out");
    return "ok";
}

static const char *do_cancel(struct gn_session *s, const char *arg)
{
    struct gn_call *c = find_call(s, strtoul(arg, NULL, 10));
    if (!c)
        return complain(s, "there is no such call; 'tasks' lists them\n");
    if (c->fiber == gn_fiber_self())
        return complain(s, "that is this command\n");
    gn_scope_cancel(&c->scope, -ECANCELED);
    return "ok";
}

/* A verb of the control socket, which is obeyed on the thread of that. */
struct wish {
    struct gn_control *control;
    const char *verb;
    FILE *out;
    bool granted;
};

static void grant(void *arg)
{
    struct wish *w = arg;
    w->granted = gn_control_run(w->control, w->verb, w->out);
}

static const char *do_verb(struct gn_session *s, const char *verb)
{
    struct page p;
    if (!begin_page(&p))
        return "failed";
    struct wish w = {.control = s->control, .verb = verb, .out = p.out};
    if (s->generations->sched == s->control->sched)
        grant(&w);
    else if (gn_elsewhere(s->control->sched, "console", grant, &w) < 0)
        fputs("out of memory\n", p.out);
    send_page(s, &p, w.granted ? "out" : "err");
    return w.granted ? "ok" : "failed";
}

static const char *do_status(struct gn_session *s, const char *arg)
{
    (void)arg;
    return do_verb(s, "status");
}

static const char *do_reload(struct gn_session *s, const char *arg)
{
    (void)arg;
    return do_verb(s, "reload");
}

static const char *do_log(struct gn_session *s, const char *arg)
{
    char text[64];
    int level = *arg ? gn_level_of(arg) : (int)gn_log_level();
    if (level < 0)
        return complain(s, "a level is error, warn, info or debug\n");
    gn_log_set_level((enum gn_level)level);
    int n = snprintf(text, sizeof text, "the log has what is %s and worse\n",
                     gn_level_name((enum gn_level)level));
    send_frame(s, "out", text, (size_t)n);
    return "ok";
}

static void put_memory(FILE *out, const struct gn_app *a)
{
    fprintf(out, "Lua memory of generation %u: %d KB\n", a->vm.number,
            lua_gc(a->vm.L, LUA_GCCOUNT));
}

static const char *do_memory(struct gn_session *s, const char *arg)
{
    struct gn_app *apps[3];
    struct page p;
    unsigned long pages = 0;
    (void)arg;
    if (!begin_page(&p))
        return "failed";
    find_apps(s, apps);
    for (int i = 0; apps[i]; i++)
        put_memory(p.out, apps[i]);
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*u %lu", &pages) == 1)
        fprintf(p.out, "resident memory: %lu KB\n",
                pages * ((unsigned long)sysconf(_SC_PAGESIZE) / 1024));
    if (f)
        fclose(f);
    fprintf(p.out, "fibers: %zu\n", s->generations->sched->fibers);
    send_page(s, &p, "out");
    return "ok";
}

static const char *do_workers(struct gn_session *s, const char *arg)
{
    const struct gn_control_workers *ws = &s->control->workers;
    struct page p;
    (void)arg;
    if (!begin_page(&p))
        return "failed";
    if (ws->tell) {
        ws->tell(ws->arg, p.out);
        fprintf(p.out, "this is worker %u\n", s->number);
    } else {
        fprintf(p.out, "0  pid %d\n", (int)getpid());
    }
    send_page(s, &p, "out");
    return "ok";
}

static void write_out(void *arg, const char *text, size_t n)
{
    send_frame(arg, "out", text, n);
}

/* "@3 code" is for generation 3. */
static const char *do_eval(struct gn_session *s, const char *text)
{
    static const char *const outcomes[] = {"ok", "failed", "more"};
    char *end = NULL;
    unsigned long number = *text == '@' ? strtoul(text + 1, &end, 10) : 0;
    struct gn_app *app = end ? find_app(s, number) : s->generations->current;
    text = end ? end : text;
    if (!app)
        return complain(s, end ? "there is no such generation\n"
                               : "this worker has not loaded the scripts yet\n");
    struct gn_eval e = {.text = text, .write = write_out, .arg = s};
    gn_app_eval(app, &e);
    return outcomes[e.outcome];
}

/* In steps, so that others run meanwhile. */
static const char *do_gc(struct gn_session *s, const char *arg)
{
    (void)arg;
    return do_eval(s, "local before = collectgarbage('count') "
                      "repeat require('genet.core').yield() "
                      "until collectgarbage('step', 100) "
                      "print(('%d KB were freed, %d KB are left'):format("
                      "math.max(0, before - collectgarbage('count')) // 1 | 0, "
                      "collectgarbage('count') // 1 | 0))");
}

static const char *do_help(struct gn_session *s, const char *arg);

static const struct command {
    const char *name, *arg; /* NULL: takes none */
    const char *help;
    const char *(*fn)(struct gn_session *, const char *arg);
} commands[] = {
    {"tasks", NULL, "lists what runs and waits, with Lua stacks", do_tasks},
    {"task", "ID", "shows all of one, with local variables", do_task},
    {"cancel", "ID", "cancels it", do_cancel},
    {"eval", "[@N] CODE", "runs Lua code, in generation N; plain code does it, too",
     do_eval},
    {"reload", NULL, "loads the scripts again", do_reload},
    {"status", NULL, "tells how the host does", do_status},
    {"gc", NULL, "collects Lua's garbage", do_gc},
    {"memory", NULL, "tells what is used", do_memory},
    {"log", "[LEVEL]", "shows or sets what is logged", do_log},
    {"workers", NULL, "lists the host's workers, for --worker", do_workers},
    {"help", NULL, "shows this; 'quit' or Ctrl-D leaves", do_help},
};

static const char *do_help(struct gn_session *s, const char *arg)
{
    struct page p;
    (void)arg;
    if (!begin_page(&p))
        return "failed";
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(p.out, "%-8s%-10s %s\n", commands[i].name,
                commands[i].arg ? commands[i].arg : "", commands[i].help);
    send_page(s, &p, "out");
    return "ok";
}

/* Finds the command that a text is, and its argument; NULL: it is code. */
static const struct command *parse(const char *text, const char **arg)
{
    size_t n = strcspn(text, " \t\n");
    *arg = text + n + strspn(text + n, " \t\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *c = &commands[i];
        if (strlen(c->name) == n && memcmp(c->name, text, n) == 0 && (c->arg || !**arg))
            return c;
    }
    return NULL;
}

/* Without blanks around it. */
static char *trim(char *text)
{
    size_t n = strlen(text);
    while (n > 0 && strchr(" \t\r\n", text[n - 1]))
        text[--n] = '\0';
    return text + strspn(text, " \t\r\n");
}

static void run_command(void *arg)
{
    struct gn_session *s = arg;
    const char *rest, *text = trim(s->text);
    const struct command *c = parse(text, &rest);
    const char *outcome = c ? c->fn(s, rest) : *text ? do_eval(s, text) : "ok";
    send_frame(s, "done", outcome, strlen(outcome));
    free(s->text);
    s->text = NULL;
    s->worker = NULL;
    if (s->reader)
        gn_wake(s->reader);
}

/* ---- the session ---- */

static void interrupt(struct gn_session *s)
{
    s->interrupted = true;
    if (s->worker)
        gn_vm_interrupt(s->worker, -ECANCELED);
}

/* Takes the text. Returns false when the client does not keep to the protocol. */
static bool start_command(struct gn_session *s, char *text)
{
    s->interrupted = false;
    s->text = text;
    s->worker = gn_fiber_new(s->generations->sched, "attach", run_command, s);
    return s->worker != NULL;
}

static bool obey(struct gn_session *s, const char *kind, char *text)
{
    if (strcmp(kind, "run") == 0 && !s->worker)
        return start_command(s, text);
    free(text);
    if (strcmp(kind, "interrupt") != 0)
        return false;
    interrupt(s);
    return true;
}

/* What the client has started goes with it. */
static void finish(struct gn_session *s)
{
    shutdown(s->fd, SHUT_RDWR);
    interrupt(s);
    s->reader = gn_fiber_self();
    while (s->worker)
        gn_park_shielded(GN_NEVER);
    free(s->text);
}

/* On the worker's thread. */
static void converse(void *arg)
{
    struct gn_session *s = arg;
    char kind[HEADER], *text;
    if (send_all(s->fd, "ok\n", 3, 0))
        while ((text = read_frame(s->fd, kind)) && obey(s, kind, text))
            continue;
    finish(s);
}

static void serve(struct gn_session *s)
{
    gn_list_append(&s->control->sessions, &s->link);
    if (s->number)
        gn_log(GN_INFO, "a console has been attached to worker %u", s->number);
    else
        gn_log(GN_INFO, "a console has been attached");
    if (s->generations->sched == s->control->sched)
        converse(s);
    else if (gn_elsewhere(s->generations->sched, "console", converse, s) < 0)
        dprintf(s->fd, "failed\nout of memory\n");
    gn_list_del(&s->link);
}

/* ---- whose it is ---- */

static void refuse(const struct gn_control *c, int fd, const char *worker)
{
    if (c->workers.tell)
        dprintf(fd, "failed\nthere is no worker '%s'; 'workers' lists them\n", worker);
    else
        dprintf(fd, "failed\nthere is no worker '%s': this host has one, 0\n", worker);
}

/* Tells where the console of a process is. Returns whether there is one. */
static bool redirect(const struct gn_control *c, int fd, unsigned number)
{
    char path[sizeof c->address.sun_path + 16];
    if (!c->workers.place ||
        !c->workers.place(c->workers.arg, number, path, sizeof path))
        return false;
    dprintf(fd, "moved\n%s\n", path);
    return true;
}

static struct gn_generations *find_worker(struct gn_control *c, unsigned number)
{
    if (number == c->workers.self)
        return c->generations;
    return c->workers.find ? c->workers.find(c->workers.arg, number) : NULL;
}

void gn_attach_serve(struct gn_control *control, int fd, const char *worker)
{
    struct gn_session s = {.control = control, .fd = fd};
    char *end;
    if (control->fd < 0)
        return; /* the host ends */
    s.number = *worker ? (unsigned)strtoul(worker, &end, 10) : control->workers.self;
    if (redirect(control, fd, s.number))
        return;
    bool good = !*worker || (end != worker && !*end);
    s.generations = good ? find_worker(control, s.number) : NULL;
    if (s.generations)
        serve(&s);
    else
        refuse(control, fd, *worker ? worker : "0");
}

void gn_attach_end(struct gn_control *c)
{
    for (struct gn_list *l = c->sessions.next; l != &c->sessions; l = l->next)
        shutdown(gn_container_of(l, struct gn_session, link)->fd, SHUT_RDWR);
}
