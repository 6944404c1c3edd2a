/* Statistics: what each worker has counted can be read by all of them. */
#include "fiber_test.h"

#include "telemetry/stats.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct gn_cell *cell(struct gn_stats *s, int n)
{
    for (int i = 0; i < GN_CELLS; i++)
        if (s->cells[i].key && n-- == 0)
            return &s->cells[i];
    return NULL;
}

static void a_forked_worker_counts_for_all(void **state)
{
    struct gn_stats_area area;
    (void)state;
    assert_int_equal(gn_stats_area_open(&area, 2), 0);
    pid_t child = fork();
    if (child == 0) {
        unsigned route = gn_stats_route(&area.blocks[1], "/a");
        for (int i = 0; i < 1000; i++)
            gn_stats_answer(&area.blocks[1], route, "GET", 200, 3 * GN_MS);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    struct gn_cell *c = cell(&area.blocks[1], 0);
    assert_non_null(c);
    assert_null(cell(&area.blocks[0], 0));
    assert_string_equal(area.blocks[1].route[0], "/a");
    assert_int_equal(c->answers[0].status, 200);
    assert_int_equal(c->answers[0].count, 1000);
    assert_int_equal(c->latencies[3], 1000); /* above 2.5 ms, up to 5 */
    assert_int_equal(c->sum, 3000 * GN_MS);
    gn_stats_area_close(&area);
}

static void a_route_has_one_number(void **state)
{
    struct gn_stats_area area;
    char rule[32];
    (void)state;
    assert_int_equal(gn_stats_area_open(&area, 1), 0);
    struct gn_stats *s = &area.blocks[0];
    assert_int_equal(gn_stats_route(s, "/a"), 1);
    assert_int_equal(gn_stats_route(s, "/b"), 2);
    assert_int_equal(gn_stats_route(s, "/a"), 1);
    for (int i = 2; i < GN_ROUTES; i++) {
        snprintf(rule, sizeof rule, "/%d", i);
        assert_int_equal(gn_stats_route(s, rule), i + 1);
    }
    assert_int_equal(gn_stats_route(s, "/one too many"), 0);
    gn_stats_area_close(&area);
}

/* Nothing that a client can choose makes it write beyond its block. */
static void what_does_not_fit_is_counted_as_other(void **state)
{
    struct gn_stats_area area;
    unsigned long long total = 0;
    (void)state;
    assert_int_equal(gn_stats_area_open(&area, 1), 0);
    struct gn_stats *s = &area.blocks[0];
    for (unsigned route = 0; route < GN_ROUTES; route++)
        for (int status = 200; status < 220; status++)
            gn_stats_answer(s, route, route % 2 ? "BREW" : "GET", status, 0);
    for (unsigned route = 0; route < GN_ROUTES; route++)
        for (int i = 0; i < 4; i++)
            gn_stats_answer(s, route, i % 2 ? "PUT" : "POST", 200, 100 * GN_SECOND);
    for (int i = 0; i < GN_CELLS; i++)
        for (int j = 0; j < GN_STATUSES; j++)
            total += s->cells[i].answers[j].count;
    assert_int_equal(total, GN_ROUTES * (20 + 4));
    gn_stats_area_close(&area);
}

/* A worker that has died leaves what it has counted to the next in its place. */
static void counters_outlive_their_worker(void **state)
{
    struct gn_stats_area area;
    (void)state;
    assert_int_equal(gn_stats_area_open(&area, 1), 0);
    struct gn_stats *s = &area.blocks[0];
    gn_stats_answer(s, gn_stats_route(s, "/a"), "GET", 200, 0);
    gn_stats_add(&s->in_flight, 3);
    for (int i = 0; i < GN_VALUES; i++)
        s->values[i] = 7;
    gn_stats_retire(s);
    assert_int_equal(cell(s, 0)->answers[0].count, 1);
    assert_int_equal(s->in_flight, 0);
    int kept = 0, gone = 0;
    for (int i = 0; i < GN_VALUES; i++) {
        kept += s->values[i] == 7 && s->before[i] == 7;
        gone += s->values[i] == 0 && s->before[i] == 0;
    }
    assert_in_range(kept, 5, 12);  /* counters */
    assert_in_range(gone, 12, 25); /* what it had at that moment */
    gn_stats_area_close(&area);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forked_worker_counts_for_all),
        cmocka_unit_test(a_route_has_one_number),
        cmocka_unit_test(what_does_not_fit_is_counted_as_other),
        cmocka_unit_test(counters_outlive_their_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
