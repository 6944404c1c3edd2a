/* host/vm/disk.c and host/http/file.c: files read and sent as they are on disk. */
#include "wire_test.h"

#include "http/file.h"
#include "vm/disk.h"
#include "vm/vm.h"

#include <lauxlib.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { SIZE = 1000 * 1000 };

static char dir[] = "/tmp/genet-disk.XXXXXX";
static int file; /* SIZE bytes that tell their places */

static char byte_at(long long at)
{
    return (char)(at * 31 % 251);
}

/* ---- sending ---- */

static struct connection c;
static struct gn_request r;

static void begin(long long length)
{
    connect_to(&c, &usual);
    say(&c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(next_request(&c, &r));
    assert_int_equal(gn_respond_start(&r, 200, "", 0, length), 0);
}

static void finish(void)
{
    gn_request_end(&r);
    disconnect(&c);
}

struct hearing {
    long long from, total; /* of the file, what is to come */
    long long count;
    bool in_body;
};

/* Reads slowly until all has come, and compares. */
static void hear(void *arg)
{
    struct hearing *h = arg;
    char buf[10000];
    ssize_t n;
    while (h->count < h->total && (n = recv(c.peer, buf, sizeof buf, 0)) > 0) {
        const char *body = buf;
        if (!h->in_body)
            assert_non_null(body = memmem(buf, (size_t)n, "\r\n\r\n", 4));
        body += h->in_body ? 0 : 4;
        h->in_body = true;
        for (; body < buf + n; body++)
            if (*body != byte_at(h->from + h->count++))
                fail_msg("byte %lld is wrong", h->count - 1);
        if (h->count < h->total)
            gn_yield();
    }
}

static void parts_of_any_size_arrive(void **state)
{
    (void)state;
    const long long parts[][2] = {{0, SIZE}, {0, 1}, {SIZE - 1, 1}, {300000, 600000}};
    for (size_t i = 0; i < LENGTH(parts); i++) {
        struct hearing h = {parts[i][0], parts[i][1], 0, false};
        begin(parts[i][1]);
        go(hear, &h);
        assert_int_equal(gn_respond_file(&r, file, parts[i][0], parts[i][1]), 0);
        assert_int_equal(gn_respond_finish(&r), 0);
        assert_eventually(h.count == h.total);
        finish();
    }
}

static void a_file_that_ends_early_is_told(void **state)
{
    (void)state;
    struct hearing h = {SIZE - 10, 10, 0, false};
    begin(100);
    go(hear, &h);
    assert_int_equal(gn_respond_file(&r, file, SIZE - 10, 100), -ENODATA);
    assert_int_equal(r.progress, GN_STREAMING); /* so the connection is cut */
    assert_eventually(h.count == h.total);
    r.keep = false;
    finish();
}

static void the_length_must_be_kept(void **state)
{
    (void)state;
    begin(100);
    assert_int_equal(gn_respond_file(&r, file, 0, 101), -EMSGSIZE);
    assert_int_equal(gn_respond_file(&r, file, 0, 60), 0);
    assert_int_equal(gn_respond_file(&r, file, 0, 41), -EMSGSIZE);
    assert_int_equal(gn_respond_file(&r, file, 0, 0), 0);
    assert_int_equal(gn_respond_finish(&r), -EMSGSIZE);
    finish();
    begin(-1);
    assert_int_equal(gn_respond_file(&r, file, 0, 1), -EMSGSIZE);
    finish();
}

static void nobody_to_send_to(void **state)
{
    (void)state;
    begin(SIZE);
    hang_up(&c);
    assert_int_equal(gn_respond_file(&r, file, 0, SIZE), -EPIPE);
    finish();
}

static void cancel(void *fiber)
{
    gn_cancel(fiber, -ECANCELED);
}

static void a_cancelled_sender_stops(void **state)
{
    (void)state;
    begin(SIZE);
    go(cancel, gn_fiber_self()); /* while the peer does not read */
    assert_int_equal(gn_respond_file(&r, file, 0, SIZE), -ECANCELED);
    assert_true(c.wire->broken);
    finish();
}

/* ---- finding ---- */

static const char script[] =
    "local disk, dir = require 'genet.disk', ...\n"
    "local root = assert(disk.directory(dir))\n"
    "local function word(path, beneath)\n"
    "  local file, word = root:open(path, beneath)\n"
    "  if file then file:close() end\n"
    "  return word or 'opened'\n"
    "end\n"
    "local function is(expected, path, beneath)\n"
    "  local got = word(path, beneath)\n"
    "  if got ~= expected then\n"
    "    error(path .. ': ' .. got .. ' instead of ' .. expected)\n"
    "  end\n"
    "end\n"
    "is('opened', 'file', true)\n"
    "is('opened', 'sub/link', true)\n"
    "is('opened', 'sub/../file', true)\n"
    "is('outside', 'sub/out', true)\n"
    "is('outside', '../' .. dir:match('[^/]+$') .. '/../..', true)\n"
    "is('outside', 'sub/etc/hostname', true)\n"
    "is('opened', 'sub/etc/passwd', false)\n"
    "is('missing', 'nonesuch', true)\n"
    "is('missing', 'file/x', true)\n"
    "is('missing', 'loop', true)\n"
    "is('missing', ('x'):rep(300), true)\n"
    "is('directory', 'sub', true)\n"
    "is('special', 'fifo', true)\n"
    "local file = assert(root:open('file', true))\n"
    "assert(file:stat() == 1000000)\n"
    "assert(#file:read(10, 999995) == 5 and file:read(5, 2000000) == '')\n"
    "assert(root:same('file', file) and not root:same('sub', file))\n"
    "file:close()\n"
    "assert(not pcall(file.read, file, 1))\n"
    "assert(root:same('file', file) and root:reopen('file', file, true))\n"
    "assert(#file:read(10) == 10)\n"
    "assert(not root:reopen('sub/out', file, true))\n"
    "local names = root:list('sub', true)\n"
    "assert(names.link == false and names.etc == true and names['.'] == nil)\n"
    "assert(root:list('sub/etc', true) == nil and root:list('file', true) == nil)\n"
    "assert(disk.directory(dir .. '/nonesuch') == nil)\n";

static int run_script(lua_State *L)
{
    if (luaL_loadstring(L, script) != LUA_OK)
        return lua_error(L);
    lua_pushstring(L, dir);
    lua_call(L, 1, 0);
    return 0;
}

static int tell(lua_State *L)
{
    print_error("%s\n", lua_tostring(L, 2));
    return 0;
}

static void find_all(void)
{
    struct gn_vm vm;
    assert_int_equal(gn_vm_open(&vm), 0);
    assert_int_equal(gn_vm_call(&vm, run_script, NULL, tell), 0);
    gn_vm_close(&vm);
}

static void nothing_leads_out(void **state)
{
    (void)state;
    find_all();
}

/* Has the kernel know no openat2(2), for this process and for good. */
static void forbid_openat2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {LENGTH(code), code};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* The last test: it cannot be undone. */
static void nothing_leads_out_where_openat2_is_missing(void **state)
{
    (void)state;
    forbid_openat2();
    find_all();
}

/* ---- files ---- */

static void make(const char *name, const char *target)
{
    char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (target)
        assert_int_equal(symlink(target, path), 0);
    else
        assert_int_equal(mkfifo(path, 0600), 0);
}

static int set_up(void **state)
{
    (void)state;
    char path[200], *bytes = malloc(SIZE);
    signal(SIGPIPE, SIG_IGN);
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/sub", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    make("sub/link", "../file");
    make("sub/out", "../../");
    make("sub/etc", "/etc");
    make("loop", "loop");
    make("fifo", NULL);
    snprintf(path, sizeof path, "%s/file", dir);
    file = open(path, O_RDWR | O_CREAT, 0600);
    for (long long i = 0; i < SIZE; i++)
        bytes[i] = byte_at(i);
    assert_int_equal(write(file, bytes, SIZE), SIZE);
    free(bytes);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[200];
    close(file);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(parts_of_any_size_arrive),
        on_a_fiber(a_file_that_ends_early_is_told),
        on_a_fiber(the_length_must_be_kept),
        on_a_fiber(nobody_to_send_to),
        on_a_fiber(a_cancelled_sender_stops),
        on_a_fiber(nothing_leads_out),
        on_a_fiber(nothing_leads_out_where_openat2_is_missing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
