/* host/bus/bus.c: every member gets what the others publish, in their order, at most
 * once; and what one has no room for is dropped there only. */
#include "fiber_test.h"

#include "bus/bus.h"
#include "log.h"

static struct gn_bus bus;

static struct gn_bus_message *new_message(const char *topic, const char *text)
{
    struct gn_bus_message *m =
        gn_bus_message_new(GN_BUS_TEXT, topic, strlen(topic), text, strlen(text));
    if (!m)
        abort();
    return m;
}

static void say(const struct gn_bus_member *from, const char *topic, const char *text)
{
    struct gn_bus_message *m = new_message(topic, text);
    gn_bus_publish(&bus, from, m);
    gn_bus_message_unref(m);
}

/* ---- listeners ---- */

struct listener {
    struct gn_bus_member member;
    size_t got, calls;
    size_t taken; /* by the latest deliver() */
    char last[64];
    bool stuck; /* its deliver() waits until it is cancelled or this is false */
    int ended;  /* how the wait did */
};

static void deliver(struct gn_bus_member *m, struct gn_bus_message *const *batch,
                    size_t n)
{
    struct listener *l = gn_container_of(m, struct listener, member);
    l->calls++;
    l->taken = n;
    while (l->stuck && l->ended == 0)
        l->ended = gn_sleep_until(gn_after(GN_MS));
    for (size_t i = 0; i < n; i++) {
        l->got++;
        snprintf(l->last, sizeof l->last, "%.*s",
                 (int)(batch[i]->topic_length + batch[i]->length), batch[i]->bytes);
    }
}

static void join(struct listener *l)
{
    *l = (struct listener){.got = 0};
    gn_bus_join(&bus, &l->member, "the test", deliver);
}

static int begin(void **state)
{
    (void)state;
    gn_log_set_level(GN_ERROR);
    gn_bus_init(&bus);
    return 0;
}

static int end(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&bus.count), 0);
    gn_bus_term(&bus);
    return 0;
}

/* ---- one thread ---- */

static void all_but_the_publisher_get_it(void **state)
{
    (void)state;
    struct listener a, b, c;
    join(&a);
    assert_false(gn_bus_is_heard(&bus));
    join(&b);
    join(&c);
    assert_true(gn_bus_is_heard(&bus));
    say(&a.member, "news", "it rains");
    assert_eventually(b.got == 1 && c.got == 1);
    assert_string_equal(b.last, "newsit rains");
    say(NULL, "", "x");
    assert_eventually(a.got == 1 && b.got == 2 && c.got == 2);
    assert_string_equal(a.last, "x");
    gn_bus_leave(&b.member);
    gn_bus_leave(&b.member); /* does nothing */
    say(&a.member, "news", "it snows");
    assert_eventually(c.got == 3);
    assert_int_equal(b.got, 2);
    gn_bus_leave(&a.member);
    gn_bus_leave(&c.member);
}

static void a_burst_comes_in_batches(void **state)
{
    (void)state;
    struct listener a;
    join(&a);
    for (int i = 0; i < 10 * GN_BUS_BATCH; i++)
        say(NULL, "t", "x");
    assert_int_equal(gn_bus_flush(&a.member, gn_after(30 * GN_SECOND)), 0);
    assert_int_equal(a.got, 10 * GN_BUS_BATCH);
    assert_int_equal(a.calls, 10);
    gn_bus_leave(&a.member);
}

static void what_has_no_room_is_dropped_there_only(void **state)
{
    (void)state;
    enum { ALL = GN_BUS_MESSAGES + 1000 };
    struct listener slow, quick;
    char text[16];
    join(&slow);
    join(&quick);
    slow.stuck = true;
    for (int i = 0; i < ALL; i++) {
        snprintf(text, sizeof text, "%d", i);
        say(NULL, "", text);
        if (i % 1000 == 0)
            assert_int_equal(gn_bus_flush(&quick.member, gn_after(30 * GN_SECOND)), 0);
    }
    size_t dropped = gn_bus_dropped(&slow.member);
    assert_int_equal(dropped, ALL - GN_BUS_MESSAGES - slow.taken);
    assert_eventually(quick.got == ALL);
    assert_int_equal(gn_bus_dropped(&quick.member), 0);
    slow.stuck = false;
    assert_eventually(slow.got == ALL - dropped);
    say(NULL, "", "more");
    assert_eventually(strcmp(slow.last, "more") == 0);
    gn_bus_leave(&slow.member);
    gn_bus_leave(&quick.member);
}

static void size_has_a_bound_too_but_one_message_always_goes(void **state)
{
    (void)state;
    struct listener a;
    join(&a);
    struct gn_bus_message *large =
        gn_bus_message_new(GN_BUS_BINARY, "t", 1, NULL, GN_BUS_BYTES);
    assert_non_null(large);
    memset(large->bytes + 1, 'x', GN_BUS_BYTES);
    gn_bus_publish(&bus, NULL, large);
    gn_bus_publish(&bus, NULL, large);
    assert_int_equal(gn_bus_dropped(&a.member), 1);
    assert_eventually(a.got == 1);
    gn_bus_publish(&bus, NULL, large);
    gn_bus_message_unref(large);
    assert_eventually(a.got == 2);
    gn_bus_leave(&a.member);
}

static void leaving_cancels_who_waits(void **state)
{
    (void)state;
    struct listener a;
    join(&a);
    a.stuck = true;
    for (int i = 0; i < 3 * GN_BUS_BATCH; i++)
        say(NULL, "t", "x");
    assert_eventually(a.calls == 1);
    assert_int_equal(gn_bus_flush(&a.member, gn_after(5 * GN_MS)), -ETIMEDOUT);
    gn_bus_leave(&a.member);
    assert_int_equal(a.ended, -ECANCELED);
    assert_int_equal(a.calls, 1);
}

static void leaving_right_after_a_publisher_is_safe(void **state)
{
    (void)state;
    struct listener a;
    join(&a);
    say(NULL, "t", "x"); /* the note is under way */
    gn_bus_leave(&a.member);
    assert_int_equal(a.got, 0);
}

/* ---- threads ---- */

enum { THREADS = 4, EACH = 4000 };

static struct thread {
    struct gn_bus_member member;
    int id, next[THREADS]; /* the number that each of the others says next */
    atomic_int got, wrong;
} threads[THREADS];
static atomic_int joined, finished;

static void note_order(struct gn_bus_member *m, struct gn_bus_message *const *batch,
                       size_t n)
{
    struct thread *t = gn_container_of(m, struct thread, member);
    for (size_t i = 0; i < n; i++) {
        int id, number;
        memcpy(&id, batch[i]->bytes, sizeof id);
        memcpy(&number, gn_bus_payload(batch[i]), sizeof number);
        if (id == t->id || t->next[id]++ != number)
            atomic_fetch_add(&t->wrong, 1);
        atomic_fetch_add(&t->got, 1);
    }
}

static void talk(void *arg)
{
    struct thread *t = arg;
    gn_bus_join(&bus, &t->member, "a thread", note_order);
    atomic_fetch_add(&joined, 1);
    while (atomic_load(&joined) < THREADS)
        gn_yield();
    for (int i = 0; i < EACH; i++) {
        struct gn_bus_message *m = gn_bus_message_new(
            GN_BUS_BINARY, (char *)&t->id, sizeof t->id, (char *)&i, sizeof i);
        if (!m)
            abort();
        gn_bus_publish(&bus, &t->member, m);
        gn_bus_message_unref(m);
        if (i % 64 == 0)
            gn_yield();
    }
    int64_t deadline = gn_after(60 * GN_SECOND);
    while (atomic_load(&t->got) < (THREADS - 1) * EACH && gn_now() < deadline)
        gn_sleep_until(gn_after(GN_MS));
    atomic_fetch_add(&finished, 1);
    while (atomic_load(&finished) < THREADS)
        gn_sleep_until(gn_after(GN_MS));
    gn_bus_leave(&t->member);
}

static void run_scheduler(void *arg)
{
    struct gn_sched *s = gn_sched_new();
    if (!s || !gn_fiber_new(s, "talk", talk, arg))
        abort();
    gn_sched_run(s);
    gn_sched_free(s);
}

static void threads_hear_each_other_in_order(void **state)
{
    (void)state;
    for (int i = 0; i < THREADS; i++) {
        threads[i].id = i;
        start_thread(run_scheduler, &threads[i]);
    }
    join_started();
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(threads[i].got, (THREADS - 1) * EACH);
        assert_int_equal(threads[i].wrong, 0);
    }
}

static atomic_bool over;

static void come_and_go(void *arg)
{
    struct listener l;
    (void)arg;
    for (int i = 0; i < 300; i++) {
        join(&l);
        if (i % 3)
            gn_yield();
        gn_bus_leave(&l.member);
    }
    atomic_store(&over, true);
}

static void run_come_and_go(void *arg)
{
    struct gn_sched *s = gn_sched_new();
    if (!s || !gn_fiber_new(s, "come and go", come_and_go, arg))
        abort();
    gn_sched_run(s);
    gn_sched_free(s);
}

static void one_may_leave_while_others_publish(void **state)
{
    (void)state;
    start_thread(run_come_and_go, NULL);
    while (!atomic_load(&over))
        say(NULL, "t", "x");
    join_started();
}

#define on_a_bus(test)                            \
    {                                             \
#test, run_it, begin, end, (void *)(test) \
    }

/* cmocka's state is the test; `begin` leaves it alone. */
static void run_it(void **state)
{
    struct gn_sched *s = sched_begin();
    go(call_test, *state);
    sched_end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_bus(all_but_the_publisher_get_it),
        on_a_bus(a_burst_comes_in_batches),
        on_a_bus(what_has_no_room_is_dropped_there_only),
        on_a_bus(size_has_a_bound_too_but_one_message_always_goes),
        on_a_bus(leaving_cancels_who_waits),
        on_a_bus(leaving_right_after_a_publisher_is_safe),
        cmocka_unit_test_setup_teardown(threads_hear_each_other_in_order, begin, end),
        cmocka_unit_test_setup_teardown(one_may_leave_while_others_publish, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
