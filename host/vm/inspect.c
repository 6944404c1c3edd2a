#include "inspect.h"

#include <string.h>

struct gn_call *gn_inspect_next(const struct gn_vm *vm, unsigned long id)
{
    for (struct gn_list *l = vm->calls.next; l != &vm->calls; l = l->next) {
        struct gn_call *c = gn_container_of(l, struct gn_call, link);
        if (c->id > id) /* they stand in the order in which they began */
            return c;
    }
    return NULL;
}

struct gn_call *gn_inspect_find(const struct gn_vm *vm, unsigned long id)
{
    struct gn_call *c = id > 0 ? gn_inspect_next(vm, id - 1) : NULL;
    return c && c->id == id ? c : NULL;
}

/* ---- what a call is ---- */

/* Bytes that could command a terminal, and newlines, as dots. */
static void put_plain(FILE *out, const char *text, size_t most)
{
    for (size_t i = 0; text[i] && i < most; i++)
        fputc((unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '.' : text[i], out);
}

static void put_place(FILE *out, const lua_Debug *ar)
{
    put_plain(out, *ar->source == '@' ? ar->source + 1 : ar->short_src, 200);
    if (ar->currentline > 0)
        fprintf(out, ":%d", ar->currentline);
}

static void put_who(FILE *out, const struct gn_call *c)
{
    char who[256] = "a script";
    if (c->kind != GN_CALL_HOST) {
        fputs(c->kind == GN_CALL_TASK ? "task" : "background task", out);
        return;
    }
    if (c->loads)
        snprintf(who, sizeof who, "loading the scripts");
    else if (c->vm->describe)
        c->vm->describe(c, who, sizeof who);
    put_plain(out, who, sizeof who);
}

/* The C function in which the call waits, as its caller names it. */
static const char *waits_in(lua_State *L, lua_Debug *ar)
{
    if (!lua_getstack(L, 0, ar) || !lua_getinfo(L, "Sn", ar) || *ar->what != 'C')
        return NULL;
    return ar->name;
}

static lua_State *innermost(const struct gn_call *c)
{
    return c->guard.running ? c->guard.running : c->L;
}

static double seconds(int64_t ns)
{
    return (double)ns / (double)GN_SECOND;
}

/* "waits for 1.2 s in sleep, for 8.8 s more" */
static void put_state(FILE *out, const struct gn_call *c)
{
    const struct gn_fiber *f = c->fiber;
    lua_Debug ar;
    if (!f->parked) {
        fputs(f == gn_fiber_self() ? "runs" : "is ready to run", out);
        return;
    }
    int64_t now = f->sched->now;
    const char *in = waits_in(innermost(c), &ar);
    fprintf(out, "waits for %.1f s", seconds(now - f->since));
    if (in)
        fprintf(out, " in %s", in);
    if (gn_timer_armed(&f->timer))
        fprintf(out, ", for %.1f s more at most", seconds(f->timer.deadline - now));
}

static void put_head(FILE *out, const struct gn_call *c)
{
    fprintf(out, "%lu  ", c->id);
    put_who(out, c);
    fprintf(out, "  generation %u, began %.1f s ago, ", c->vm->number,
            seconds(c->fiber->sched->now - c->born));
    put_state(out, c);
    fputs(gn_fiber_cause(c->fiber) ? ", cancelled\n" : "\n", out);
}

/* ---- stacks ---- */

static bool is_framework(const struct gn_call *c, const lua_Debug *ar)
{
    return *ar->source == '@' &&
           strncmp(ar->source + 1, c->vm->framework, strlen(c->vm->framework)) == 0;
}

static void put_function(FILE *out, const lua_Debug *ar)
{
    fputs("      ", out);
    put_place(out, ar);
    if (ar->name)
        fprintf(out, " in %s '%.60s'\n", *ar->namewhat ? ar->namewhat : "function",
                ar->name);
    else
        fprintf(out, " in %s\n", *ar->what == 'm' ? "the main chunk" : "a function");
}

/* The functions of scripts in one Lua thread. Returns how many there were. */
static int put_thread_brief(FILE *out, const struct gn_call *c, lua_State *L, int most)
{
    lua_Debug ar;
    int shown = 0;
    for (int level = 0; shown < most && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sln", &ar);
        if (*ar.what == 'C' || is_framework(c, &ar))
            continue;
        put_function(out, &ar);
        shown++;
    }
    return shown;
}

void gn_inspect_brief(const struct gn_call *c, FILE *out)
{
    enum { MOST = 8 };
    put_head(out, c);
    int shown = put_thread_brief(out, c, innermost(c), MOST);
    if (innermost(c) != c->L)
        put_thread_brief(out, c, c->L, MOST - shown);
}

static void put_string(FILE *out, const char *text, size_t n)
{
    enum { SHOWN = 60 };
    fputc('"', out);
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        unsigned char b = (unsigned char)text[i];
        if (b == '"' || b == '\\' || b < 0x20 || b >= 0x7f)
            fprintf(out, b == '\n' ? "\\n" : b == '"' ? "\\\"" : "\\%03u", b);
        else
            fputc(b, out);
    }
    fputc('"', out);
    if (n > SHOWN)
        fprintf(out, "... %zu bytes", n);
}

/* No metamethod is asked: it would run. */
static void put_value(FILE *out, lua_State *L)
{
    size_t n;
    switch (lua_type(L, -1)) {
    case LUA_TNIL:
        fputs("nil", out);
        break;
    case LUA_TBOOLEAN:
        fputs(lua_toboolean(L, -1) ? "true" : "false", out);
        break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            fprintf(out, "%lld", (long long)lua_tointeger(L, -1));
        else
            fprintf(out, "%.14g", lua_tonumber(L, -1));
        break;
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, -1, &n);
        put_string(out, text, n);
        break;
    }
    default:
        fprintf(out, "%s: %p", lua_typename(L, lua_type(L, -1)), lua_topointer(L, -1));
    }
}

static void put_locals(FILE *out, lua_State *L, lua_Debug *ar)
{
    const char *name;
    for (int i = 1; lua_checkstack(L, 1) && (name = lua_getlocal(L, ar, i)); i++) {
        if (*name != '(') {
            fprintf(out, "          %s = ", name);
            put_value(out, L);
            fputc('\n', out);
        }
        lua_pop(L, 1);
    }
}

static void put_thread_full(FILE *out, lua_State *L)
{
    enum { MOST = 100 };
    lua_Debug ar;
    int level = 0;
    for (; level < MOST && lua_getstack(L, level, &ar); level++) {
        lua_getinfo(L, "Sln", &ar);
        put_function(out, &ar);
        if (*ar.what != 'C')
            put_locals(out, L, &ar);
    }
    if (level == MOST)
        fputs("      ...\n", out);
}

void gn_inspect_full(const struct gn_call *c, FILE *out)
{
    put_head(out, c);
    put_thread_full(out, innermost(c));
    if (innermost(c) == c->L)
        return;
    fputs("    called by\n", out);
    put_thread_full(out, c->L);
}
