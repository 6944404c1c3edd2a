/* host/sched/stack.c: stacks are reused, guarded, and an overflow names its fiber. */
#include "fiber_test.h"

#include "sched/stack.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static struct gn_stacks stacks;

static int begin(void **state)
{
    (void)state;
    gn_stacks_init(&stacks);
    return 0;
}

static int end(void **state)
{
    (void)state;
    gn_stacks_term(&stacks);
    return 0;
}

/* ---- giving and taking back ---- */

enum { MANY = 100 };

static void many_stacks_can_be_used_from_top_to_bottom(void **state)
{
    (void)state;
    struct gn_stack s[MANY];
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(gn_stack_get(&stacks, &s[i]), 0);
        assert_int_equal(s[i].size, GN_STACK_SIZE);
        memset(s[i].base, i, 64);
        memset((char *)s[i].base + s[i].size - 64, i, 64);
    }
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(*(unsigned char *)s[i].base, i);
        assert_int_equal(((unsigned char *)s[i].base)[s[i].size - 1], i);
        gn_stack_put(&stacks, &s[i]);
        assert_null(s[i].base);
    }
}

static void the_stack_last_given_back_is_the_next_one_taken(void **state)
{
    (void)state;
    struct gn_stack a, b;
    gn_stack_get(&stacks, &a);
    gn_stack_get(&stacks, &b);
    void *warm = b.base;
    gn_stack_put(&stacks, &a);
    gn_stack_put(&stacks, &b);
    gn_stack_get(&stacks, &a);
    assert_ptr_equal(a.base, warm);
}

enum { BEYOND = GN_STACKS_WARM + 44 };

static int *top_of(const struct gn_stack *stack)
{
    return (int *)((char *)stack->base + stack->size) - 1;
}

static void only_so_many_free_stacks_keep_their_pages(void **state)
{
    (void)state;
    static struct gn_stack s[BEYOND];
    int kept = 0, tops = 0;
    for (int i = 0; i < BEYOND; i++) {
        assert_int_equal(gn_stack_get(&stacks, &s[i]), 0);
        *(int *)s[i].base = 12345;
        *top_of(&s[i]) = 12345;
    }
    for (int i = 0; i < BEYOND; i++)
        gn_stack_put(&stacks, &s[i]);
    for (int i = 0; i < BEYOND; i++) {
        assert_int_equal(gn_stack_get(&stacks, &s[i]), 0);
        kept += *(int *)s[i].base == 12345;
        tops += *top_of(&s[i]) == 12345;
    }
    assert_int_equal(kept, GN_STACKS_WARM);
    assert_int_equal(tops, GN_STACKS_WARM);
}

/* ---- what a child process says as it dies ---- */

struct death {
    int status;
    char said[4096]; /* on stderr */
};

static void die_in_a_child(void (*act)(void), struct death *d)
{
    int fd[2];
    size_t n = 0;
    ssize_t got;
    assert_int_equal(pipe(fd), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fd[1], STDERR_FILENO);
        close_both(fd);
        signal(SIGSEGV, SIG_DFL); /* not the test library's */
        signal(SIGBUS, SIG_DFL);
        act();
        _exit(0);
    }
    close(fd[1]);
    while (n < sizeof d->said - 1 &&
           (got = read(fd[0], d->said + n, sizeof d->said - 1 - n)) > 0)
        n += (size_t)got;
    d->said[n] = '\0';
    close(fd[0]);
    assert_int_equal(waitpid(pid, &d->status, 0), pid);
}

/* By the signal, or by a sanitizer that has caught it and reported. */
static bool died_of_a_fault(const struct death *d)
{
    if (WIFSIGNALED(d->status))
        return WTERMSIG(d->status) == SIGSEGV || WTERMSIG(d->status) == SIGBUS;
    return SANITIZED && WIFEXITED(d->status) && WEXITSTATUS(d->status) != 0;
}

static void touch_the_guard(void)
{
    struct gn_stack s;
    size_t size;
    gn_stack_get(&stacks, &s);
    volatile char *guard = gn_stack_guard(&s, &size);
    guard[size - 1] = 1;
}

static void a_guard_lies_directly_below_each_stack(void **state)
{
    (void)state;
    struct death d;
    struct gn_stack s[40];
    size_t size;
    for (int i = 0; i < 40; i++) {
        assert_int_equal(gn_stack_get(&stacks, &s[i]), 0);
        assert_ptr_equal((char *)gn_stack_guard(&s[i], &size) + size, s[i].base);
    }
    die_in_a_child(touch_the_guard, &d);
    assert_true(died_of_a_fault(&d));
}

static int dig(volatile int depth)
{
    volatile char room[256];
    room[0] = (char)depth;
    return depth < 0 ? 0 : dig(depth + 1) + room[0];
}

static void dig_without_end(void *unused)
{
    (void)unused;
    dig(1);
}

static void overflow(void)
{
    struct gn_sched *s = gn_sched_new();
    gn_fiber_new(s, "digger", dig_without_end, NULL);
    gn_sched_run(s);
}

static void a_stack_overflow_names_the_fiber_and_ends_the_process(void **state)
{
    (void)state;
    struct death d;
    die_in_a_child(overflow, &d);
    assert_true(died_of_a_fault(&d));
    if (!SANITIZED || !strstr(d.said, "AddressSanitizer"))
        assert_string_equal(d.said, "genet: stack overflow in fiber 'digger'\n");
}

static void touch_a_forbidden_page(void *page)
{
    *(volatile char *)page = 1;
}

static void fault(void)
{
    struct gn_sched *s = gn_sched_new();
    void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    gn_fiber_new(s, "faulty", touch_a_forbidden_page, page);
    gn_sched_run(s);
}

static void another_fault_is_not_called_an_overflow(void **state)
{
    (void)state;
    struct death d;
    die_in_a_child(fault, &d);
    assert_true(died_of_a_fault(&d));
    assert_null(strstr(d.said, "overflow"));
}

/* ---- the stack that signals use ---- */

static void an_alternate_stack_of_the_program_is_left_alone(void **state)
{
    (void)state;
    static char memory[64 * 1024];
    stack_t mine = {.ss_sp = memory, .ss_size = sizeof memory}, old, seen;
    assert_int_equal(sigaltstack(&mine, &old), 0);
    gn_sched_free(gn_sched_new());
    assert_int_equal(sigaltstack(NULL, &seen), 0);
    sigaltstack(&old, NULL);
    assert_ptr_equal(seen.ss_sp, memory);
    assert_int_equal(seen.ss_flags & SS_DISABLE, 0);
}

#define with_stacks(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_stacks(many_stacks_can_be_used_from_top_to_bottom),
        with_stacks(the_stack_last_given_back_is_the_next_one_taken),
        with_stacks(only_so_many_free_stacks_keep_their_pages),
        with_stacks(a_guard_lies_directly_below_each_stack),
        cmocka_unit_test(a_stack_overflow_names_the_fiber_and_ends_the_process),
        cmocka_unit_test(another_fault_is_not_called_an_overflow),
        cmocka_unit_test(an_alternate_stack_of_the_program_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
