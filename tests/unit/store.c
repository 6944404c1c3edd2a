/* host/shared: values, expiry, eviction, lists, several processes, kill -9, a full
 * disk, damaged files, checkpoints. */
#include "fiber_test.h"

#include "shared/checkpoint.h"
#include "shared/home.h"
#include "shared/watch.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- a store of each test's own ---- */

static int64_t now_ms = 1000000;

static int64_t virtual_wall(void)
{
    return now_ms;
}

static char base[] = "/tmp/genet-store.XXXXXX";

struct box {
    char path[GN_HOME_ROOM];
    struct gn_store *store;
    unsigned dict;
    struct gn_scratch scratch;
    char error[GN_HOME_ROOM + 200];
};

static void box_make(struct box *b)
{
    static unsigned n;
    *b = (struct box){0};
    snprintf(b->path, sizeof b->path, "%s/%u", base, n++);
    assert_int_equal(mkdir(b->path, 0700), 0);
}

static int box_try(struct box *b, bool in_memory, bool virtual, uint64_t limit)
{
    struct gn_store_options o = {.path = b->path,
                                 .limit = limit,
                                 .in_memory = in_memory,
                                 .wall = virtual ? virtual_wall : NULL,
                                 .checkpoint_ms = 20};
    return gn_store_open(&b->store, &o, b->error, sizeof b->error);
}

static void box_open(struct box *b, bool in_memory, bool virtual, uint64_t limit)
{
    int r = box_try(b, in_memory, virtual, limit);
    if (r < 0)
        print_error("%s\n", b->error);
    assert_int_equal(r, 0);
    r = gn_store_dict(b->store, "test", 4, false);
    assert_true(r >= 0);
    b->dict = (unsigned)r;
}

static void box_close(struct box *b)
{
    gn_store_close(b->store);
    b->store = NULL;
    free(b->scratch.data);
    b->scratch = (struct gn_scratch){0};
}

static struct gn_key key(const struct box *b, const char *name)
{
    return (struct gn_key){b->dict, name, strlen(name)};
}

static struct gn_value integer(int64_t i)
{
    return (struct gn_value){.kind = GN_INTEGER, .integer = i};
}

static struct gn_value text(const char *s)
{
    return (struct gn_value){.kind = GN_BYTES, .data = s, .size = strlen(s)};
}

static int set(struct box *b, const char *name, struct gn_value v, int64_t expires)
{
    struct gn_key k = key(b, name);
    return gn_store_set(b->store, &k, &v, expires, GN_ALWAYS, 0);
}

static struct gn_item get(struct box *b, const char *name)
{
    struct gn_key k = key(b, name);
    struct gn_item e;
    assert_int_equal(gn_store_get(b->store, &k, &e, &b->scratch), 0);
    return e;
}

static bool has(struct box *b, const char *name)
{
    return get(b, name).version != 0;
}

static int incr(struct box *b, const char *name, int64_t *sum)
{
    struct gn_key k = key(b, name);
    struct gn_value by = integer(1), zero = integer(0), out = {0};
    int r = gn_store_incr(b->store, &k, &by, &zero, 0, &out);
    *sum = out.integer;
    return r;
}

/* ---- values ---- */

static void values_are_kept(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        box_open(&b, in_memory, false, 0);
        assert_false(has(&b, "a"));
        assert_int_equal(set(&b, "a", integer(-7), 0), 0);
        assert_int_equal(get(&b, "a").value.integer, -7);
        assert_int_equal(set(&b, "a", text("some text"), 0), 0);
        struct gn_item e = get(&b, "a");
        assert_int_equal(e.value.size, 9);
        assert_memory_equal(e.value.data, "some text", 9);
        assert_int_equal(set(&b, "", text(""), 0), 0);
        assert_true(has(&b, ""));
        struct gn_key k = key(&b, "a");
        assert_int_equal(gn_store_delete(b.store, &k), 1);
        assert_int_equal(gn_store_delete(b.store, &k), 0);
        assert_false(has(&b, "a"));
        box_close(&b);
        box_make(&b);
    }
}

static void conditions_hold(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    box_open(&b, true, false, 0);
    struct gn_key k = key(&b, "a");
    struct gn_value one = integer(1), two = integer(2);
    assert_int_equal(gn_store_set(b.store, &k, &one, 0, GN_PRESENT, 0), -ENOENT);
    assert_int_equal(gn_store_set(b.store, &k, &one, 0, GN_IF_ABSENT, 0), 0);
    assert_int_equal(gn_store_set(b.store, &k, &two, 0, GN_IF_ABSENT, 0), -EEXIST);
    uint64_t version = get(&b, "a").version;
    assert_int_equal(gn_store_set(b.store, &k, &two, 0, GN_VERSION, version + 1),
                     -EAGAIN);
    assert_int_equal(gn_store_set(b.store, &k, &two, 0, GN_VERSION, version), 0);
    assert_int_equal(gn_store_set(b.store, &k, &one, 0, GN_VERSION, version), -EAGAIN);
    assert_int_equal(get(&b, "a").value.integer, 2);
    k.size = GN_STORE_KEY + 1;
    assert_int_equal(gn_store_set(b.store, &k, &one, 0, GN_ALWAYS, 0), -ENAMETOOLONG);
    box_close(&b);
}

static void numbers_add_up(void **state)
{
    struct box b;
    int64_t sum;
    (void)state;
    box_make(&b);
    box_open(&b, true, false, 0);
    struct gn_key k = key(&b, "n");
    struct gn_value half = {.kind = GN_NUMBER, .number = 0.5}, one = integer(1), out;
    assert_int_equal(gn_store_incr(b.store, &k, &one, NULL, 0, &out), -ENOENT);
    assert_int_equal(incr(&b, "n", &sum), 0);
    assert_int_equal(sum, 1);
    assert_int_equal(gn_store_incr(b.store, &k, &half, NULL, 0, &out), 0);
    assert_true(out.kind == GN_NUMBER && out.number == 1.5);
    set(&b, "n", integer(INT64_MAX), 0);
    assert_int_equal(gn_store_incr(b.store, &k, &one, NULL, 0, &out), -ERANGE);
    set(&b, "n", text("x"), 0);
    assert_int_equal(gn_store_incr(b.store, &k, &one, NULL, 0, &out), -EINVAL);
    box_close(&b);
}

static void dictionaries_are_apart(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    box_open(&b, true, false, 0);
    set(&b, "a", integer(1), 0);
    unsigned first = b.dict;
    b.dict = (unsigned)gn_store_dict(b.store, "other", 5, false);
    assert_int_not_equal(b.dict, first);
    assert_false(has(&b, "a"));
    assert_int_equal(gn_store_dict(b.store, "test", 4, false), first);
    box_close(&b);
}

/* ---- expiry ---- */

static void entries_expire(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    box_open(&b, true, true, 0);
    set(&b, "a", integer(1), now_ms + 1000);
    set(&b, "b", integer(1), 0);
    now_ms += 999;
    assert_true(has(&b, "a"));
    now_ms += 1;
    assert_false(has(&b, "a"));
    assert_true(has(&b, "b"));
    struct gn_key k = key(&b, "a");
    struct gn_value v = integer(2);
    assert_int_equal(gn_store_set(b.store, &k, &v, 0, GN_PRESENT, 0), -ENOENT);
    assert_int_equal(gn_store_set(b.store, &k, &v, now_ms + 50, GN_IF_ABSENT, 0), 0);
    assert_int_equal(gn_store_set(b.store, &k, &v, GN_KEEP_EXPIRY, GN_PRESENT, 0), 0);
    assert_int_equal(get(&b, "a").expires, now_ms + 50);
    assert_int_equal(gn_store_expire(b.store, &k, 0), 0);
    now_ms += 1000;
    assert_true(has(&b, "a"));
    box_close(&b);
}

static void writes_remove_what_has_expired(void **state)
{
    struct box b;
    char name[32];
    (void)state;
    box_make(&b);
    box_open(&b, true, true, 0);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "gone %d", i);
        set(&b, name, integer(1), now_ms + 10);
    }
    now_ms += 100;
    const struct gn_tally *t = &gn_store_board(b.store)->dicts[b.dict];
    for (int i = 0; i < 100000 && atomic_load(&t->entries) > 101; i++)
        set(&b, "here", integer(i), 0);
    assert_true(atomic_load(&t->entries) <= 101);
    assert_true(atomic_load(&t->expired) >= 399);
    box_close(&b);
}

/* ---- memory ---- */

static void fill(struct box *b, int from, int to)
{
    char name[32], data[1000];
    memset(data, 'x', sizeof data);
    for (int i = from; i < to; i++) {
        snprintf(name, sizeof name, "%d", i);
        struct gn_value v = {.kind = GN_BYTES, .data = data, .size = sizeof data};
        assert_int_equal(set(b, name, v, 0), 0);
    }
}

static void the_unused_go_first(void **state)
{
    struct box b;
    char name[32];
    int old = 0, used = 0;
    (void)state;
    box_make(&b);
    box_open(&b, true, true, 1 << 20);
    fill(&b, 0, 500);
    for (int i = 500; i < 1500; i += 50) {
        now_ms += 10000;
        for (int j = 0; j < 100; j++) {
            snprintf(name, sizeof name, "%d", j);
            used = has(&b, name) ? used + 1 : used;
        }
        fill(&b, i, i + 50);
    }
    used = 0;
    for (int j = 0; j < 500; j++) {
        snprintf(name, sizeof name, "%d", j);
        *(j < 100 ? &used : &old) += has(&b, name);
    }
    print_message("of 100 in use %d are left, of 400 others %d\n", used, old);
    assert_true(used > 80);
    assert_true(old < 80);
    struct gn_marks *marks = gn_store_board(b.store);
    assert_true(atomic_load(&marks->bytes) <= 1 << 20);
    assert_true(atomic_load(&marks->dicts[b.dict].evicted) > 0);
    box_close(&b);
}

static void a_strict_one_loses_nothing(void **state)
{
    struct box b;
    char name[32], data[1000];
    int n = 0, r;
    (void)state;
    memset(data, 'x', sizeof data);
    box_make(&b);
    box_open(&b, true, false, 1 << 20);
    unsigned lru = b.dict;
    b.dict = (unsigned)gn_store_dict(b.store, "strict", 6, true);
    struct gn_value v = {.kind = GN_BYTES, .data = data, .size = sizeof data};
    do
        snprintf(name, sizeof name, "%d", n);
    while ((r = set(&b, name, v, 0)) == 0 && ++n < 10000);
    assert_int_equal(r, -ENOMEM);
    assert_true(n > 500);
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_true(has(&b, name));
    }
    assert_int_equal(set(&b, "0", integer(1), 0), 0);
    b.dict = lru;
    assert_int_equal(set(&b, "other", integer(1), 0), 0);
    box_close(&b);
}

static void a_value_may_be_too_large(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    box_open(&b, true, false, 1 << 20);
    char *data = calloc(1, 2 << 20);
    struct gn_value v = {.kind = GN_BYTES, .data = data, .size = 2 << 20};
    fill(&b, 0, 10);
    assert_int_equal(set(&b, "a", v, 0), -ENOMEM);
    assert_true(has(&b, "9"));
    v.size = 600 << 10;
    for (int i = 0; i < 50; i++)
        assert_int_equal(set(&b, i % 2 ? "a" : "b", v, 0), 0);
    free(data);
    box_close(&b);
}

/* In a child, where a small filesystem can be mounted. Exits with 77 where it cannot.
 */
static void fill_small_disk(struct box *b, bool in_memory)
{
    char name[32], data[3000] = "x";
    int failures = 0;
    int64_t sum;
    if (unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", b->path, "tmpfs", 0, "size=4m") < 0)
        _exit(77);
    box_open(b, in_memory, false, 64 << 20);
    unsigned lru = b->dict;
    b->dict = (unsigned)gn_store_dict(b->store, "strict", 6, true);
    struct gn_value v = {.kind = GN_BYTES, .data = data, .size = sizeof data};
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "%d", i);
        int r = set(b, name, v, 0);
        failures += r == -ENOMEM;
        if (r != 0 && r != -ENOMEM)
            _exit(10 - r);
    }
    struct gn_walk walk = {0};
    while (gn_store_flush(b->store, b->dict, &walk) > 0)
        ;
    b->dict = lru;
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof name, "%d", i);
        int64_t give_up = gn_after(20 * GN_SECOND);
        while (set(b, name, v, 0) != 0) /* on disk a checkpoint may take the room */
            if (in_memory || gn_now() > give_up)
                _exit(2);
    }
    _exit(failures > 1000 && incr(b, "n", &sum) == 0 ? 0 : 3);
}

static int wait_for(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void a_full_disk_is_an_error(void **state)
{
    (void)state;
    for (int in_memory = 0; in_memory < 2; in_memory++) {
        struct box b;
        box_make(&b);
        pid_t pid = fork();
        if (pid == 0)
            fill_small_disk(&b, in_memory);
        int r = wait_for(pid);
        if (r == 77)
            skip();
        assert_int_equal(r, 0);
    }
}

/* ---- lists ---- */

static void lists_have_two_ends(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    box_open(&b, true, false, 0);
    struct gn_key k = key(&b, "l");
    struct gn_value v, one = integer(1), two = text("two"), zero = integer(0);
    assert_int_equal(gn_store_pop(b.store, &k, true, &v, &b.scratch), 0);
    assert_int_equal(v.kind, GN_NONE);
    assert_int_equal(gn_store_push(b.store, &k, &one, false), 1);
    assert_int_equal(gn_store_push(b.store, &k, &two, false), 2);
    assert_int_equal(gn_store_push(b.store, &k, &zero, true), 3);
    assert_int_equal(get(&b, "l").value.integer, 3);
    assert_int_equal(gn_store_pop(b.store, &k, true, &v, &b.scratch), 0);
    assert_int_equal(v.integer, 0);
    assert_int_equal(gn_store_pop(b.store, &k, false, &v, &b.scratch), 0);
    assert_memory_equal(v.data, "two", 3);
    assert_int_equal(gn_store_expire(b.store, &k, INT64_MAX), 0);
    assert_int_equal(get(&b, "l").value.integer, 1);
    assert_int_equal(gn_store_pop(b.store, &k, false, &v, &b.scratch), 0);
    assert_false(has(&b, "l"));
    set(&b, "l", one, 0);
    assert_int_equal(gn_store_push(b.store, &k, &two, false), -EINVAL);
    box_close(&b);
}

static void a_long_list_goes_by_and_by(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    box_open(&b, true, false, 0);
    struct gn_key k = key(&b, "l");
    struct gn_value v = integer(1);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(gn_store_push(b.store, &k, &v, i % 2), i + 1);
    set(&b, "l", v, 0);
    struct gn_tally *t = &gn_store_board(b.store)->dicts[b.dict];
    long long before = atomic_load(&t->bytes);
    for (int i = 0; i < 2000; i++)
        set(&b, "l", v, 0);
    assert_true(before > 10000);
    assert_true(atomic_load(&t->bytes) < 200);
    box_close(&b);
}

/* ---- all of them ---- */

static bool count(const char *name, size_t n, void *arg)
{
    (void)name, (void)n;
    ++*(int *)arg;
    return true;
}

static int count_keys(struct box *b)
{
    struct gn_walk walk = {0};
    int n = 0, more;
    while ((more = gn_store_walk(b->store, b->dict, &walk, count, &n)) > 0)
        ;
    assert_int_equal(more, 0);
    return n;
}

static void what_comes_during_a_flush_stays(void **state)
{
    struct box b;
    char name[32];
    (void)state;
    box_make(&b);
    box_open(&b, true, false, 0);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "%d", i);
        set(&b, name, integer(i), 0);
    }
    assert_int_equal(count_keys(&b), 3000);
    struct gn_walk walk = {0};
    assert_int_equal(gn_store_flush(b.store, b.dict, &walk), 1);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "%d", i);
        set(&b, name, integer(i), 0);
    }
    while (gn_store_flush(b.store, b.dict, &walk) > 0)
        ;
    assert_int_equal(count_keys(&b), 100);
    assert_int_equal(atomic_load(&gn_store_board(b.store)->dicts[b.dict].entries), 100);
    box_close(&b);
}

/* ---- several processes ---- */

static void count_to(struct box *b, int n)
{
    int64_t sum;
    box_open(b, true, false, 0);
    for (int i = 0; i < n; i++)
        if (incr(b, "n", &sum) != 0)
            _exit(1);
    _exit(0);
}

static void two_processes_count(void **state)
{
    struct box b;
    int n = SANITIZED ? 50000 : 1000000;
    (void)state;
    box_make(&b);
    pid_t pids[2];
    for (int i = 0; i < 2; i++)
        if ((pids[i] = fork()) == 0)
            count_to(&b, n);
    assert_int_equal(wait_for(pids[0]), 0);
    assert_int_equal(wait_for(pids[1]), 0);
    box_open(&b, true, false, 0);
    assert_int_equal(get(&b, "n").value.integer, 2 * n);
    box_close(&b);
}

static int die(const struct gn_item *present, struct gn_item *next, void *arg)
{
    (void)present, (void)next, (void)arg;
    raise(SIGKILL);
    return GN_LEAVE;
}

static bool die_reading(const char *name, size_t n, void *arg)
{
    (void)name, (void)n, (void)arg;
    raise(SIGKILL);
    return false;
}

static void die_inside(struct box *b, bool writing)
{
    struct gn_walk walk = {0};
    box_open(b, true, false, 1 << 20);
    set(b, "there", integer(1), 0);
    struct gn_key k = key(b, "there");
    if (writing)
        gn_store_edit(b->store, &k, die, NULL);
    else
        gn_store_walk(b->store, b->dict, &walk, die_reading, NULL);
    _exit(1);
}

static void the_dead_hold_nothing(void **state)
{
    (void)state;
    for (int writing = 0; writing < 2; writing++) {
        struct box b;
        box_make(&b);
        int ready[2], go_on[2];
        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(go_on), 0);
        pid_t pid = fork();
        if (pid == 0) {
            char c;
            if (read(go_on[0], &c, 1) != 1)
                _exit(2);
            die_inside(&b, writing);
        }
        box_open(&b, true, false, 1 << 20);
        assert_int_equal(write(go_on[1], "x", 1), 1);
        assert_int_equal(wait_for(pid), 1000 + SIGKILL);
        fill(&b, 0, 30000); /* many times the room of the map */
        assert_int_equal(get(&b, "there").version, 0);
        box_close(&b);
        close_both(ready);
        close_both(go_on);
    }
}

/* What the storm's children tell of what they do, in memory that all share. */
struct tale {
    atomic_long attempted, acknowledged; /* increments */
    atomic_long set[4];                  /* the last value acknowledged, by child */
};

static void storm_child(struct box *b, struct tale *tale, int me)
{
    char name[8];
    int64_t sum;
    snprintf(name, sizeof name, "%d", me);
    if (box_try(b, true, false, 0) < 0)
        _exit(1);
    b->dict = (unsigned)gn_store_dict(b->store, "test", 4, false);
    for (long i = atomic_load(&tale->set[me]) + 1;; i++) {
        atomic_fetch_add(&tale->attempted, 1);
        if (incr(b, "n", &sum) != 0)
            _exit(2);
        atomic_fetch_add(&tale->acknowledged, 1);
        if (set(b, name, integer(i), 0) != 0)
            _exit(3);
        atomic_store(&tale->set[me], i);
    }
}

static void a_storm_loses_nothing(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    struct tale *tale = mmap(NULL, sizeof *tale, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[4] = {0};
    for (int round = 0; round < 60; round++) {
        int i = round < 4 ? round : rand() % 4;
        if (pids[i]) {
            kill(pids[i], SIGKILL);
            assert_int_equal(wait_for(pids[i]), 1000 + SIGKILL);
        }
        if ((pids[i] = fork()) == 0)
            storm_child(&b, tale, i);
        if (round >= 4)
            usleep(50000 + (unsigned)rand() % 50000);
    }
    for (int i = 0; i < 4; i++) {
        kill(pids[i], SIGKILL);
        assert_int_equal(wait_for(pids[i]), 1000 + SIGKILL);
    }
    box_open(&b, true, false, 0);
    long n = get(&b, "n").value.integer;
    print_message("%ld acknowledged, %ld there, %ld attempted\n",
                  atomic_load(&tale->acknowledged), n, atomic_load(&tale->attempted));
    assert_true(n >= atomic_load(&tale->acknowledged));
    assert_true(n <= atomic_load(&tale->attempted));
    assert_true(n > 100);
    for (int i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        long there = get(&b, name).value.integer, told = atomic_load(&tale->set[i]);
        assert_true(there == told || there == told + 1);
    }
    box_close(&b);
    munmap(tale, sizeof *tale);
}

/* ---- watching ---- */

static struct box watched;
static int woken;

static void wait_for_change(void *arg)
{
    struct gn_key k = key(&watched, arg);
    struct gn_item e;
    struct gn_scratch scratch = {0};
    if (gn_store_watch(watched.store, &k, 0, gn_after(30 * GN_SECOND), &e, &scratch) ==
            0 &&
        e.value.integer == 5)
        woken++;
    free(scratch.data);
}

/* In a process of its own, once it is told to. */
static void change_elsewhere(int told)
{
    char c;
    if (read(told, &c, 1) != 1 || box_try(&watched, true, false, 0) < 0)
        _exit(1);
    watched.dict = (unsigned)gn_store_dict(watched.store, "test", 4, false);
    _exit(set(&watched, "b", integer(5), 0) == 0 ? 0 : 2);
}

static int tell[2];

static void watch_both(void *arg)
{
    (void)arg;
    box_open(&watched, true, false, 0);
    for (int i = 0; i < 100; i++)
        go(wait_for_change, i % 2 ? "a" : "b");
    usleep(20000);
    assert_int_equal(woken, 0);
    set(&watched, "a", integer(5), 0);
    assert_eventually(woken == 50);
    assert_int_equal(write(tell[1], "x", 1), 1);
    assert_eventually(woken == 100);
    struct gn_key k = key(&watched, "a");
    struct gn_item e;
    uint64_t version = get(&watched, "a").version;
    assert_int_equal(gn_store_watch(watched.store, &k, version, gn_after_ms(20), &e,
                                    &watched.scratch),
                     -ETIMEDOUT);
    box_close(&watched);
}

static void a_change_wakes(void **state)
{
    (void)state;
    woken = 0;
    box_make(&watched);
    assert_int_equal(pipe(tell), 0);
    pid_t pid = fork();
    if (pid == 0)
        change_elsewhere(tell[0]);
    struct gn_sched *s = sched_begin();
    go(watch_both, NULL);
    sched_end(s);
    assert_int_equal(wait_for(pid), 0);
    close_both(tell);
}

/* The write lock is held in another process for a while: others of the thread go on. */
static int hold(const struct gn_item *present, struct gn_item *next, void *arg)
{
    (void)present, (void)next;
    if (write(*(int *)arg, "x", 1) != 1)
        _exit(1);
    usleep(300000);
    return GN_LEAVE;
}

static int ticks;
static bool holding;

static void tick(void *arg)
{
    (void)arg;
    for (; holding; ticks++)
        usleep(1000);
}

static void write_in_vain(void *arg)
{
    holding = true;
    go(tick, NULL);
    assert_int_equal(set(arg, "a", integer(1), 0), 0);
    holding = false;
    assert_true(ticks > 20);
}

static void a_lock_elsewhere_holds_nobody_up(void **state)
{
    struct box b;
    int held[2], told[2];
    char c;
    (void)state;
    box_make(&b);
    assert_int_equal(pipe(held), 0);
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct gn_key k = {0, "x", 1};
        if (read(told[0], &c, 1) != 1 || box_try(&b, true, false, 0) < 0)
            _exit(1);
        gn_store_edit(b.store, &k, hold, &held[1]);
        _exit(0);
    }
    box_open(&b, true, false, 0);
    assert_int_equal(write(told[1], "x", 1), 1);
    assert_int_equal(read(held[0], &c, 1), 1);
    struct gn_sched *s = sched_begin();
    go(write_in_vain, &b);
    sched_end(s);
    assert_int_equal(wait_for(pid), 0);
    close_both(held);
    close_both(told);
    box_close(&b);
}

/* ---- where it lies ---- */

static void bad_places_are_told(void **state)
{
    struct box b = {0};
    static const struct {
        const char *path;
        int error;
    } cases[] = {{"/nonesuch/at/all", -ENOENT}, {"/etc/passwd", -ENOTDIR}};
    (void)state;
    for (size_t i = 0; i < LENGTH(cases); i++) {
        snprintf(b.path, sizeof b.path, "%s", cases[i].path);
        assert_int_equal(box_try(&b, false, false, 0), cases[i].error);
        assert_non_null(strstr(b.error, cases[i].path));
    }
    snprintf(b.path, sizeof b.path, "/proc/self"); /* nothing can be made there */
    assert_true(box_try(&b, false, false, 0) < 0);
    memset(b.path, 'x', sizeof b.path - 1);
    assert_int_equal(box_try(&b, false, false, 0), -ENAMETOOLONG);
}

static void overwrite(const struct box *b, off_t at, size_t n, bool cut)
{
    char name[PATH_MAX], junk[4096];
    snprintf(name, sizeof name, "%s/data.mdb", b->path);
    memset(junk, 0x55, sizeof junk);
    int fd = open(name, O_RDWR);
    assert_true(fd >= 0);
    for (; n > 0; n -= sizeof junk, at += sizeof junk)
        assert_int_equal(pwrite(fd, junk, sizeof junk, at), sizeof junk);
    if (cut)
        assert_int_equal(ftruncate(fd, at), 0);
    close(fd);
}

static void damage_is_told(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct box b;
        box_make(&b);
        box_open(&b, false, false, 0);
        fill(&b, 0, 100);
        box_close(&b);
        overwrite(&b, cut ? 8192 : 0, cut ? 0 : 8192, cut);
        assert_int_equal(box_try(&b, false, false, 0), -EIO);
        assert_non_null(strstr(b.error, b.path));
    }
}

static void private_places_go(void **state)
{
    char mine[GN_HOME_ROOM], dead[GN_HOME_ROOM], shared[GN_HOME_ROOM];
    int alive, fd[2];
    (void)state;
    snprintf(shared, sizeof shared, "%s/shm", base);
    assert_int_equal(mkdir(shared, 0700), 0);
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (gn_home_make(shared, dead, sizeof dead, &alive) < 0)
            _exit(1);
        _exit(write(fd[1], dead, sizeof dead) == sizeof dead ? 0 : 2);
    }
    assert_int_equal(read(fd[0], dead, sizeof dead), sizeof dead);
    assert_int_equal(wait_for(pid), 0);
    close_both(fd);
    assert_int_equal(access(dead, F_OK), 0);
    assert_int_equal(gn_home_make(shared, mine, sizeof mine, &alive), 0);
    assert_int_equal(access(dead, F_OK), -1);
    struct stat st;
    assert_int_equal(stat(mine, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(gn_home_sweep(shared), 0);
    assert_int_equal(access(mine, F_OK), 0);
    gn_home_remove(mine, alive);
    assert_int_equal(access(mine, F_OK), -1);
}

/* ---- durability ---- */

static void write_file(const struct box *b, const char *name, const char *data)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", b->path, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, strlen(data)), strlen(data));
    close(fd);
}

static bool exists(const struct box *b, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", b->path, name);
    return access(path, F_OK) == 0;
}

static void it_survives_a_restart(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    box_open(&b, false, false, 0);
    fill(&b, 0, 100);
    long long bytes = atomic_load(&gn_store_board(b.store)->bytes);
    box_close(&b);
    box_open(&b, false, false, 0);
    assert_int_equal(count_keys(&b), 100);
    assert_int_equal(atomic_load(&gn_store_board(b.store)->bytes), bytes);
    assert_null(gn_store_note(b.store));
    box_close(&b);
}

static void it_survives_a_kill(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    pid_t pid = fork();
    if (pid == 0) {
        box_open(&b, false, false, 0);
        fill(&b, 0, 100);
        raise(SIGKILL);
    }
    assert_int_equal(wait_for(pid), 1000 + SIGKILL);
    box_open(&b, false, false, 0);
    assert_int_equal(count_keys(&b), 100);
    box_close(&b);
}

/* As if the machine had gone down: the database is junk, the boot another one. */
static void a_power_cut_leaves_the_checkpoint(void **state)
{
    struct box b;
    (void)state;
    box_make(&b);
    pid_t pid = fork();
    if (pid == 0) {
        box_open(&b, false, false, 0);
        fill(&b, 0, 100);
        struct gn_marks *marks = gn_store_board(b.store);
        assert_eventually(atomic_load(&marks->saved) == atomic_load(&marks->commits));
        raise(SIGKILL);
    }
    assert_int_equal(wait_for(pid), 1000 + SIGKILL);
    for (int i = 0; i < 2; i++) {
        write_file(&b, "boot", "another one");
        overwrite(&b, 0, 65536, false);
        box_open(&b, false, false, 0);
        assert_int_equal(count_keys(&b), 100);
        assert_non_null(gn_store_note(b.store));
        box_close(&b);
    }
    write_file(&b, "boot", "another one");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/checkpoint.mdb", b.path);
    unlink(path);
    overwrite(&b, 0, 65536, false);
    box_open(&b, false, false, 0);
    assert_int_equal(count_keys(&b), 0);
    assert_true(exists(&b, "data.mdb.old"));
    box_close(&b);
}

static int begin(void **state)
{
    (void)state;
    return mkdtemp(base) ? 0 : -1;
}

static int end(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", base);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_kept),
        cmocka_unit_test(conditions_hold),
        cmocka_unit_test(numbers_add_up),
        cmocka_unit_test(dictionaries_are_apart),
        cmocka_unit_test(entries_expire),
        cmocka_unit_test(writes_remove_what_has_expired),
        cmocka_unit_test(the_unused_go_first),
        cmocka_unit_test(a_strict_one_loses_nothing),
        cmocka_unit_test(a_value_may_be_too_large),
        cmocka_unit_test(a_full_disk_is_an_error),
        cmocka_unit_test(lists_have_two_ends),
        cmocka_unit_test(a_long_list_goes_by_and_by),
        cmocka_unit_test(what_comes_during_a_flush_stays),
        cmocka_unit_test(two_processes_count),
        cmocka_unit_test(the_dead_hold_nothing),
        cmocka_unit_test(a_storm_loses_nothing),
        cmocka_unit_test(a_change_wakes),
        cmocka_unit_test(a_lock_elsewhere_holds_nobody_up),
        cmocka_unit_test(bad_places_are_told),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(private_places_go),
        cmocka_unit_test(it_survives_a_restart),
        cmocka_unit_test(it_survives_a_kill),
        cmocka_unit_test(a_power_cut_leaves_the_checkpoint),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
