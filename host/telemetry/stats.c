#include "stats.h"

#include "../sched/offload.h"
#include "../vm/vm.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* ---- counting ---- */

/* Only the owner of a block writes to it. */
static void add(atomic_ullong *n, unsigned long long more)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

static const int64_t bounds[GN_LATENCIES - 1] = {
    GN_MS / 2,     GN_MS,          5 * GN_MS / 2, 5 * GN_MS,
    10 * GN_MS,    25 * GN_MS,     50 * GN_MS,    100 * GN_MS,
    250 * GN_MS,   500 * GN_MS,    GN_SECOND,     5 * GN_SECOND / 2,
    5 * GN_SECOND, 10 * GN_SECOND,
};

static const char *const methods[] = {"OTHER", "GET",    "HEAD",    "POST",   "PUT",
                                      "PATCH", "DELETE", "OPTIONS", "CONNECT"};
enum { METHODS = sizeof methods / sizeof *methods, METHOD_BITS = 4 };

static unsigned method_of(const char *name)
{
    for (unsigned i = 1; i < METHODS; i++)
        if (*name == *methods[i] && strcmp(name, methods[i]) == 0)
            return i;
    return 0;
}

/* The cell of a route and method; the one for the rest when there is no room. */
static struct gn_cell *cell_of(struct gn_stats *s, unsigned route, unsigned method)
{
    enum { TRIES = 32 };
    unsigned key = (route << METHOD_BITS | method) + 1;
    for (unsigned i = 0; i < TRIES; i++) {
        struct gn_cell *c = &s->cells[1 + (key * 2654435769u + i) % (GN_CELLS - 1)];
        unsigned there = atomic_load_explicit(&c->key, memory_order_relaxed);
        if (there == 0)
            atomic_store(&c->key, key);
        if (there == 0 || there == key)
            return c;
    }
    atomic_store(&s->cells[0].key, 1);
    return &s->cells[0];
}

static void count_status(struct gn_cell *c, unsigned status)
{
    int i = 0;
    for (; i < GN_STATUSES - 1; i++) {
        unsigned there =
            atomic_load_explicit(&c->answers[i].status, memory_order_relaxed);
        if (there == 0)
            atomic_store(&c->answers[i].status, status);
        if (there == 0 || there == status)
            break;
    }
    add(&c->answers[i].count, 1);
}

void gn_stats_answer(struct gn_stats *s, unsigned route, const char *method, int status,
                     int64_t ns)
{
    struct gn_cell *c = cell_of(s, route, method_of(method));
    int bucket = 0;
    while (bucket < GN_LATENCIES - 1 && ns > bounds[bucket])
        bucket++;
    count_status(c, (unsigned)status);
    add(&c->latencies[bucket], 1);
    gn_stats_add(&c->sum, ns);
}

unsigned gn_stats_route(struct gn_stats *s, const char *rule)
{
    unsigned n = atomic_load(&s->routes);
    char text[GN_ROUTE_TEXT];
    snprintf(text, sizeof text, "%s", rule);
    for (unsigned i = 0; i < n; i++)
        if (strcmp(s->route[i], text) == 0)
            return i + 1;
    if (n == GN_ROUTES)
        return 0;
    memcpy(s->route[n], text, sizeof text);
    atomic_store(&s->routes, n + 1);
    return n + 1;
}

/* The place of a series, or -1 when it has none. */
static int find_series(const struct gn_stats *s, const char *text)
{
    unsigned n = atomic_load(&s->series);
    for (unsigned i = 0; i < n; i++)
        if (strcmp(s->serial[i].text, text) == 0)
            return (int)i;
    return -1;
}

/* Gives it one, where there is room. */
static int add_series(struct gn_stats *s, const char *text)
{
    unsigned n = atomic_load(&s->series);
    strcpy(s->serial[n].text, text);
    atomic_store(&s->series, n + 1);
    return (int)n;
}

/* ---- memory ---- */

int gn_stats_area_open(struct gn_stats_area *a, unsigned workers)
{
    void *p = mmap(NULL, workers * sizeof *a->blocks, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return -errno;
    *a = (struct gn_stats_area){workers, p, true};
    return 0;
}

void gn_stats_area_place(struct gn_stats_area *a, void *memory, unsigned workers)
{
    *a = (struct gn_stats_area){workers, memory, false};
}

void gn_stats_area_close(struct gn_stats_area *a)
{
    if (a->mapped)
        munmap(a->blocks, a->workers * sizeof *a->blocks);
    *a = (struct gn_stats_area){0};
}

static struct gn_stats *own(const struct gn_telemetry *t)
{
    return &t->area->blocks[t->worker];
}

/* ---- values that are looked up when they are asked for ---- */

enum merge { SUM, MOST, LEAST };

/* A series of a family; its family's type and help stand where it is first. */
static const struct value {
    const char *family, *type, *help, *labels;
    enum merge merge;
} values[] = {
    {"genet_requests_in_flight", "gauge", "Requests being answered.", "", SUM},
    {"genet_connections", "gauge", "Open connections.", "", SUM},
    {"genet_websockets", "gauge", "Open WebSockets.", "", SUM},
    {"genet_websockets_dropped_total", "counter",
     "WebSockets closed because they read too slowly.", "", SUM},
    {"genet_topics", "gauge", "Topics listened to, of each worker.", "", SUM},
    {"genet_subscriptions", "gauge", "Members of all topics.", "", SUM},
    {"genet_messages_published_total", "counter", "Messages published to topics.", "",
     SUM},
    {"genet_messages_delivered_total", "counter", "Messages taken by subscribers.", "",
     SUM},
    {"genet_fibers", "gauge", "Fibers by state; idle workers are parked.",
     "state=\"ready\"", SUM},
    {"genet_fibers", NULL, NULL, "state=\"parked\"", SUM},
    {"genet_calls", "gauge", "Calls into Lua by kind.", "kind=\"host\"", SUM},
    {"genet_calls", NULL, NULL, "kind=\"task\"", SUM},
    {"genet_calls", NULL, NULL, "kind=\"background\"", SUM},
    {"genet_loop_lag_seconds", "gauge",
     "Longest round of the event loop in the last minute.", "", MOST},
    {"genet_stalls_total", "counter", "Times that a call blocked the thread.", "", SUM},
    {"genet_preemptions_total", "counter",
     "Times that a computing call was made to give way.", "", SUM},
    {"genet_lua_memory_bytes", "gauge", "Memory of the Lua states.", "", SUM},
    {"genet_generation", "gauge", "Generation of the scripts that serves.", "", MOST},
    {"genet_reloads_total", "counter", "Loads of the scripts by result.",
     "result=\"ok\"", MOST},
    {"genet_reloads_total", NULL, NULL, "result=\"failed\"", MOST},
    {"genet_offload_queue", "gauge", "Jobs that wait for a thread of the pool.", "",
     SUM},
    {"genet_offload_threads", "gauge", "Threads of the pool by state.",
     "state=\"busy\"", SUM},
    {"genet_offload_threads", NULL, NULL, "state=\"idle\"", SUM},
    {"genet_uptime_seconds", "gauge", "Time since the host was started.", "", MOST},
    {"process_cpu_seconds_total", "counter", "Processor time used.", "", SUM},
    {"process_resident_memory_bytes", "gauge", "Resident memory.", "", SUM},
};
enum { VALUES = sizeof values / sizeof *values };
_Static_assert((int)VALUES <= (int)GN_VALUES, "a block has room for all values");

static bool is_counter(int i)
{
    while (!values[i].type)
        i--;
    return strcmp(values[i].type, "counter") == 0;
}

void gn_stats_retire(struct gn_stats *s)
{
    for (int i = 0; i < VALUES; i++)
        if (is_counter(i))
            s->before[i] = s->values[i];
        else
            s->values[i] = 0;
    s->in_flight = 0;
}

static size_t length(const struct gn_list *list)
{
    size_t n = 0;
    for (const struct gn_list *l = list->next; l != list; l = l->next)
        n++;
    return n;
}

static size_t count_tenants(const struct gn_wires *ws)
{
    size_t n = 0;
    for (const struct gn_list *l = ws->all.next; l != &ws->all; l = l->next)
        n += gn_container_of(l, struct gn_wire, link)->tenant != NULL;
    return n;
}

static double resident(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)gn_from_timespec(&t) / (double)GN_SECOND;
}

static double lua_memory(const struct gn_generations *gs)
{
    double kb = gs && gs->current ? lua_gc(gs->current->vm.L, LUA_GCCOUNT) : 0;
    return 1024 *
           (kb + (gs && gs->retiring ? lua_gc(gs->retiring->vm.L, LUA_GCCOUNT) : 0));
}

static double calls(const struct gn_generations *gs, enum gn_call_kind kind)
{
    return (gs && gs->current ? gs->current->vm.count[kind] : 0) +
           (gs && gs->retiring ? gs->retiring->vm.count[kind] : 0);
}

void gn_stats_refresh(struct gn_telemetry *t)
{
    struct gn_stats *s = own(t);
    struct gn_sched *sched = t->wires->sched;
    const struct gn_generations *gs = t->generations;
    const struct gn_hub *hub = t->hub;
    bool leads = gs && !gs->options.leader;
    struct gn_pool_state pool = {0};
    if (sched->pool && !t->guest)
        gn_pool_look(sched->pool, &pool);
    double ready = (double)(length(&sched->ready) + length(&sched->hogs) + 1);
    const double now[VALUES] = {
        (double)s->in_flight,
        (double)t->wires->count,
        (double)count_tenants(t->wires),
        hub ? (double)hub->dropped : 0,
        hub ? (double)hub->topics.names.count : 0,
        hub ? (double)hub->topics.memberships.count : 0,
        hub ? (double)hub->published : 0,
        hub ? (double)hub->topics.delivered : 0,
        ready,
        (double)sched->fibers - ready,
        calls(gs, GN_CALL_HOST),
        calls(gs, GN_CALL_TASK),
        calls(gs, GN_CALL_BACKGROUND),
        (double)gn_sched_lag(sched) / (double)GN_SECOND,
        (double)sched->stalls,
        (double)sched->preemptions,
        lua_memory(gs),
        gs ? gs->last : 0,
        leads ? gs->loaded : 0, /* who follows loads when it likes */
        leads ? gs->failed : 0,
        pool.queued,
        pool.threads - pool.idle,
        pool.idle,
        (double)(gn_now() - t->born) / (double)GN_SECOND,
        t->guest ? 0 : cpu_seconds(),
        t->guest ? 0 : resident(),
    };
    for (int i = 0; i < VALUES; i++)
        s->values[i] = s->before[i] + now[i];
}

/* ---- for Lua ---- */

static struct gn_telemetry *self(lua_State *L)
{
    struct gn_telemetry *t = lua_touserdata(L, lua_upvalueindex(1));
    return t ? t : (luaL_error(L, "no app is served here"), NULL);
}

static int check_series(lua_State *L)
{
    lua_Integer i = luaL_checkinteger(L, 1);
    luaL_argcheck(L, i >= 0 && (unsigned)i < own(self(L))->series, 1, "no such series");
    return (int)i;
}

/* stats.enable(wanted): whether requests are counted from now on */
static int s_enable(lua_State *L)
{
    struct gn_telemetry *t = self(L);
    bool wanted = lua_toboolean(L, 1);
    if (wanted)
        own(t)->used = true;
    gn_observer_set(t->observer, t->observer->log, wanted ? own(t) : NULL);
    if (t->enabled)
        t->enabled(t);
    return 0;
}

/* stats.route(rule) -> number for exchange.count_as() */
static int s_route(lua_State *L)
{
    lua_pushinteger(L, gn_stats_route(own(self(L)), luaL_checkstring(L, 1)));
    return 1;
}

/* stats.series({text ...}) -> {number ...} | nil when there is no room for all */
static int s_series(lua_State *L)
{
    struct gn_stats *s = own(self(L));
    lua_Integer n = luaL_len(L, 1), missing = 0;
    for (lua_Integer i = 1; i <= n; i++, lua_pop(L, 1)) {
        size_t len;
        lua_geti(L, 1, i);
        missing += find_series(s, luaL_checklstring(L, -1, &len)) < 0;
        if (len >= GN_SERIES_TEXT || s->series + missing > GN_SERIES)
            return 0;
    }
    s->used = true;
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, 1, i);
        const char *text = lua_tostring(L, -1);
        int at = find_series(s, text);
        lua_pushinteger(L, at < 0 ? add_series(s, text) : at);
        lua_rawseti(L, 2, i);
        lua_pop(L, 1);
    }
    return 1;
}

/* stats.add(series, n) */
static int s_add(lua_State *L)
{
    struct gn_series *s = &own(self(L))->serial[check_series(L)];
    s->value = s->value + luaL_checknumber(L, 2);
    return 0;
}

/* stats.set(series, n) */
static int s_set(lua_State *L)
{
    own(self(L))->serial[check_series(L)].value = luaL_checknumber(L, 2);
    return 0;
}

/* stats.serves() -> whether there is a host that counts */
static int s_serves(lua_State *L)
{
    lua_pushboolean(L, lua_touserdata(L, lua_upvalueindex(1)) != NULL);
    return 1;
}

/* stats.refresh(): brings the values of this worker up to date */
static int s_refresh(lua_State *L)
{
    gn_stats_refresh(self(L));
    return 0;
}

/* stats.workers() -> how many there are */
static int s_workers(lua_State *L)
{
    lua_pushinteger(L, self(L)->area->workers);
    return 1;
}

static void merge(lua_State *L, const struct gn_stats_area *a, int i)
{
    double result = 0;
    bool first = true;
    for (unsigned w = 0; w < a->workers; w++) {
        double v = a->blocks[w].values[i];
        bool better = values[i].merge == MOST ? v > result : v < result;
        if (!a->blocks[w].used)
            continue;
        result = values[i].merge == SUM ? result + v : first || better ? v : result;
        first = false;
    }
    lua_pushnumber(L, result);
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

/* stats.values() -> {{family =, type =, help =, labels =, value =} ...}, of all workers
 */
static int s_values(lua_State *L)
{
    lua_createtable(L, VALUES, 0);
    for (int i = 0; i < VALUES; i++) {
        lua_createtable(L, 0, 5);
        set_text(L, "family", values[i].family);
        set_text(L, "type", values[i].type);
        set_text(L, "help", values[i].help);
        set_text(L, "labels", values[i].labels);
        merge(L, self(L)->area, i);
        lua_setfield(L, -2, "value");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static void push_cell(lua_State *L, const struct gn_stats *s, const struct gn_cell *c)
{
    unsigned key = c->key - 1, route = key >> METHOD_BITS;
    bool rest = c == &s->cells[0];
    lua_createtable(L, 0, 5);
    set_text(L, "route", rest ? "other" : route ? s->route[route - 1] : "");
    set_text(L, "method", methods[rest ? 0 : key & ((1u << METHOD_BITS) - 1)]);
    lua_newtable(L);
    for (int i = 0; i < GN_STATUSES && c->answers[i].count; i++) {
        unsigned status = c->answers[i].status;
        lua_pushinteger(L, (lua_Integer)c->answers[i].count);
        lua_rawseti(L, -2, status); /* 0: other */
    }
    lua_setfield(L, -2, "statuses");
    lua_createtable(L, GN_LATENCIES, 0);
    for (int i = 0; i < GN_LATENCIES; i++) {
        lua_pushinteger(L, (lua_Integer)c->latencies[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setfield(L, -2, "latencies");
    lua_pushnumber(L, (lua_Number)c->sum / (lua_Number)GN_SECOND);
    lua_setfield(L, -2, "sum");
}

/* stats.requests(worker) -> {{route =, method =, statuses = {[status] = count},
 * latencies = {count ...}, sum = seconds} ...}; workers count from 1 */
static int s_requests(lua_State *L)
{
    const struct gn_stats_area *a = self(L)->area;
    lua_Integer w = luaL_checkinteger(L, 1), n = 0;
    luaL_argcheck(L, w >= 1 && w <= a->workers, 1, "no such worker");
    const struct gn_stats *s = &a->blocks[w - 1];
    lua_newtable(L);
    for (int i = 0; s->used && i < GN_CELLS; i++) {
        if (s->cells[i].key == 0)
            continue;
        push_cell(L, s, &s->cells[i]);
        lua_rawseti(L, -2, ++n);
    }
    return 1;
}

/* stats.all_series() -> {[text] = sum of all workers} */
static int s_all_series(lua_State *L)
{
    const struct gn_stats_area *a = self(L)->area;
    lua_newtable(L);
    for (unsigned w = 0; w < a->workers; w++)
        for (unsigned i = 0; i < a->blocks[w].series; i++) {
            const struct gn_series *s = &a->blocks[w].serial[i];
            lua_Number before = lua_getfield(L, -1, s->text) ? lua_tonumber(L, -1) : 0;
            lua_pop(L, 1);
            lua_pushnumber(L, before + s->value);
            lua_setfield(L, -2, s->text);
        }
    return 1;
}

/* stats.bounds() -> {seconds ...} of the buckets but the last */
static int s_bounds(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; i < GN_LATENCIES - 1; i++) {
        lua_pushnumber(L, (lua_Number)bounds[i] / (lua_Number)GN_SECOND);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* stats.stopping() -> whether the host is about to end */
static int s_stopping(lua_State *L)
{
    const struct gn_telemetry *t = lua_touserdata(L, lua_upvalueindex(1));
    lua_pushboolean(L, t && t->wires->draining);
    return 1;
}

static const luaL_Reg functions[] = {
    {"serves", s_serves},
    {"enable", s_enable},
    {"route", s_route},
    {"series", s_series},
    {"add", s_add},
    {"set", s_set},
    {"refresh", s_refresh},
    {"workers", s_workers},
    {"values", s_values},
    {"requests", s_requests},
    {"all_series", s_all_series},
    {"bounds", s_bounds},
    {"stopping", s_stopping},
    {NULL, NULL},
};

static int open_module(lua_State *L)
{
    return gn_vm_new_module(L, functions);
}

void gn_stats_register(lua_State *L, struct gn_telemetry *t)
{
    gn_vm_preload(L, "genet.stats", open_module, t);
}
