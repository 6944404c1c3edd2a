/* host/processes/channel.c: messages between the parent and a process. */
#include "fiber_test.h"

#include "processes/channel.h"

static struct gn_channel here, there;

static void open_both(void)
{
    int fd[2];
    assert_int_equal(gn_channel_pair(fd), 0);
    assert_int_equal(gn_channel_open(&here, fd[0]), 0);
    assert_int_equal(gn_channel_open(&there, fd[1]), 0);
}

static void close_channels(void)
{
    gn_channel_close(&here);
    gn_channel_close(&there);
}

/* What has come, one after the other with blanks between. */
static char got[256];
static size_t got_count;

static void note(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    (void)c;
    snprintf(got + strlen(got), sizeof got - strlen(got), "%s:%.*s ", (char *)arg,
             (int)n, data);
    got_count++;
}

static void note_at(struct gn_channel *c, enum gn_kind kind, char *name)
{
    got[0] = '\0';
    got_count = 0;
    gn_channel_on(c, kind, note, name);
}

static void wait_for(size_t count)
{
    while (got_count < count)
        gn_yield();
}

static void send_text(struct gn_channel *c, enum gn_kind kind, const char *text)
{
    assert_int_equal(gn_channel_send(c, kind, text, strlen(text)), 0);
}

static void messages_come_whole_and_in_order_to_who_wants_their_kind(void)
{
    open_both();
    note_at(&there, GN_KIND_LOAD, "load");
    note_at(&there, GN_KIND_TOPIC, "topic");
    send_text(&here, GN_KIND_LOAD, "one");
    send_text(&here, GN_KIND_STOP, "that nobody wants");
    send_text(&here, GN_KIND_TOPIC, "");
    send_text(&here, GN_KIND_LOAD, "two three");
    wait_for(3);
    assert_string_equal(got, "load:one topic: load:two three ");
    close_channels();
}

static void both_sides_speak(void)
{
    open_both();
    note_at(&here, GN_KIND_WANT, "want");
    send_text(&there, GN_KIND_WANT, "x");
    wait_for(1);
    assert_string_equal(got, "want:x ");
    close_channels();
}

static void a_kind_of_the_future_is_dropped(void)
{
    open_both();
    note_at(&there, GN_KIND_LOAD, "load");
    assert_int_equal(send(here.watch.fd, "\xff?", 2, 0), 2);
    send_text(&here, GN_KIND_LOAD, "known");
    wait_for(1);
    assert_string_equal(got, "load:known ");
    close_channels();
}

/* ---- limits ---- */

static size_t next;

static void check_number(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    size_t number;
    (void)c;
    (void)arg;
    assert_int_equal(n, GN_CHANNEL_MOST - 1);
    memcpy(&number, data, sizeof number);
    assert_int_equal(number, next++);
}

static void what_is_not_taken_waits_up_to_a_bound(void)
{
    static char large[GN_CHANNEL_MOST - 1];
    size_t sent = 0;
    int r;
    open_both();
    gn_channel_on(&there, GN_KIND_TOPIC, check_number, NULL);
    assert_int_equal(gn_channel_send(&here, GN_KIND_TOPIC, large, sizeof large + 1),
                     -EMSGSIZE);
    while (memcpy(large, &sent, sizeof sent),
           (r = gn_channel_send(&here, GN_KIND_TOPIC, large, sizeof large)) == 0)
        sent++;
    assert_int_equal(r, -ENOBUFS);
    assert_true(here.queued <= GN_CHANNEL_QUEUE);
    assert_true(sent >= GN_CHANNEL_QUEUE / GN_CHANNEL_MOST);
    for (next = 0; next < sent;)
        gn_yield();
    assert_int_equal(here.queued, 0);
    close_channels();
}

/* ---- the end ---- */

static int ends;

static void on_end(struct gn_channel *c, void *arg)
{
    assert_ptr_equal(c, arg);
    assert_int_equal(c->watch.fd, -1);
    ends++;
}

static void the_end_is_told_once_after_what_was_sent(void)
{
    open_both();
    note_at(&there, GN_KIND_LOAD, "load");
    there.on_end = on_end;
    there.end_arg = &there;
    ends = 0;
    send_text(&there, GN_KIND_LOAD, "that is never read");
    send_text(&here, GN_KIND_LOAD, "last");
    gn_channel_close(&here);
    gn_channel_close(&here);
    while (ends == 0)
        gn_yield();
    assert_string_equal(got, "load:last ");
    assert_int_equal(gn_channel_send(&there, GN_KIND_LOAD, "", 0), -EPIPE);
    gn_sleep_until(gn_after_ms(5));
    assert_int_equal(ends, 1);
    assert_int_equal(gn_channel_send(&here, GN_KIND_LOAD, "", 0), -EPIPE);
}

static void close_it(struct gn_channel *c, const char *data, size_t n, void *arg)
{
    note(c, data, n, arg);
    gn_channel_close(c);
}

static void a_handler_may_close_it(void)
{
    open_both();
    note_at(&there, GN_KIND_LOAD, "load");
    gn_channel_on(&there, GN_KIND_STOP, close_it, "stop");
    send_text(&here, GN_KIND_STOP, "");
    send_text(&here, GN_KIND_LOAD, "too late");
    wait_for(1);
    gn_sleep_until(gn_after_ms(5));
    assert_string_equal(got, "stop: ");
    close_channels();
}

static void what_waits_is_freed_at_the_end(void)
{
    static char large[GN_CHANNEL_MOST - 1];
    open_both();
    while (gn_channel_send(&here, GN_KIND_TOPIC, large, sizeof large) == 0)
        continue;
    assert_true(here.queued > 0);
    close_channels();
    assert_int_equal(here.queued, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_fiber(messages_come_whole_and_in_order_to_who_wants_their_kind),
        on_a_fiber(both_sides_speak),
        on_a_fiber(a_kind_of_the_future_is_dropped),
        on_a_fiber(what_is_not_taken_waits_up_to_a_bound),
        on_a_fiber(the_end_is_told_once_after_what_was_sent),
        on_a_fiber(a_handler_may_close_it),
        on_a_fiber(what_waits_is_freed_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
