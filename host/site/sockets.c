#include "sockets.h"

#include "../vm/copy.h"
#include "../vm/core.h"
#include "../vm/vm.h"

#include <errno.h>
#include <lauxlib.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* ---- arguments and results ---- */

static const struct gn_sockets *self(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* The socket of the number at index 1; NULL when it has ended. */
static struct gn_ws *find(lua_State *L)
{
    struct gn_request *r =
        gn_exchange_find(self(L)->exchanges, luaL_checkinteger(L, 1));
    return r ? r->ws : NULL;
}

static enum gn_opcode check_kind(lua_State *L, int arg)
{
    static const char *const kinds[] = {"text", "binary", NULL};
    return luaL_checkoption(L, arg, "text", kinds) == 0 ? GN_WS_TEXT : GN_WS_BINARY;
}

/* Raises what is wrong with an argument of the function that scripts know as `what`. */
static void require(lua_State *L, bool right, const char *what, const char *problem)
{
    if (!right)
        luaL_error(L, "%s: %s", what, problem);
}

/* A message, whose text must be UTF-8: the receiver would end the connection. */
static const char *check_message(lua_State *L, int arg, enum gn_opcode kind,
                                 const char *what, size_t *n)
{
    const char *data = luaL_checklstring(L, arg, n);
    require(L, kind == GN_WS_BINARY || gn_utf8_check(data, *n), what,
            "the text is not UTF-8: send it as \"binary\"");
    return data;
}

static void push_kind(lua_State *L, enum gn_opcode kind)
{
    if (kind == GN_WS_TEXT)
        lua_pushliteral(L, "text");
    else
        lua_pushliteral(L, "binary");
}

/* nil, "closed", code, reason; the last two while somebody knows them. */
static int closed(lua_State *L, const struct gn_ws *ws)
{
    lua_pushnil(L);
    lua_pushliteral(L, "closed");
    if (!ws)
        return 2;
    lua_pushinteger(L, ws->ending.code);
    lua_pushlstring(L, ws->ending.reason, ws->ending.length);
    return 4;
}

static int failed(lua_State *L, const char *why)
{
    lua_pushnil(L);
    lua_pushstring(L, why);
    return 2;
}

/* true | nil, "closed". Raises what has interrupted a wait. */
static int done(lua_State *L, int error)
{
    if (error == -EPIPE)
        return failed(L, "closed");
    if (error < 0)
        return gn_vm_raise(L, error);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- the handshake ---- */

enum { ACCEPT = 28 }; /* characters: base64 of a SHA-1 */

/* RFC 6455, section 4.2.2: what the server answers to a key. */
static bool make_accept(const char *key, size_t n, char out[ACCEPT + 1])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char text[128], digest[EVP_MAX_MD_SIZE];
    unsigned length;
    if (n + sizeof magic > sizeof text)
        return false;
    memcpy(text, key, n);
    memcpy(text + n, magic, sizeof magic - 1);
    if (!EVP_Digest(text, n + sizeof magic - 1, digest, &length, EVP_sha1(), NULL))
        return false;
    return EVP_EncodeBlock((unsigned char *)out, digest, (int)length) == ACCEPT;
}

/* Answers 101 and begins. Returns 0 or a negative errno; after -ENOMEM nothing has been
 * sent. */
static int begin(struct gn_hub *h, struct gn_request *r, const char *head, size_t n,
                 size_t max_message, bool deflate)
{
    struct gn_ws *ws = gn_ws_new(h, r->wire, max_message, deflate);
    if (!ws || gn_request_keep_head(r) < 0) {
        free(ws);
        return -ENOMEM;
    }
    int e = gn_respond_switch(r, head, n);
    if (e < 0) {
        free(ws);
        return e;
    }
    gn_ws_begin(r->ws = ws);
    return 0;
}

/* sockets.accept(x, key, head, max_message, deflate) -> true | nil, why. `head` has the
 * header lines that the handshake has agreed on. May wait. */
static int s_accept(lua_State *L)
{
    const struct gn_sockets *s = self(L);
    struct gn_request *r = gn_exchange_find(s->exchanges, luaL_checkinteger(L, 1));
    size_t n;
    char accept[ACCEPT + 1];
    const char *key = luaL_checklstring(L, 2, &n);
    lua_Integer most = luaL_checkinteger(L, 4);
    if (!r || r->progress != GN_UNANSWERED)
        return luaL_error(L, "the request has been answered");
    if (!make_accept(key, n, accept))
        return luaL_argerror(L, 2, "not a key");
    lua_pushfstring(L,
                    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Accept: %s\r\n%s",
                    accept, luaL_checkstring(L, 3));
    const char *head = lua_tolstring(L, -1, &n);
    int e = begin(s->hub, r, head, n, (size_t)most, lua_toboolean(L, 5));
    if (e == -ENOMEM)
        return failed(L, "out of memory");
    return done(L, e == -ETIMEDOUT ? -EPIPE : e);
}

/* ---- sockets ---- */

static int push_letter(lua_State *L)
{
    const struct gn_letter *l = lua_touserdata(L, 1);
    lua_pushlstring(L, l->bytes, l->length);
    return 1;
}

/* sockets.receive(x [, seconds]) -> message, kind | nil, "closed", code, reason | nil,
 * "timeout". Waits. */
static int s_receive(lua_State *L)
{
    struct gn_ws *ws = find(L);
    struct gn_letter *l;
    int64_t deadline = gn_opt_deadline(L, 2);
    if (!ws)
        return closed(L, NULL);
    if (!gn_may_park())
        return luaL_error(L, "nothing may wait here");
    int r = gn_ws_take(ws, deadline, &l);
    if (r == -EPIPE)
        return closed(L, find(L));
    if (r == -ETIMEDOUT)
        return failed(L, "timeout");
    if (r == -ESTALE)
        return failed(L, "moved");
    if (r < 0)
        return gn_vm_raise(L, r);
    enum gn_opcode kind = l->kind;
    lua_pushcfunction(L, push_letter);
    lua_pushlightuserdata(L, l);
    r = lua_pcall(L, 1, 1, 0);
    free(l);
    if (r != LUA_OK)
        return lua_error(L);
    push_kind(L, kind);
    return 2;
}

/* sockets.send(x, data [, kind]) -> true | nil, "closed". Waits for a slow peer. */
static int s_send(lua_State *L)
{
    size_t n;
    enum gn_opcode kind = check_kind(L, 3);
    const char *data = check_message(L, 2, kind, "ws:send", &n);
    struct gn_ws *ws = find(L);
    return done(L, ws ? gn_ws_send(ws, kind, data, n) : -EPIPE);
}

/* sockets.ping(x [, data]) -> true | nil, "closed" */
static int s_ping(lua_State *L)
{
    size_t n;
    const char *data = luaL_optlstring(L, 2, "", &n);
    require(L, n <= GN_CONTROL_MOST, "ws:ping", "at most 125 bytes were expected");
    struct gn_ws *ws = find(L);
    return done(L, ws ? gn_ws_control(ws, GN_WS_PING, data, n) : -EPIPE);
}

/* sockets.close(x [, code [, reason]]) -> true | nil, "closed" */
static int s_close(lua_State *L)
{
    size_t n;
    lua_Integer code = luaL_optinteger(L, 2, 1000);
    const char *reason = luaL_optlstring(L, 3, "", &n);
    bool valid = code <= INT16_MAX && gn_close_code_is_valid((int)code);
    require(L, valid, "ws:close", "not a code to close with");
    require(L, n <= GN_CONTROL_MOST - 2, "ws:close", "a reason has at most 123 bytes");
    require(L, gn_utf8_check(reason, n), "ws:close", "the reason is not UTF-8");
    struct gn_ws *ws = find(L);
    bool open = ws && !gn_ws_is_closed(ws);
    if (open)
        gn_ws_close(ws, (int)code, reason, n);
    return done(L, open ? 0 : -EPIPE);
}

/* sockets.is_socket(x) -> whether the exchange has become one */
static int s_is_socket(lua_State *L)
{
    lua_pushboolean(L, find(L) != NULL);
    return 1;
}

/* sockets.is_open(x) -> boolean */
static int s_is_open(lua_State *L)
{
    const struct gn_ws *ws = find(L);
    lua_pushboolean(L, ws && !gn_ws_is_closed(ws));
    return 1;
}

/* ---- topics ---- */

/* sockets.join(x, topic) -> true | nil, "closed" */
static int s_join(lua_State *L)
{
    size_t n;
    const char *topic = luaL_checklstring(L, 2, &n);
    struct gn_ws *ws = find(L);
    if (!ws || gn_ws_is_closed(ws))
        return failed(L, "closed");
    if (gn_topics_join(&self(L)->hub->topics, &ws->subscriber, topic, n) < 0)
        return luaL_error(L, "not enough memory");
    return done(L, 0);
}

/* sockets.leave(x, topic) -> whether it had joined */
static int s_leave(lua_State *L)
{
    size_t n;
    const char *topic = luaL_checklstring(L, 2, &n);
    struct gn_ws *ws = find(L);
    struct gn_topics *topics = &self(L)->hub->topics;
    lua_pushboolean(L, ws && gn_topics_leave(topics, &ws->subscriber, topic, n));
    return 1;
}

/* sockets.publish(topic, message [, kind]) -> how many took it. Gives way now and then.
 */
static int s_publish(lua_State *L)
{
    size_t n, length;
    enum gn_opcode kind = check_kind(L, 3);
    const char *topic = luaL_checklstring(L, 1, &n);
    const char *message = check_message(L, 2, kind, "genet.publish", &length);
    struct gn_frame *f = gn_frame_new(kind, message, length);
    if (!f)
        return luaL_error(L, "not enough memory");
    size_t taken = gn_hub_publish(self(L)->hub, topic, n, f);
    gn_frame_unref(f);
    if (gn_fiber_self())
        gn_spend(taken * GN_PUBLISH_COST);
    lua_pushinteger(L, (lua_Integer)taken);
    return 1;
}

/* ---- mailboxes: what a task subscribes with ---- */

struct mailbox {
    struct gn_subscriber subscriber;
    struct gn_topics *topics;
    struct gn_outbox frames;
    lua_Integer most;
    struct gn_list readers;
    const char *why; /* no more come; NULL while they do */
};

struct reader {
    struct gn_list link;
    struct gn_fiber *fiber;
};

static const char MAILBOX[] = "genet.mailbox";

static void wake_reader(struct mailbox *m)
{
    bool woken = false;
    for (struct gn_list *l; !woken && (l = gn_list_pop(&m->readers));) {
        struct gn_fiber *f = gn_container_of(l, struct reader, link)->fiber;
        woken = f->parked;
        gn_wake(f);
    }
}

static void shut(struct mailbox *m, const char *why)
{
    if (m->why)
        return;
    m->why = why;
    gn_topics_leave_all(m->topics, &m->subscriber);
    while (!gn_list_empty(&m->readers))
        wake_reader(m);
}

static bool deliver(struct gn_subscriber *s, struct gn_frame *f)
{
    struct mailbox *m = gn_container_of(s, struct mailbox, subscriber);
    if (m->frames.count >= m->most || gn_outbox_put(&m->frames, f) < 0) {
        shut(m, "overflow");
        return false;
    }
    wake_reader(m);
    return true;
}

/* sockets.subscribe(topic, most) -> mailbox */
static int s_subscribe(lua_State *L)
{
    size_t n;
    const char *topic = luaL_checklstring(L, 1, &n);
    lua_Integer most = luaL_checkinteger(L, 2);
    struct mailbox *m = lua_newuserdatauv(L, sizeof *m, 1);
    *m = (struct mailbox){.topics = &self(L)->hub->topics, .most = most};
    gn_subscriber_init(&m->subscriber, deliver);
    gn_list_init(&m->readers);
    luaL_setmetatable(L, MAILBOX);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    if (gn_topics_join(m->topics, &m->subscriber, topic, n) < 0)
        return luaL_error(L, "not enough memory");
    return 1;
}

static struct mailbox *check_mailbox(lua_State *L)
{
    return luaL_checkudata(L, 1, MAILBOX);
}

/* Waits until something is there. Returns 0, -EPIPE, or why the wait ended. */
static int await(struct mailbox *m, int64_t deadline)
{
    int r = 0;
    while (r == 0 && m->frames.count == 0) {
        struct reader me = {.fiber = gn_fiber_self()};
        if (m->why)
            return -EPIPE;
        gn_list_append(&m->readers, &me.link);
        r = gn_park(deadline);
        gn_list_del(&me.link);
    }
    return r;
}

/* mailbox:receive([seconds]) -> message, kind, topic | nil, "timeout", "closed" or
 * "overflow". Waits. */
static int m_receive(lua_State *L)
{
    struct mailbox *m = check_mailbox(L);
    int64_t deadline = gn_opt_deadline(L, 2);
    if (!gn_may_park())
        return luaL_error(L, "nothing may wait here");
    int r = await(m, deadline);
    if (r == -EPIPE)
        return failed(L, m->why);
    if (r == -ETIMEDOUT)
        return failed(L, "timeout");
    if (r < 0)
        return gn_vm_raise(L, r);
    const struct gn_frame *f = gn_outbox_first(&m->frames);
    size_t n = gn_frame_payload_length(f);
    lua_pushlstring(L, gn_frame_payload(f), n);
    push_kind(L, f->opcode);
    lua_getiuservalue(L, 1, 1);
    gn_frame_unref(gn_outbox_take(&m->frames));
    gn_spend(n);
    return 3;
}

/* mailbox:close(): what it holds can still be taken */
static int m_close(lua_State *L)
{
    shut(check_mailbox(L), "closed");
    return 0;
}

static int m_gc(lua_State *L)
{
    struct mailbox *m = check_mailbox(L);
    shut(m, "closed");
    gn_outbox_clear(&m->frames);
    return 0;
}

static int m_count(lua_State *L)
{
    lua_pushinteger(L, check_mailbox(L)->frames.count);
    return 1;
}

static const luaL_Reg mailbox_methods[] = {
    {"receive", m_receive},
    {"close", m_close},
    {NULL, NULL},
};

static const luaL_Reg mailbox_events[] = {
    {"__gc", m_gc},
    {"__close", m_close},
    {"__len", m_count},
    {NULL, NULL},
};

/* ---- the module ---- */

/* sockets.move(x): has its handler end: sockets.receive() says "moved" */
static int s_move(lua_State *L)
{
    struct gn_ws *ws = find(L);
    if (ws && !gn_ws_is_closed(ws))
        gn_ws_move(ws);
    return 0;
}

/* sockets.moving(x) -> whether it is to have another handler */
static int s_moving(lua_State *L)
{
    const struct gn_ws *ws = find(L);
    lua_pushboolean(L, ws && ws->moving);
    return 1;
}

/* sockets.keep(x, value): leaves plain data to the next handler. Raises when it is not
 * plain. */
static int s_keep(lua_State *L)
{
    struct gn_ws *ws = find(L);
    char why[256], *data;
    size_t n;
    if (gn_pack_one(L, 2, "ws.state", &data, &n, why, sizeof why) < 0)
        return luaL_error(L, "%s", why);
    if (ws)
        gn_ws_keep(ws, data, n);
    else
        free(data);
    return 0;
}

/* sockets.resume(x) -> what the handler before has left | nil. The socket is this
 * handler's from now on. */
static int s_resume(lua_State *L)
{
    struct gn_ws *ws = find(L);
    struct gn_unpacker u;
    if (!ws || !ws->moving)
        return luaL_error(L, "there is no socket to go on with");
    ws->moving = false;
    if (!ws->kept)
        return 0;
    gn_unpack_begin(L, &u, ws->kept, ws->kept_size);
    gn_unpack(L, &u);
    return 1;
}

static const luaL_Reg functions[] = {
    {"move", s_move},       {"moving", s_moving},       {"keep", s_keep},
    {"resume", s_resume},   {"accept", s_accept},       {"receive", s_receive},
    {"send", s_send},       {"ping", s_ping},           {"close", s_close},
    {"is_open", s_is_open}, {"is_socket", s_is_socket}, {"join", s_join},
    {"leave", s_leave},     {"publish", s_publish},     {"subscribe", s_subscribe},
    {NULL, NULL},
};

static int open_module(lua_State *L)
{
    luaL_newmetatable(L, MAILBOX);
    luaL_setfuncs(L, mailbox_events, 0);
    luaL_newlib(L, mailbox_methods);
    lua_setfield(L, -2, "__index");
    return gn_vm_new_module(L, functions);
}

void gn_sockets_register(lua_State *L, const struct gn_sockets *s)
{
    gn_vm_preload(L, "genet.sockets", open_module, (void *)s);
}
