/* host/sched/list.h: intrusive lists. */
#include "fiber_test.h"

#include "sched/list.h"

static struct gn_list head, member[3];

static int begin(void **state)
{
    (void)state;
    gn_list_init(&head);
    for (int i = 0; i < 3; i++)
        gn_list_init(&member[i]);
    return 0;
}

static void appended_members_come_out_in_order(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        gn_list_append(&head, &member[i]);
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(gn_list_pop(&head), &member[i]);
    assert_null(gn_list_pop(&head));
    assert_true(gn_list_empty(&head));
}

static void a_pushed_member_comes_out_next(void **state)
{
    (void)state;
    gn_list_append(&head, &member[0]);
    gn_list_push(&head, &member[1]);
    assert_ptr_equal(gn_list_pop(&head), &member[1]);
    assert_ptr_equal(gn_list_pop(&head), &member[0]);
}

static void a_member_may_be_removed_twice(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        gn_list_append(&head, &member[i]);
    gn_list_del(&member[1]);
    gn_list_del(&member[1]);
    assert_true(gn_list_empty(&member[1]));
    assert_ptr_equal(gn_list_pop(&head), &member[0]);
    assert_ptr_equal(gn_list_pop(&head), &member[2]);
}

static void taking_a_list_leaves_it_empty_and_keeps_the_order(void **state)
{
    (void)state;
    struct gn_list to;
    for (int i = 0; i < 3; i++)
        gn_list_append(&head, &member[i]);
    gn_list_take(&to, &head);
    assert_true(gn_list_empty(&head));
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(gn_list_pop(&to), &member[i]);
    gn_list_take(&to, &head);
    assert_true(gn_list_empty(&to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(appended_members_come_out_in_order, begin),
        cmocka_unit_test_setup(a_pushed_member_comes_out_next, begin),
        cmocka_unit_test_setup(a_member_may_be_removed_twice, begin),
        cmocka_unit_test_setup(taking_a_list_leaves_it_empty_and_keeps_the_order,
                               begin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
