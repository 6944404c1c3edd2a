/* A fiber whose calls never have to wait lets the others run all the same. */
#include "fiber_test.h"

#include <sys/socket.h>
#include <unistd.h>

enum { PIECES = 4000 };

static int turns; /* of the other fiber */
static bool over;

static void count_turns(void *arg)
{
    (void)arg;
    while (!over) {
        turns++;
        gn_yield();
    }
}

/* Sends and receives without end on a pair that is always ready. */
static void move_bytes(void *arg)
{
    int *pair = arg;
    char byte = 'x';
    for (int i = 0; i < PIECES; i++) {
        assert_int_equal(1, send(pair[0], &byte, 1, 0));
        assert_int_equal(1, recv(pair[1], &byte, 1, 0));
    }
    over = true;
}

static void calls_that_never_wait_share_the_thread(void **state)
{
    (void)state;
    int pair[2];
    assert_int_equal(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    struct gn_sched *s = gn_sched_new();
    turns = 0;
    over = false;
    gn_fiber_new(s, "moves", move_bytes, pair);
    gn_fiber_new(s, "counts", count_turns, NULL);
    gn_sched_run(s);
    gn_sched_free(s);
    close(pair[0]);
    close(pair[1]);
    assert_true(turns >= 2 * PIECES / 1024);
}

static void spend_one_byte_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100 * 1024; i++)
        gn_spend(1);
    over = true;
}

static void spending_gives_way_after_a_slice(void **state)
{
    (void)state;
    struct gn_sched *s = gn_sched_new();
    turns = 0;
    over = false;
    gn_fiber_new(s, "spends", spend_one_byte_often, NULL);
    gn_fiber_new(s, "counts", count_turns, NULL);
    gn_sched_run(s);
    gn_sched_free(s);
    assert_int_equal(100, turns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_that_never_wait_share_the_thread),
        cmocka_unit_test(spending_gives_way_after_a_slice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
