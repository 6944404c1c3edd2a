/* The log: lines on stderr, or elsewhere, each written whole, so that lines of several
 * threads never mix.
 *
 *     2026-11-22T16:20:47.123Z info  listening
 *     {"time":"2026-11-22T16:20:47.123Z","level":"info","message":"listening"}
 *
 * A text of several lines (a traceback) is written whole too. Any thread. */
#ifndef GN_LOG_H
#define GN_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum gn_level { GN_ERROR, GN_WARN, GN_INFO, GN_DEBUG };

/* Who is speaking. */
struct gn_speaker {
    unsigned generation; /* 0: none */
    const char *request; /* the id of the request; NULL: it is about none */
};

/* Sets the least important level that is written; GN_INFO at first. */
void gn_log_set_level(enum gn_level);
enum gn_level gn_log_level(void);

/* "error" "warn" "info" "debug" and back. Returns -1 for another name. */
const char *gn_level_name(enum gn_level);
int gn_level_of(const char *name);

/* Says where the log goes, as gn_sink_open(); at first to stderr. Returns 0, or -1 with
 * a line in `error`. Before there are threads. */
int gn_log_open(const char *where, char *error, size_t room);

/* Has each line be a JSON object. Before there are threads. */
void gn_log_set_json(bool);
bool gn_log_is_json(void);

/* Has lines of text tell the ids of requests, too, as those of JSON do. */
void gn_log_show_requests(bool);

__attribute__((format(printf, 2, 3))) void gn_log(enum gn_level, const char *format,
                                                  ...);

/* Sets what tells who is speaking. */
void gn_log_set_speaker(void (*)(struct gn_speaker *));

/* Sets what stands before every text, such as "#1 ", where several processes write to
 * one log; copied, cut at 15 bytes. Call it before there are threads. */
void gn_log_set_origin(const char *);

/* Writes `n` bytes of text; a newline at its end is not needed and not doubled. */
void gn_log_text(enum gn_level, const char *text, size_t n);

/* The same with members for the JSON object, such as `"id":7`; text has them in itself.
 */
void gn_log_members(enum gn_level, const char *text, size_t n, const char *members,
                    size_t members_len);

/* Writes a JSON string of any bytes: what is no UTF-8 as if it were Latin-1. `out` has
 * room for 6 * n + 2. Returns its length. */
size_t gn_json_string(char *out, const char *text, size_t n);

#endif
