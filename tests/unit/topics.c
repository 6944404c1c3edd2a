/* host/http/topics.c: who joins gets what is published, whatever others do meanwhile.
 */
#include "fiber_test.h"

#include "http/topics.h"

static struct gn_topics ts;

struct listener {
    struct gn_subscriber subscriber;
    int got;
    void (*then)(struct listener *); /* what it does at a frame; may be NULL */
};

static struct listener all[10000];

static bool deliver(struct gn_subscriber *s, struct gn_frame *f)
{
    struct listener *l = gn_container_of(s, struct listener, subscriber);
    assert_memory_equal(gn_frame_payload(f), "news", 4);
    l->got++;
    if (l->then)
        l->then(l);
    return true;
}

static void join(struct listener *l, const char *name)
{
    assert_int_equal(gn_topics_join(&ts, &l->subscriber, name, strlen(name)), 1);
}

static bool leave(struct listener *l, const char *name)
{
    return gn_topics_leave(&ts, &l->subscriber, name, strlen(name));
}

static size_t publish(const char *name)
{
    struct gn_frame *f = gn_frame_new(GN_WS_TEXT, "news", 4);
    size_t n = gn_topics_publish(&ts, name, strlen(name), f);
    gn_frame_unref(f);
    return n;
}

static int begin(void **state)
{
    (void)state;
    gn_topics_init(&ts);
    for (size_t i = 0; i < LENGTH(all); i++) {
        all[i] = (struct listener){.got = 0};
        gn_subscriber_init(&all[i].subscriber, deliver);
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < LENGTH(all); i++)
        gn_topics_leave_all(&ts, &all[i].subscriber);
    assert_int_equal(ts.names.count, 0);
    assert_int_equal(ts.memberships.count, 0);
    gn_topics_term(&ts);
    return 0;
}

static void who_has_joined_gets_it(void **state)
{
    (void)state;
    assert_int_equal(publish("a"), 0);
    join(&all[0], "a");
    join(&all[1], "a");
    join(&all[1], "b");
    assert_int_equal(publish("a"), 2);
    assert_int_equal(publish("b"), 1);
    assert_int_equal(publish("c"), 0);
    assert_int_equal(all[0].got, 1);
    assert_int_equal(all[1].got, 2);
}

static void joining_twice_is_joining_once(void **state)
{
    (void)state;
    join(&all[0], "a");
    assert_int_equal(gn_topics_join(&ts, &all[0].subscriber, "a", 1), 0);
    assert_int_equal(publish("a"), 1);
    assert_true(leave(&all[0], "a"));
    assert_false(leave(&all[0], "a"));
    assert_int_equal(publish("a"), 0);
}

static void names_are_bytes(void **state)
{
    (void)state;
    assert_int_equal(gn_topics_join(&ts, &all[0].subscriber, "a\0b", 3), 1);
    assert_int_equal(gn_topics_join(&ts, &all[1].subscriber, "", 0), 1);
    assert_int_equal(publish("a"), 0);
    assert_int_equal(publish(""), 1);
    assert_int_equal(all[1].got, 1);
}

static void a_topic_exists_while_somebody_listens(void **state)
{
    (void)state;
    join(&all[0], "a");
    join(&all[1], "a");
    assert_int_equal(ts.names.count, 1);
    gn_topics_leave_all(&ts, &all[0].subscriber);
    assert_int_equal(ts.names.count, 1);
    assert_true(leave(&all[1], "a"));
    assert_int_equal(ts.names.count, 0);
}

static void many_may_join_many(void **state)
{
    (void)state;
    char name[16];
    for (size_t i = 0; i < LENGTH(all); i++) {
        join(&all[i], "everybody");
        snprintf(name, sizeof name, "%zu", i % 1000);
        join(&all[i], name);
        snprintf(name, sizeof name, "own %zu", i);
        join(&all[i], name);
    }
    assert_int_equal(publish("everybody"), LENGTH(all));
    assert_int_equal(publish("999"), LENGTH(all) / 1000);
    assert_int_equal(publish("own 77"), 1);
    assert_int_equal(all[77].got, 2);
    for (size_t i = 0; i < LENGTH(all); i += 2)
        assert_true(leave(&all[i], "everybody"));
    assert_int_equal(publish("everybody"), LENGTH(all) / 2);
}

/* ---- during a publish ---- */

static void leave_myself(struct listener *l)
{
    leave(l, "a");
}

static void leave_next(struct listener *l)
{
    leave(l + 1, "a");
}

static void leave_everybody(struct listener *l)
{
    (void)l;
    for (int i = 0; i < 5; i++)
        leave(&all[i], "a");
}

static void join_another(struct listener *l)
{
    join(l + 100, "a");
}

static void publish_again(struct listener *l)
{
    l->then = NULL;
    publish("a");
}

static size_t publish_while(void (*then)(struct listener *))
{
    for (int i = 0; i < 5; i++)
        join(&all[i], "a");
    all[1].then = then;
    return publish("a");
}

static void who_gets_it_may_leave(void **state)
{
    (void)state;
    assert_int_equal(publish_while(leave_myself), 5);
    assert_int_equal(publish("a"), 4);
}

static void the_next_one_may_be_made_to_leave(void **state)
{
    (void)state;
    assert_int_equal(publish_while(leave_next), 4);
    assert_int_equal(all[2].got, 0);
    assert_int_equal(all[3].got, 1);
}

static void everybody_may_leave(void **state)
{
    (void)state;
    assert_int_equal(publish_while(leave_everybody), 2);
    assert_int_equal(ts.names.count, 0);
}

static void who_joins_meanwhile_does_not_get_it(void **state)
{
    (void)state;
    assert_int_equal(publish_while(join_another), 5);
    assert_int_equal(all[101].got, 0);
    all[1].then = NULL;
    assert_int_equal(publish("a"), 6);
}

static void one_may_publish_meanwhile(void **state)
{
    (void)state;
    assert_int_equal(publish_while(publish_again), 5);
    for (int i = 0; i < 5; i++)
        assert_int_equal(all[i].got, 2);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_has_joined_gets_it),
        TEST(joining_twice_is_joining_once),
        TEST(names_are_bytes),
        TEST(a_topic_exists_while_somebody_listens),
        TEST(many_may_join_many),
        TEST(who_gets_it_may_leave),
        TEST(the_next_one_may_be_made_to_leave),
        TEST(everybody_may_leave),
        TEST(who_joins_meanwhile_does_not_get_it),
        TEST(one_may_publish_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
