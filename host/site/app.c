#include "app.h"

#include "../log.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

/* ---- calls of a loaded app ---- */

struct call {
    struct gn_app *app;
    const char *method;         /* of the app that is called */
    struct gn_request *request; /* it answers; NULL when it is not about one */
    lua_Integer exchange;       /* the number of that */
};

static void describe(const struct gn_call *c, char *out, size_t room)
{
    const struct call *call = c->arg;
    const struct gn_request *r = call->request;
    if (r)
        snprintf(out, room, "%s %s", r->head->method, r->head->target);
    else
        snprintf(out, room, "app:%s", call->method);
}

/* The id of the request that a call is about. */
static const char *identify(const struct gn_call *c)
{
    for (; c; c = c->outer) {
        const struct call *call = c->arg;
        if (c->kind == GN_CALL_HOST && !c->loads && call->request)
            return gn_request_id(call->request);
    }
    return NULL;
}

/* ---- loading ---- */

struct loading {
    struct gn_app *app;
    const struct gn_app_options *options;
    char *error;
};

static int ref_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

static void call_module(lua_State *L, const char *module, const char *name)
{
    gn_vm_push_function(L, module, name);
    lua_call(L, 0, 0);
}

static void push_list(lua_State *L, char **list)
{
    lua_newtable(L);
    for (lua_Integer i = 0; list && list[i]; i++) {
        lua_pushstring(L, list[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static int load(lua_State *L)
{
    struct loading *l = lua_touserdata(L, 1);
    struct gn_app *a = l->app;
    gn_scope_expire(&gn_call_self()->scope, gn_after(l->options->load_timeout));
    gn_exchanges_register(L, &a->exchanges);
    gn_sockets_register(L, &a->sockets);
    l->options->prepare(L, l->options->arg);
    call_module(L, "genet.log", "capture_print");
    if (l->options->patch)
        call_module(L, "genet.patch", "patch_all");
    gn_vm_push_function(L, "genet.loader", "load");
    lua_pushstring(L, l->options->path);
    push_list(L, l->options->config);
    lua_call(L, 2, 1);
    a->dispatch = ref_field(L, "dispatch");
    a->failed = ref_field(L, "failed");
    a->app = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static void set_error(struct loading *l, const char *text)
{
    free(l->error);
    l->error = strdup(text);
}

/* The message names file and line already; the lines around it show what is meant, and
 * the traceback how it got there. */
static int load_failed(lua_State *L)
{
    struct loading *l = lua_touserdata(L, 1);
    if (gn_call_self()->scope.cause == -ETIME) {
        lua_pushfstring(L, "%s: loading took more than %f s", l->options->path,
                        (lua_Number)l->options->load_timeout / GN_SECOND);
        lua_replace(L, 2);
    }
    set_error(l, luaL_tolstring(L, 2, NULL));
    gn_log(GN_DEBUG, "%s\n%s", l->error, lua_tostring(L, 3));
    gn_vm_push_function(L, "genet.loader", "explain");
    lua_pushstring(L, l->error);
    lua_call(L, 1, 1);
    set_error(l, lua_tostring(L, -1));
    return 0;
}

struct gn_app *gn_app_load(const struct gn_app_options *o, char **error)
{
    struct gn_app *a = calloc(1, sizeof *a);
    struct loading l = {.app = a, .options = o};
    int r = -ENOMEM;
    if (a) {
        gn_exchanges_init(&a->exchanges);
        a->sockets = (struct gn_sockets){&a->exchanges, o->hub};
        a->sources = gn_sources_ref(o->sources);
        r = gn_vm_open(&a->vm);
        a->vm.number = o->number;
        a->vm.role = o->role;
        a->vm.describe = describe;
        a->vm.identify = identify;
        gn_guard_limit(&a->vm, &o->limits);
    }
    if (r == 0)
        r = gn_vm_load(&a->vm, load, &l, load_failed);
    *error = l.error;
    if (r == 0) {
        a->born = gn_now();
        return a;
    }
    if (r == -ENOMEM)
        *error = strdup("out of memory");
    gn_app_end(a);
    return NULL;
}

/* ---- the end ---- */

static int call_method(lua_State *L)
{
    const struct call *c = lua_touserdata(L, 1);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->app);
    lua_getfield(L, -1, c->method);
    lua_rotate(L, -2, 1);
    lua_call(L, 1, 0);
    return 0;
}

static int method_failed(lua_State *L)
{
    gn_log(GN_ERROR, "%s\n%s", luaL_tolstring(L, 2, NULL), lua_tostring(L, 3));
    return 0;
}

void gn_app_keep(struct gn_app *a)
{
    struct call c = {.app = a, .method = "keep"};
    gn_vm_call(&a->vm, call_method, &c, method_failed);
}

void gn_app_retire(struct gn_app *a)
{
    struct call c = {.app = a, .method = "retire"};
    a->vm.retired = true;
    gn_vm_call(&a->vm, call_method, &c, method_failed);
}

unsigned gn_app_drain(struct gn_app *a, int64_t deadline)
{
    gn_vm_wait(&a->vm, GN_CALLS_WORK, deadline);
    gn_vm_cancel(&a->vm);
    return gn_vm_wait(&a->vm, GN_CALLS_ALL, gn_after(GN_ABORT_SECONDS * GN_SECOND));
}

void gn_app_free(struct gn_app *a)
{
    if (!a)
        return;
    gn_vm_close(&a->vm);
    gn_exchanges_term(&a->exchanges);
    gn_sources_unref(a->sources);
    free(a);
}

void gn_app_end(struct gn_app *a)
{
    if (a && a->vm.L) {
        gn_vm_cancel(&a->vm);
        gn_vm_wait(&a->vm, GN_CALLS_ALL, GN_NEVER);
    }
    gn_app_free(a);
}

/* ---- code that is typed ---- */

struct eval_call {
    struct call call; /* first, for describe() */
    struct gn_eval *eval;
};

/* write(text) -> whether somebody reads it: not once the code has ended, whatever has
 * kept the function */
static int eval_write(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    struct gn_eval **box = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushboolean(L, *box != NULL);
    if (*box)
        (*box)->write((*box)->arg, text, n);
    return 1;
}

static void close_box(lua_State *L, struct gn_eval *e)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, e->box);
    struct gn_eval **box = lua_touserdata(L, -1);
    if (box)
        *box = NULL;
    lua_pop(L, 1);
    luaL_unref(L, LUA_REGISTRYINDEX, e->box);
    e->box = LUA_NOREF;
}

static int evaluated(lua_State *L, int status, lua_KContext context)
{
    static const char *const outcomes[] = {"ok", "failed", "more", NULL};
    struct gn_eval *e = ((struct eval_call *)context)->eval;
    (void)status;
    e->outcome = luaL_checkoption(L, -1, NULL, outcomes);
    close_box(L, e);
    return 0;
}

static int eval(lua_State *L)
{
    struct eval_call *c = lua_touserdata(L, 1);
    struct gn_eval **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = c->eval;
    lua_pushvalue(L, -1);
    c->eval->box = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushcclosure(L, eval_write, 1);
    gn_vm_push_function(L, "genet.attach", "run");
    lua_pushstring(L, c->eval->text);
    lua_pushvalue(L, 2);
    lua_callk(L, 2, 1, (lua_KContext)c, evaluated);
    return evaluated(L, LUA_OK, (lua_KContext)c);
}

static int eval_failed(lua_State *L)
{
    struct eval_call *c = lua_touserdata(L, 1);
    size_t n;
    const char *why = luaL_tolstring(L, 2, &n);
    c->eval->write(c->eval->arg, why, n);
    c->eval->write(c->eval->arg, "\n", 1);
    close_box(L, c->eval);
    return 0;
}

void gn_app_eval(struct gn_app *a, struct gn_eval *e)
{
    struct eval_call c = {{.app = a, .method = "console"}, e};
    e->outcome = GN_EVAL_FAILED;
    e->box = LUA_NOREF;
    gn_vm_call(&a->vm, eval, &c, eval_failed);
}

/* ---- answers ---- */

/* Sends what stands on top of the stack: status, head, body. */
static void respond(lua_State *L, struct gn_request *r)
{
    size_t head_len = 0, body_len = 0;
    const char *head = lua_tolstring(L, -2, &head_len),
               *body = lua_tolstring(L, -1, &body_len);
    gn_respond(r, (int)lua_tointeger(L, -3), head, head_len, body, body_len);
}

static int answered(lua_State *L, int status, lua_KContext context)
{
    struct call *c = (struct call *)context;
    (void)status;
    if (lua_isnil(L, -3) || c->request->ws)
        return 0; /* written already, or nothing to write to */
    if (c->request->progress != GN_UNANSWERED)
        return luaL_error(
            L, "the handler returned an answer after it had begun to write one");
    respond(L, c->request);
    return 0;
}

/* lua_pushstring() first compares with strings it has seen at the same address: here
 * always others. */
static void push_text(lua_State *L, const char *text)
{
    lua_pushlstring(L, text, strlen(text));
}

static int dispatch(lua_State *L)
{
    struct call *c = lua_touserdata(L, 1);
    gn_call_self()->exchange = c->exchange;
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->dispatch);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->app);
    lua_pushinteger(L, c->exchange);
    push_text(L, c->request->head->method);
    push_text(L, c->request->head->target);
    lua_callk(L, 4, 3, (lua_KContext)c, answered);
    return answered(L, LUA_OK, (lua_KContext)c);
}

static int to_text(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* Its __tostring may fail too. */
static void log_error(lua_State *L, const struct gn_request *r)
{
    lua_pushcfunction(L, to_text);
    lua_pushvalue(L, 2);
    bool told = lua_pcall(L, 1, 1, 0) == LUA_OK;
    gn_log(GN_ERROR, "%s %s: %s\n%s", r->head->method, r->head->target,
           told ? lua_tostring(L, -1) : "an error that cannot be told",
           lua_tostring(L, 3));
    lua_pop(L, 1);
}

/* (call, error, traceback): asks the app for an answer, and logs what is not meant for
 * the client. */
static int dispatch_failed(lua_State *L)
{
    struct call *c = lua_touserdata(L, 1);
    gn_respond_retract(c->request);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->failed);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->app);
    lua_pushinteger(L, c->exchange);
    lua_pushvalue(L, 2);
    lua_pushboolean(L, gn_guard_ended());
    lua_call(L, 4, 4);
    if (lua_toboolean(L, -1) && gn_fiber_cause(gn_fiber_self()) != -ECANCELED)
        log_error(L, c->request);
    lua_pop(L, 1);
    if (c->request->progress == GN_UNANSWERED)
        respond(L, c->request);
    return 0;
}

/* What was given to exchange.on_end, the latest first; each is called, whatever the
 * others do. */
static int end(lua_State *L)
{
    struct call *c = lua_touserdata(L, 1);
    gn_call_self()->exchange = c->exchange;
    while (gn_exchange_endings(&c->app->exchanges, c->exchange, L)) {
        for (lua_Integer i = luaL_len(L, -1); i > 0; i--) {
            lua_geti(L, -1, i);
            if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
                gn_log(GN_ERROR, "at the end of %s %s: %s", c->request->head->method,
                       c->request->head->target, luaL_tolstring(L, -1, NULL));
                lua_pop(L, 2);
            }
        }
        lua_pop(L, 1);
    }
    return 0;
}

static int end_failed(lua_State *L)
{
    gn_log(GN_ERROR, "%s\n%s", luaL_tolstring(L, 2, NULL), lua_tostring(L, 3));
    return 0;
}

/* Nobody waits for the answer any more. */
static void on_gone(struct gn_wire *w)
{
    gn_vm_interrupt(w->worker, -ECANCELED);
}

/* A WebSocket ends with its handler, unless another generation's goes on with it. */
static void finish_socket(struct gn_app *a, struct gn_request *r, bool failed)
{
    if (!r->ws || (r->ws->moving && !failed))
        return;
    gn_ws_finish(r->ws, !failed ? 1000 : a->vm.retired ? 1012 : 1011);
    r->ws = NULL;
}

void gn_app_handle(struct gn_app *a, struct gn_request *r)
{
    a->requests++;
    r->generation = a->vm.number;
    gn_vm_hold(&a->vm);
    if (!r->ws)
        r->wire->on_gone = on_gone;
    struct call c = {.app = a,
                     .method = "dispatch",
                     .request = r,
                     .exchange = gn_exchange_begin(&a->exchanges, r)};
    int failed =
        c.exchange < 0 ? -ENOMEM : gn_vm_call(&a->vm, dispatch, &c, dispatch_failed);
    finish_socket(a, r, failed);
    r->wire->on_gone = NULL;
    gn_wire_set_endless(r->wire, false);
    if (c.exchange > 0) {
        if (gn_exchange_has_endings(&a->exchanges, c.exchange))
            gn_vm_call(&a->vm, end, &c, end_failed);
        gn_exchange_end(&a->exchanges, c.exchange);
    }
    gn_vm_release(&a->vm);
    if (r->progress == GN_UNANSWERED)
        gn_respond_error(r, failed == -ENOMEM ? 503 : 500, NULL);
    if (r->progress == GN_STREAMING)
        gn_respond_cut(r);
    if (r->wire->broken || r->body_failed)
        gn_log(GN_DEBUG, "%s %s: the client went away", r->head->method,
               r->head->target);
}
