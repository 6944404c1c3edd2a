#include "gzip.h"

#include "../sched/offload.h"
#include "vm.h"

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <zlib.h>

enum {
    GZIP_WINDOW = 15 + 16, /* of 32 KB, with gzip's header */
    MEMORY = 8,            /* zlib's own default */
    SHORT = 32 * 1024      /* bytes that take less time than another thread would */
};

struct deflation {
    struct gn_job job;
    z_stream stream;
};

static void deflate_all(struct gn_job *job)
{
    deflate(&gn_container_of(job, struct deflation, job)->stream, Z_FINISH);
}

static int run(struct deflation *d, size_t n)
{
    if (n > SHORT && gn_may_park()) {
        int r = gn_offload_attended(&d->job, NULL);
        if (r != -ENOMEM)
            return r;
    }
    deflate_all(&d->job);
    return 0;
}

/* zlib.gzip(text, level) -> string. Waits, if the text is long. */
static int zlib_gzip(lua_State *L)
{
    struct deflation d = {.job = {.run = deflate_all, .heavy = true}};
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    lua_Integer level = luaL_checkinteger(L, 2);
    luaL_argcheck(L, level >= 1 && level <= 9, 2, "a level from 1 to 9 was expected");
    luaL_argcheck(L, n < UINT_MAX / 2, 1, "the text is too long");
    luaL_Buffer b;
    size_t room =
        compressBound((uLong)n) + 32; /* beside it gzip's header and trailer */
    char *out = luaL_buffinitsize(L, &b, room);
    if (deflateInit2(&d.stream, (int)level, Z_DEFLATED, GZIP_WINDOW, MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return luaL_error(L, "not enough memory");
    d.stream.next_in = (z_const Bytef *)text;
    d.stream.avail_in = (uInt)n;
    d.stream.next_out = (Bytef *)out;
    d.stream.avail_out = (uInt)room;
    int r = run(&d, n);
    size_t made = d.stream.total_out;
    deflateEnd(&d.stream);
    if (r < 0)
        return gn_vm_raise(L, r);
    luaL_pushresultsize(&b, made);
    return 1;
}

int luaopen_genet_zlib(lua_State *L)
{
    static const luaL_Reg functions[] = {{"gzip", zlib_gzip}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
