#include "websocket.h"

#include "../log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_ROOM = 16 * 1024, /* bytes that are read at a time */
    READS_MOST = 16,       /* in a row, before others have their turn */
    INBOX_LETTERS = 128,
    SMALL = 1024,       /* messages up to this size leave in one copy */
    BATCH = 64,         /* frames in one system call */
    TRIM_SECONDS = 2,   /* until the stack of a handler that waits is given back */
    CLOSE_SECONDS = 5,  /* for the peer to answer a close */
    PROGRESS = 5 * 1024 /* bytes that buy as much time again */
};

/* ---- those who wait ---- */

struct waiter {
    struct gn_list link;
    struct gn_fiber *fiber;
};

static int wait_in(struct gn_list *list, int64_t deadline)
{
    struct waiter self = {.fiber = gn_fiber_self()};
    gn_list_append(list, &self.link);
    int r = gn_park(deadline);
    gn_list_del(&self.link);
    return r;
}

/* Wakes the first one that something else has not woken already. */
static bool wake_one(struct gn_list *list)
{
    bool woken = false;
    for (struct gn_list *l; !woken && (l = gn_list_pop(list));) {
        struct gn_fiber *f = gn_container_of(l, struct waiter, link)->fiber;
        woken = f->parked;
        gn_wake(f);
    }
    return woken;
}

static void wake_all(struct gn_list *list)
{
    while (wake_one(list))
        ;
}

static void unref(struct gn_ws *ws)
{
    if (--ws->refs == 0)
        free(ws);
}

/* ---- the end ---- */

/* Notes what is told of the end. The first that says something is right. */
static void set_ending(struct gn_ws *ws, int code, const char *reason, size_t n)
{
    struct gn_ending *e = &ws->ending;
    if (e->code)
        return;
    e->code = code;
    e->length = n < sizeof e->reason ? n : sizeof e->reason;
    while (e->length < n && e->length > 0 && (reason[e->length] & 0xc0) == 0x80)
        e->length--; /* not in the middle of a character */
    if (e->length > 0)
        memcpy(e->reason, reason, e->length);
}

/* Neither side has anything more to say to the other. */
static void end(struct gn_ws *ws)
{
    ws->ended = ws->deaf = true;
    gn_timer_del(&ws->hub->sched->timers, &ws->timer);
    gn_outbox_clear(&ws->out);
    gn_list_del(&ws->unsent);
    gn_topics_leave_all(&ws->hub->topics, &ws->subscriber);
    wake_all(&ws->readers);
    wake_all(&ws->writers);
    if (ws->closer)
        gn_wake(ws->closer);
}

/* The peer cannot be reached any more, or does not answer. */
static void lose(struct gn_ws *ws)
{
    if (ws->ended)
        return;
    set_ending(ws, 1006, "", 0);
    ws->closed = true;
    ws->wire->broken = true;
    gn_wire_say_end(ws->wire);
    end(ws);
}

/* Ends it once both have closed and all has been sent. */
static void settle(struct gn_ws *ws)
{
    if (ws->ended || !gn_ws_is_closed(ws) || !ws->deaf || ws->out.count > 0)
        return;
    ws->wire->lingers = true; /* so that our close is read */
    gn_wire_say_end(ws->wire);
    end(ws);
}

/* ---- out ---- */

/* Sends what the peer takes. Returns the bytes. */
static size_t flush(struct gn_ws *ws)
{
    struct iovec iov[BATCH];
    size_t total = 0;
    while (!ws->ended && ws->out.count > 0) {
        ssize_t n =
            gn_wire_try_send(ws->wire, iov, gn_outbox_look(&ws->out, iov, BATCH));
        if (n == -EAGAIN)
            break;
        if (n < 0) {
            lose(ws);
            return total;
        }
        gn_outbox_sent(&ws->out, (size_t)n);
        total += (size_t)n;
    }
    if (ws->out.bytes <= ws->hub->options.queue / 2)
        wake_all(&ws->writers);
    settle(ws);
    return total;
}

/* Queues a frame, whatever the queue holds. */
static int queue(struct gn_ws *ws, struct gn_frame *f)
{
    int r = f ? gn_outbox_put(&ws->out, f) : -ENOMEM;
    gn_frame_unref(f);
    if (r < 0)
        lose(ws);
    return r < 0 ? -EPIPE : 0;
}

/* Sends a message while nothing is queued: straight from where it is. What the peer
 * does not take is queued. */
static int send_directly(struct gn_ws *ws, enum gn_opcode opcode, const char *data,
                         size_t n)
{
    char small[GN_FRAME_HEADER + SMALL];
    size_t head = gn_frame_header(small, opcode, n), parts = n > SMALL ? 2 : 1;
    struct iovec iov[] = {{small, head}, {(char *)data, n}};
    if (parts == 1 && n > 0) {
        memcpy(small + head, data, n);
        iov[0].iov_len += n;
    }
    ssize_t sent = gn_wire_try_send(ws->wire, iov, parts);
    if (sent == (ssize_t)(head + n))
        return 0;
    if (sent < 0 && sent != -EAGAIN) {
        lose(ws);
        return -EPIPE;
    }
    int r = queue(ws, gn_frame_new(opcode, data, n));
    if (r == 0 && sent > 0)
        gn_outbox_sent(&ws->out, (size_t)sent);
    flush(ws);
    return r;
}

static int put(struct gn_ws *ws, enum gn_opcode opcode, const char *data, size_t n)
{
    struct gn_deflate *d = opcode < GN_WS_CLOSE ? ws->reader.deflate : NULL;
    struct gn_frame *small = d ? gn_deflate_frame(d, opcode, data, n) : NULL;
    if (ws->out.count == 0 && !small)
        return send_directly(ws, opcode, data, n);
    int r = queue(ws, small ? small : gn_frame_new(opcode, data, n));
    flush(ws);
    return r;
}

/* What is queued goes no further than it must. */
static void refuse_slow(struct gn_ws *ws)
{
    static const char why[] = "reads too slowly";
    gn_outbox_cut(&ws->out, GN_WIRE_RECORD);
    ws->hub->dropped++;
    gn_ws_close(ws, 1013, why, sizeof why - 1);
}

/* Whether so many bytes more may wait. A frame that is larger than the whole queue may,
 * alone. */
static bool has_room(struct gn_ws *ws, size_t n)
{
    size_t most = ws->hub->options.queue;
    if (ws->out.count == 0 || ws->out.bytes + n <= most)
        return true;
    flush(ws); /* perhaps nobody has tried */
    return ws->out.count == 0 || ws->out.bytes + n <= most;
}

int gn_ws_control(struct gn_ws *ws, enum gn_opcode opcode, const char *data, size_t n)
{
    if (!gn_ws_is_closed(ws) && !has_room(ws, n + GN_FRAME_HEADER))
        refuse_slow(ws);
    return gn_ws_is_closed(ws) ? -EPIPE : put(ws, opcode, data, n);
}

static bool is_half_full(const struct gn_ws *ws)
{
    return !gn_ws_is_closed(ws) && ws->out.bytes > ws->hub->options.queue / 2;
}

static int wait_for_room(struct gn_ws *ws)
{
    int r = 0;
    if (is_half_full(ws))
        flush(ws); /* perhaps nobody has tried */
    while (r == 0 && is_half_full(ws))
        r = wait_in(&ws->writers, GN_NEVER);
    return r == 0 && gn_ws_is_closed(ws) ? -EPIPE : r;
}

int gn_ws_send(struct gn_ws *ws, enum gn_opcode opcode, const char *data, size_t n)
{
    if (!gn_may_park())
        return gn_ws_control(ws, opcode, data, n);
    ws->refs++;
    int r = wait_for_room(ws);
    if (r == 0)
        r = put(ws, opcode, data, n);
    unref(ws);
    if (r == 0)
        gn_spend(n);
    return r;
}

/* ---- published frames ---- */

/* Sends what publishers have queued, giving way now and then; meanwhile they may queue
 * more. */
static void flush_unsent(void *arg)
{
    struct gn_hub *h = arg;
    for (struct gn_list *l; (l = gn_list_pop(&h->unsent));)
        gn_spend(flush(gn_container_of(l, struct gn_ws, unsent)));
    h->flushing = false;
}

static void flush_soon(struct gn_ws *ws)
{
    struct gn_hub *h = ws->hub;
    if (!ws->wire->writable || !gn_list_empty(&ws->unsent))
        return;
    gn_list_append(&h->unsent, &ws->unsent);
    if (h->flushing)
        return;
    h->flushing = gn_fiber_new(h->sched, "publish", flush_unsent, h);
    if (!h->flushing) {
        gn_list_del(&ws->unsent);
        flush(ws);
    }
}

static bool deliver(struct gn_subscriber *s, struct gn_frame *f)
{
    struct gn_ws *ws = gn_container_of(s, struct gn_ws, subscriber);
    if (gn_ws_is_closed(ws))
        return false;
    if (ws->reader.deflate)
        f = gn_deflate_shared(ws->reader.deflate, f);
    if (!has_room(ws, f->length)) {
        refuse_slow(ws);
        return false;
    }
    if (gn_ws_is_closed(ws))
        return false;
    f->refs++;
    if (queue(ws, f) < 0)
        return false;
    flush_soon(ws);
    return true;
}

/* ---- closing ---- */

/* From now on the end may take so long, and no longer; unless a peer that reads slowly
 * still reads what was sent before the close. */
static void expire(struct gn_ws *ws)
{
    ws->at_close = ws->out.bytes;
    int64_t deadline = gn_after(CLOSE_SECONDS * GN_SECOND);
    if (gn_timer_add(&ws->hub->sched->timers, &ws->timer, deadline) < 0)
        lose(ws);
}

/* Sends a close; with 1005 one without a code. */
static void send_close(struct gn_ws *ws)
{
    const struct gn_ending *e = &ws->ending;
    char payload[GN_CONTROL_MOST] = {(char)(e->code >> 8), (char)e->code};
    memcpy(payload + 2, e->reason, e->length);
    expire(ws);
    if (!ws->ended)
        put(ws, GN_WS_CLOSE, payload, e->code == 1005 ? 0 : e->length + 2);
}

static void begin_end(struct gn_ws *ws, int code, const char *reason, size_t n)
{
    set_ending(ws, code, reason, n);
    ws->closed = true;
    gn_list_del(&ws->unsent);
    send_close(ws);
    wake_all(&ws->readers);
    wake_all(&ws->writers);
    settle(ws);
}

void gn_ws_close(struct gn_ws *ws, int code, const char *reason, size_t n)
{
    if (!gn_ws_is_closed(ws))
        begin_end(ws, code, reason, n);
}

/* The peer breaks the rules, or it cannot be served any more. */
static void fail(struct gn_ws *ws, int code)
{
    static const struct {
        int code;
        const char *reason;
    } reasons[] = {{1002, "protocol error"},
                   {1007, "not UTF-8"},
                   {1009, "the message is too big"}};
    const char *reason = "";
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].code == code)
            reason = reasons[i].reason;
    gn_log(GN_DEBUG, "a WebSocket fails: %d %s", code, reason);
    ws->deaf = true;
    if (gn_ws_is_closed(ws))
        settle(ws);
    else
        begin_end(ws, code, reason, strlen(reason));
}

/* ---- in ---- */

static bool is_full(const struct gn_ws *ws)
{
    return ws->letters >= INBOX_LETTERS || ws->letter_bytes >= ws->reader.max_message;
}

static bool wants_more(const struct gn_ws *ws)
{
    return !ws->deaf && (gn_ws_is_closed(ws) || !is_full(ws));
}

/* What comes after our own close is not for anybody. */
static void on_message(struct gn_reader *r, struct gn_letter *l)
{
    struct gn_ws *ws = gn_container_of(r, struct gn_ws, reader);
    if (gn_ws_is_closed(ws)) {
        free(l);
        return;
    }
    l->next = NULL;
    *ws->last = l;
    ws->last = &l->next;
    ws->letters++;
    ws->letter_bytes += l->length;
    wake_one(&ws->readers);
}

/* RFC 6455, section 5.5.1: the code of the peer's close is sent back; at once if
 * somebody waits for a message, else when the next one is asked for, or the time is
 * over. Returns 0 or the code of what is wrong with it. */
static int take_close(struct gn_ws *ws, const char *data, size_t n)
{
    int code = n < 2 ? 1005 : (unsigned char)data[0] << 8 | (unsigned char)data[1];
    if (n == 1 || (n >= 2 && !gn_close_code_is_valid(code)))
        return 1002;
    if (n > 2 && !gn_utf8_check(data + 2, n - 2))
        return 1007;
    ws->deaf = true;
    set_ending(ws, code, data + 2, n > 2 ? n - 2 : 0);
    if (gn_ws_is_closed(ws))
        settle(ws);
    else if (!gn_list_empty(&ws->readers))
        begin_end(ws, code, "", 0);
    else
        expire(ws);
    return 0;
}

static bool on_control(struct gn_reader *r, enum gn_opcode opcode, const char *data,
                       size_t n)
{
    struct gn_ws *ws = gn_container_of(r, struct gn_ws, reader);
    int code = 0;
    if (opcode == GN_WS_PING)
        gn_ws_control(ws, GN_WS_PONG, data, n);
    else if (opcode == GN_WS_CLOSE)
        code = take_close(ws, data, n);
    if (code)
        fail(ws, code);
    return !ws->deaf;
}

static void give_decoder_back(struct gn_ws *ws)
{
    gn_hub_give_decoder(ws->hub, ws->decoder);
    ws->decoder = NULL;
}

static void feed(struct gn_ws *ws, const char *bytes, size_t n)
{
    ws->heard = ws->hub->sched->now;
    ws->asked = false;
    if (!ws->decoder && !(ws->decoder = gn_hub_take_decoder(ws->hub))) {
        fail(ws, 1011);
        return;
    }
    int code = gn_decoder_feed(ws->decoder, &ws->reader, bytes, n);
    if (code)
        fail(ws, code);
    if (ws->deaf) {
        gn_decoder_free(ws->decoder);
        ws->decoder = NULL;
    } else if (gn_decoder_is_idle(ws->decoder)) {
        give_decoder_back(ws);
    }
}

/* Reads until nothing is there, nothing more is wanted, or others must have a turn. */
static void read_on(struct gn_ws *ws)
{
    static _Thread_local char bytes[READ_ROOM];
    for (int i = 0; wants_more(ws); i++) {
        ssize_t n =
            i < READS_MOST ? gn_wire_try_read(ws->wire, bytes, sizeof bytes) : -EBUSY;
        if (n == -EBUSY)
            gn_timer_add(&ws->hub->sched->timers, &ws->again, gn_now());
        if (n == -EAGAIN || n == -EBUSY)
            return;
        if (n > 0)
            feed(ws, bytes, (size_t)n);
        else if (n != -EINTR)
            lose(ws);
    }
}

static void on_again(struct gn_timer *t)
{
    read_on(gn_container_of(t, struct gn_ws, again));
}

/* While the inbox is full, what the kernel says of the peer is all that is known. */
static void on_ready(struct gn_tenant *t)
{
    struct gn_ws *ws = gn_container_of(t, struct gn_ws, tenant);
    read_on(ws);
    flush(ws);
}

static void on_drain(struct gn_tenant *t)
{
    static const char why[] = "the server stops";
    gn_ws_close(gn_container_of(t, struct gn_ws, tenant), 1001, why, sizeof why - 1);
}

int gn_ws_take(struct gn_ws *ws, int64_t deadline, struct gn_letter **letter)
{
    int r = 0;
    ws->refs++;
    while (r == 0 && !ws->first && !ws->moving) {
        if (ws->deaf && !gn_ws_is_closed(ws))
            begin_end(ws, ws->ending.code, "", 0);
        if (gn_ws_is_closed(ws))
            r = -EPIPE;
        else
            r = wait_in(&ws->readers, deadline);
    }
    if (r == 0 && ws->moving)
        r = -ESTALE;
    struct gn_letter *l = *letter = r == 0 ? ws->first : NULL;
    if (l) {
        bool was_full = is_full(ws);
        if (!(ws->first = l->next))
            ws->last = &ws->first;
        ws->letters--;
        ws->letter_bytes -= l->length;
        if (was_full && ws->wire)
            read_on(ws);
        gn_spend(l->length);
    }
    unref(ws);
    return r;
}

/* ---- from one handler to the next ---- */

void gn_ws_move(struct gn_ws *ws)
{
    ws->moving = true;
    wake_all(&ws->readers);
}

void gn_ws_keep(struct gn_ws *ws, char *data, size_t n)
{
    free(ws->kept);
    ws->kept = data;
    ws->kept_size = n;
}

/* ---- time ---- */

/* Asks a silent peer whether it is there, and gives up one that has not answered. What
 * waits to be sent stands for a ping. Returns when to look again. */
static int64_t keep_alive(struct gn_ws *ws)
{
    int64_t now = gn_now(), interval = ws->hub->options.ping;
    if (interval == 0)
        return GN_NEVER;
    if (!wants_more(ws))
        ws->heard = now; /* it is we who do not listen */
    if (now - ws->heard < interval)
        return ws->heard + interval;
    if (ws->asked) {
        lose(ws);
        return GN_NEVER;
    }
    ws->asked = true;
    if (ws->out.count == 0)
        put(ws, GN_WS_PING, NULL, 0);
    return now + interval;
}

static void on_timer(struct gn_timer *t)
{
    struct gn_ws *ws = gn_container_of(t, struct gn_ws, timer);
    if (gn_ws_is_closed(ws)) {
        bool moves = ws->out.bytes + PROGRESS <= ws->at_close;
        moves ? expire(ws) : lose(ws);
        return;
    }
    if (ws->deaf) {
        begin_end(ws, ws->ending.code, "", 0);
        return;
    }
    if (ws->wire->worker)
        gn_fiber_trim(ws->wire->worker);
    int64_t next = keep_alive(ws);
    if (next != GN_NEVER && !gn_ws_is_closed(ws))
        gn_timer_add(&ws->hub->sched->timers, t, next);
}

/* ---- life ---- */

/* What came together with the handshake. */
static void read_early(struct gn_ws *ws)
{
    struct gn_wire *w = ws->wire;
    struct gn_input *in = w->in;
    w->in = NULL;
    if (in)
        feed(ws, in->bytes + in->off, in->len - in->off);
    gn_input_drop(w->wires, in);
}

struct gn_ws *gn_ws_new(struct gn_hub *h, struct gn_wire *w, size_t max_message,
                        bool deflate)
{
    struct gn_ws *ws = calloc(1, sizeof *ws);
    if (!ws)
        return NULL;
    ws->tenant = (struct gn_tenant){on_ready, on_drain};
    ws->reader = (struct gn_reader){max_message, deflate ? &h->deflate : NULL,
                                    on_message, on_control};
    gn_subscriber_init(&ws->subscriber, deliver);
    ws->hub = h;
    ws->wire = w;
    ws->refs = 1;
    ws->last = &ws->first;
    gn_list_init(&ws->unsent);
    gn_list_init(&ws->readers);
    gn_list_init(&ws->writers);
    ws->timer.fn = on_timer;
    ws->again.fn = on_again;
    return ws;
}

static int64_t first_look(const struct gn_hub *h)
{
    int64_t trim = TRIM_SECONDS * GN_SECOND;
    return h->options.ping > 0 && h->options.ping < trim ? h->options.ping : trim;
}

void gn_ws_begin(struct gn_ws *ws)
{
    struct gn_sched *s = ws->hub->sched;
    ws->heard = s->now;
    gn_timer_add(&s->timers, &ws->timer, gn_after(first_look(ws->hub)));
    ws->wire->on_gone = NULL;
    ws->wire->tenant = &ws->tenant;
    read_early(ws);
    read_on(ws); /* epoll does not tell again of what has come meanwhile */
    if (ws->wire->wires->draining)
        on_drain(&ws->tenant);
}

static void detach(struct gn_ws *ws)
{
    end(ws);
    gn_timer_del(&ws->hub->sched->timers, &ws->again);
    ws->wire->tenant = NULL;
    ws->wire = NULL;
    give_decoder_back(ws);
    for (struct gn_letter *l = ws->first, *next; l; l = next) {
        next = l->next;
        free(l);
    }
    ws->first = NULL;
}

void gn_ws_finish(struct gn_ws *ws, int code)
{
    int r = 0;
    gn_ws_close(ws, code, "", 0);
    read_on(ws); /* an inbox that is full does not matter any more */
    ws->closer = gn_fiber_self();
    while (!ws->ended && r == 0)
        r = gn_park(GN_NEVER);
    ws->closer = NULL;
    if (!ws->ended)
        lose(ws);
    detach(ws);
    gn_ws_keep(ws, NULL, 0);
    unref(ws);
}
