#include "app.h"

#include "../log.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

/* ---- loading ---- */

struct loading {
    struct gn_app *app;
    const char *path;
};

static int ref_field(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

static int load(lua_State *L)
{
    struct loading *l = lua_touserdata(L, 1);
    gn_exchanges_register(L, &l->app->exchanges);
    gn_sockets_register(L, &l->app->sockets);
    gn_vm_push_function(L, "genet.log", "capture_print");
    lua_call(L, 0, 0);
    gn_vm_push_function(L, "genet.loader", "load");
    lua_pushstring(L, l->path);
    lua_call(L, 1, 1);
    l->app->dispatch = ref_field(L, "dispatch");
    l->app->failed = ref_field(L, "failed");
    l->app->app = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

/* The message already names file and line; the traceback shows how it got there. */
static int load_failed(lua_State *L)
{
    struct loading *l = lua_touserdata(L, 1);
    snprintf(l->app->error, sizeof l->app->error, "%s", luaL_tolstring(L, 2, NULL));
    gn_log(GN_DEBUG, "%s\n%s", l->app->error, lua_tostring(L, 3));
    return 0;
}

int gn_app_open(struct gn_app *a, const char *path, struct gn_hub *hub)
{
    struct loading l = {a, path};
    *a = (struct gn_app){.sockets = {&a->exchanges, hub}};
    gn_exchanges_init(&a->exchanges);
    int r = gn_vm_open(&a->vm);
    if (r == 0)
        r = gn_vm_load(&a->vm, load, &l, load_failed);
    if (r == -ENOMEM)
        snprintf(a->error, sizeof a->error, "out of memory");
    if (r < 0)
        gn_app_close(a);
    return r < 0 ? -1 : 0;
}

unsigned gn_app_drain(struct gn_app *a, int64_t deadline)
{
    gn_vm_wait(&a->vm, false, deadline);
    gn_vm_cancel(&a->vm);
    return gn_vm_wait(&a->vm, true, gn_after(GN_ABORT_SECONDS * GN_SECOND));
}

void gn_app_close(struct gn_app *a)
{
    if (a->vm.L && gn_app_drain(a, gn_now()) > 0)
        return; /* a state that is in use is better leaked than closed */
    gn_vm_close(&a->vm);
    gn_exchanges_term(&a->exchanges);
}

/* ---- requests ---- */

struct call {
    struct gn_app *app;
    struct gn_request *request;
    lua_Integer exchange; /* its number */
};

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
    if (lua_isnil(L, -3))
        return 0; /* written already */
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
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->dispatch);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->app->app);
    lua_pushinteger(L, c->exchange);
    push_text(L, c->request->head->method);
    push_text(L, c->request->head->target);
    lua_callk(L, 4, 3, (lua_KContext)c, answered);
    return answered(L, LUA_OK, (lua_KContext)c);
}

static void log_error(lua_State *L, const struct gn_request *r)
{
    gn_log(GN_ERROR, "%s %s: %s\n%s", r->head->method, r->head->target,
           luaL_tolstring(L, 2, NULL), lua_tostring(L, 3));
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
    lua_call(L, 3, 4);
    if (lua_toboolean(L, -1) && gn_fiber_cause(gn_fiber_self()) != -ECANCELED)
        log_error(L, c->request);
    lua_pop(L, 1);
    if (c->request->progress == GN_UNANSWERED)
        respond(L, c->request);
    return 0;
}

/* Nobody waits for the answer any more. */
static void on_gone(struct gn_wire *w)
{
    gn_vm_interrupt(w->worker, -ECANCELED);
}

/* A WebSocket ends with its handler. */
static void finish_socket(struct gn_request *r, bool failed)
{
    if (r->ws)
        gn_ws_finish(r->ws, failed ? 1011 : 1000);
    r->ws = NULL;
}

void gn_app_handle(struct gn_app *a, struct gn_request *r)
{
    r->wire->on_gone = on_gone;
    struct call c = {
        .app = a, .request = r, .exchange = gn_exchange_begin(&a->exchanges, r)};
    int failed =
        c.exchange < 0 ? -ENOMEM : gn_vm_call(&a->vm, dispatch, &c, dispatch_failed);
    finish_socket(r, failed);
    if (c.exchange > 0)
        gn_exchange_end(&a->exchanges, c.exchange);
    r->wire->on_gone = NULL;
    gn_wire_set_endless(r->wire, false);
    if (r->progress == GN_UNANSWERED)
        gn_respond_error(r, failed == -ENOMEM ? 503 : 500, NULL);
    if (r->progress == GN_STREAMING)
        gn_respond_cut(r);
    if (r->wire->broken || r->body_failed)
        gn_log(GN_DEBUG, "%s %s: the client went away", r->head->method,
               r->head->target);
}
