/* host/http/hub.c: what is published on one hub reaches the subscribers of the others,
 * on their own threads. */
#include "fiber_test.h"

#include "http/hub.h"

struct listener {
    struct gn_subscriber subscriber;
    atomic_int got;
    enum gn_opcode kind;
    char last[32];
};

static struct gn_bus bus;

static bool deliver(struct gn_subscriber *s, struct gn_frame *f)
{
    struct listener *l = gn_container_of(s, struct listener, subscriber);
    l->kind = f->opcode;
    snprintf(l->last, sizeof l->last, "%.*s", (int)gn_frame_payload_length(f),
             gn_frame_payload(f));
    atomic_fetch_add(&l->got, 1);
    return true;
}

static void open_hub(struct gn_hub *h, struct listener *l)
{
    gn_hub_init(h, gn_sched_self(),
                &(struct gn_hub_options){.queue = 1 << 20, .bus = &bus});
    *l = (struct listener){.kind = GN_WS_CLOSE};
    gn_subscriber_init(&l->subscriber, deliver);
    if (gn_topics_join(&h->topics, &l->subscriber, "news", 4) < 0)
        abort();
}

static void close_hub(struct gn_hub *h, struct listener *l)
{
    gn_topics_leave_all(&h->topics, &l->subscriber);
    gn_hub_term(h);
}

static size_t publish(struct gn_hub *h, const char *topic, enum gn_opcode kind,
                      const char *text)
{
    struct gn_frame *f = gn_frame_new(kind, text, strlen(text));
    if (!f)
        abort();
    size_t n = gn_hub_publish(h, topic, strlen(topic), f);
    gn_frame_unref(f);
    return n;
}

static void a_message_reaches_the_other_hubs(void **state)
{
    (void)state;
    struct gn_hub a, b;
    struct listener at_a, at_b;
    gn_bus_init(&bus);
    open_hub(&a, &at_a);
    assert_int_equal(publish(&a, "news", GN_WS_TEXT, "alone"), 1);
    open_hub(&b, &at_b);
    assert_int_equal(publish(&a, "news", GN_WS_TEXT, "it rains"), 1); /* those of a */
    assert_int_equal(at_a.got, 2);
    assert_eventually(at_b.got == 1);
    assert_string_equal(at_b.last, "it rains");
    assert_int_equal(at_b.kind, GN_WS_TEXT);
    assert_int_equal(publish(&b, "news", GN_WS_BINARY, "\xff"), 1);
    assert_eventually(at_a.got == 3);
    assert_int_equal(at_a.kind, GN_WS_BINARY);
    assert_int_equal(publish(&b, "other", GN_WS_TEXT, "x"), 0);
    assert_int_equal(gn_bus_flush(&a.member, gn_after(30 * GN_SECOND)), 0);
    assert_int_equal(at_a.got, 3);
    assert_int_equal(at_b.got, 2);
    close_hub(&b, &at_b);
    assert_int_equal(publish(&a, "news", GN_WS_TEXT, "alone again"), 1);
    close_hub(&a, &at_a);
    gn_bus_term(&bus);
}

static void say_either(const char *text)
{
    struct gn_bus_message *m =
        gn_bus_message_new(GN_BUS_EITHER, "news", 4, text, strlen(text));
    assert_non_null(m);
    gn_bus_publish(&bus, NULL, m);
    gn_bus_message_unref(m);
}

static void what_comes_from_outside_is_text_only_if_it_is_utf8(void **state)
{
    (void)state;
    struct gn_hub a;
    struct listener l;
    gn_bus_init(&bus);
    open_hub(&a, &l);
    say_either("gr\xc3\xbc\xc3\x9f");
    assert_eventually(l.got == 1);
    assert_int_equal(l.kind, GN_WS_TEXT);
    say_either("gr\xfc\xdf");
    assert_eventually(l.got == 2);
    assert_int_equal(l.kind, GN_WS_BINARY);
    close_hub(&a, &l);
    gn_bus_term(&bus);
}

/* ---- threads ---- */

enum { THREADS = 4, EACH = 1000 };

static atomic_int ready, done, missing;

static void talk(void *arg)
{
    struct gn_hub h;
    struct listener l;
    (void)arg;
    open_hub(&h, &l);
    atomic_fetch_add(&ready, 1);
    while (atomic_load(&ready) < THREADS)
        gn_sleep_until(gn_after(GN_MS));
    for (int i = 0; i < EACH; i++) {
        publish(&h, "news", GN_WS_TEXT, "hello");
        if (i % 100 == 0)
            gn_yield();
    }
    int64_t deadline = gn_after(60 * GN_SECOND);
    while (l.got < THREADS * EACH && gn_now() < deadline)
        gn_sleep_until(gn_after(GN_MS));
    atomic_fetch_add(&missing, THREADS * EACH - l.got);
    atomic_fetch_add(&done, 1);
    while (atomic_load(&done) < THREADS)
        gn_sleep_until(gn_after(GN_MS));
    close_hub(&h, &l);
}

static void run_scheduler(void *arg)
{
    struct gn_sched *s = gn_sched_new();
    if (!s || !gn_fiber_new(s, "talk", talk, arg))
        abort();
    gn_sched_run(s);
    gn_sched_free(s);
}

static void hubs_of_threads_hear_each_other(void **state)
{
    (void)state;
    gn_bus_init(&bus);
    for (int i = 0; i < THREADS; i++)
        start_thread(run_scheduler, NULL);
    join_started();
    assert_int_equal(missing, 0);
    gn_bus_term(&bus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(a_message_reaches_the_other_hubs),
        on_a_fiber(what_comes_from_outside_is_text_only_if_it_is_utf8),
        cmocka_unit_test(hubs_of_threads_hear_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
