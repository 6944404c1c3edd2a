/* host/log.c: lines on stderr. */
#include "fiber_test.h"

#include "log.h"

#include <regex.h>

static int pipe_fd[2], real_stderr;
static char said[1 << 20];

static int catch_stderr(void **state)
{
    (void)state;
    gn_log_set_level(GN_INFO);
    real_stderr = dup(STDERR_FILENO);
    if (pipe(pipe_fd) < 0 || dup2(pipe_fd[1], STDERR_FILENO) < 0)
        return -1;
    fcntl(pipe_fd[1], F_SETPIPE_SZ, sizeof said);
    return fcntl(pipe_fd[0], F_SETFL, O_NONBLOCK);
}

static int release_stderr(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close_both(pipe_fd);
    return 0;
}

/* All that has been logged since the last call. */
static const char *logged(void)
{
    size_t n = 0;
    for (ssize_t r; n < sizeof said - 1 &&
                    (r = read(pipe_fd[0], said + n, sizeof said - 1 - n)) > 0;)
        n += (size_t)r;
    said[n] = '\0';
    return said;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    int r = regexec(&re, text, 0, NULL, 0);
    regfree(&re);
    return r == 0;
}

#define TIME "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z"

static void a_line_tells_time_and_level(void **state)
{
    (void)state;
    gn_log(GN_INFO, "listening on %s:%d", "host", 80);
    assert_true(matches(logged(), "^" TIME " info  listening on host:80\n$"));
    gn_log(GN_ERROR, "oh");
    assert_true(matches(logged(), "^" TIME " error oh\n$"));
}

static void only_what_is_important_enough_is_written(void **state)
{
    (void)state;
    for (int least = GN_ERROR; least <= GN_DEBUG; least++) {
        gn_log_set_level((enum gn_level)least);
        assert_int_equal(gn_log_level(), least);
        for (int level = GN_ERROR; level <= GN_DEBUG; level++) {
            gn_log((enum gn_level)level, "formatted");
            assert_int_equal(strlen(logged()) > 0, level <= least);
            gn_log_text((enum gn_level)level, "text", 4);
            assert_int_equal(strlen(logged()) > 0, level <= least);
        }
    }
}

static void a_newline_at_the_end_is_not_doubled(void **state)
{
    (void)state;
    const char *const texts[] = {"text", "text\n", "text\n\n"};
    for (size_t i = 0; i < LENGTH(texts); i++) {
        gn_log_text(GN_INFO, texts[i], strlen(texts[i]));
        assert_true(matches(logged(), "^" TIME " info  text\n$"));
    }
    gn_log_text(GN_INFO, "two\nlines\n", 10);
    assert_true(matches(logged(), "^" TIME " info  two\nlines\n$"));
    gn_log_text(GN_INFO, "", 0);
    assert_true(matches(logged(), "^" TIME " info  \n$"));
}

static void levels_have_names(void **state)
{
    (void)state;
    for (int level = GN_ERROR; level <= GN_DEBUG; level++)
        assert_int_equal(gn_level_of(gn_level_name((enum gn_level)level)), level);
    assert_string_equal(gn_level_name(GN_WARN), "warn");
    assert_int_equal(gn_level_of("loud"), -1);
    assert_int_equal(gn_level_of(""), -1);
}

enum { LINES = 300 };

static void log_many(void *letter)
{
    char text[200];
    memset(text, *(const char *)letter, sizeof text);
    for (int i = 0; i < LINES; i++)
        gn_log_text(GN_INFO, text, sizeof text);
}

static void lines_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    int count[4] = {0};
    start_thread(log_many, "a");
    start_thread(log_many, "b");
    start_thread(log_many, "c");
    start_thread(log_many, "d");
    join_started();
    logged();
    for (char *line = strtok(said, "\n"); line; line = strtok(NULL, "\n")) {
        char *text = strstr(line, " info  ");
        assert_non_null(text);
        text += strlen(" info  ");
        assert_in_range(*text, 'a', 'd');
        assert_int_equal(strlen(text), 200);
        assert_int_equal(strspn(text, (char[]){*text, '\0'}), 200);
        count[*text - 'a']++;
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(count[i], LINES);
}

#define log_test(test) \
    cmocka_unit_test_setup_teardown(test, catch_stderr, release_stderr)

int main(void)
{
    const struct CMUnitTest tests[] = {
        log_test(a_line_tells_time_and_level),
        log_test(only_what_is_important_enough_is_written),
        log_test(a_newline_at_the_end_is_not_doubled),
        log_test(levels_have_names),
        log_test(lines_of_several_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
