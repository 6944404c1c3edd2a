/* host/processes/board.c: who should take the next connection. */
#include "fiber_test.h"

#include "processes/board.h"

static struct gn_board *b;
static int fd;

static int open_board(void **state)
{
    (void)state;
    assert_int_equal(gn_board_new(&b, &fd, 4, 100), 0);
    for (unsigned i = 0; i < 3; i++)
        b->lines[i].standing = GN_SERVING;
    return 0;
}

static int close_board(void **state)
{
    (void)state;
    gn_board_free(b);
    close(fd);
    return 0;
}

static void set_open(unsigned zero, unsigned one, unsigned two)
{
    b->lines[0].connections = zero;
    b->lines[1].connections = one;
    b->lines[2].connections = two;
}

static void take(unsigned index, unsigned times, unsigned second)
{
    while (times-- > 0)
        gn_line_took(&b->lines[index], second);
}

static void processes_share_it(void **state)
{
    struct gn_board *other;
    (void)state;
    assert_int_equal(b->count, 4);
    assert_int_equal((uintptr_t)b->lines % 64, 0);
    assert_int_equal(sizeof *b->lines, 64);
    assert_int_equal(gn_board_open(&other, dup(fd), 4), 0);
    b->lines[3].connections = 7;
    assert_int_equal(other->lines[3].connections, 7);
    assert_memory_equal(other->secret, b->secret, GN_SECRET);
    char *here = gn_board_memory(b), *there = gn_board_memory(other);
    assert_true(here >= (char *)&b->lines[4]);
    assert_int_equal(here[4 * 100 - 1], 0);
    here[4 * 100 - 1] = 'x';
    assert_int_equal(there[4 * 100 - 1], 'x');
    gn_board_free(other);
}

static void who_has_clearly_fewer_is_better(void **state)
{
    (void)state;
    assert_int_equal(gn_board_better(b, 0, 1), -1);
    set_open(2, 0, 0);
    assert_int_equal(gn_board_better(b, 0, 1), -1);
    set_open(3, 1, 0);
    assert_int_equal(gn_board_better(b, 0, 1), 2);
    assert_int_equal(gn_board_better(b, 1, 1), -1);
    set_open(1000, 970, 980);
    assert_int_equal(gn_board_better(b, 0, 1), -1);
    set_open(1000, 900, 950);
    assert_int_equal(gn_board_better(b, 0, 1), 1);
}

static void who_does_not_serve_is_no_better(void **state)
{
    (void)state;
    set_open(100, 0, 50);
    b->lines[1].standing = GN_ENDING;
    assert_int_equal(gn_board_better(b, 0, 1), 2);
    b->lines[2].deaf = 1;
    assert_int_equal(gn_board_better(b, 0, 1), -1);
}

static void of_equals_who_has_taken_fewer_lately_is_better(void **state)
{
    (void)state;
    take(0, 5, 10);
    take(1, 4, 10);
    assert_int_equal(gn_board_better(b, 0, 10), 2);
    assert_int_equal(gn_board_better(b, 0, 11), 2);
    assert_int_equal(gn_board_better(b, 0, 12), -1);
    take(0, 1, 11);
    take(2, 6, 11);
    assert_int_equal(gn_board_better(b, 0, 11), -1);
    assert_int_equal(gn_board_better(b, 0, 12), -1);
    take(0, 4, 12);
    assert_int_equal(gn_board_better(b, 0, 12), 1);
    set_open(0, 1, 0);
    assert_int_equal(gn_board_better(b, 0, 12), -1);
}

/* Connections that come one by one, each to who is woken first, end up evenly. */
static void it_comes_out_even(void **state)
{
    unsigned got[3] = {0};
    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        int better = gn_board_better(b, 0, i / 500);
        unsigned index = better < 0 ? 0 : (unsigned)better;
        take(index, 1, i / 500);
        got[index]++;
    }
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(got[i], 950, 1050);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(processes_share_it, open_board, close_board),
        cmocka_unit_test_setup_teardown(who_has_clearly_fewer_is_better, open_board,
                                        close_board),
        cmocka_unit_test_setup_teardown(who_does_not_serve_is_no_better, open_board,
                                        close_board),
        cmocka_unit_test_setup_teardown(of_equals_who_has_taken_fewer_lately_is_better,
                                        open_board, close_board),
        cmocka_unit_test_setup_teardown(it_comes_out_even, open_board, close_board),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
