/* The log: lines on stderr, each written whole, so that lines of several threads never
 * mix.
 *
 *     2026-11-22T16:20:47.123Z info  listening
 *
 * A text of several lines (a traceback) is written whole too. Any thread. */
#ifndef GN_LOG_H
#define GN_LOG_H

#include <stddef.h>

enum gn_level { GN_ERROR, GN_WARN, GN_INFO, GN_DEBUG };

/* Sets the least important level that is written; GN_INFO at first. */
void gn_log_set_level(enum gn_level);
enum gn_level gn_log_level(void);

/* "error" "warn" "info" "debug" and back. Returns -1 for another name. */
const char *gn_level_name(enum gn_level);
int gn_level_of(const char *name);

__attribute__((format(printf, 2, 3))) void gn_log(enum gn_level, const char *format,
                                                  ...);

/* Sets what writes, into so much room, who is speaking, such as "[3] ", and returns its
 * length; at most 16 bytes. */
void gn_log_set_speaker(size_t (*)(char *, size_t));

/* Sets what stands before every text, such as "#1 ", where several processes write to
 * one log; copied, cut at 15 bytes. Call it before there are threads. */
void gn_log_set_origin(const char *);

/* Writes `n` bytes of text; a newline at its end is not needed and not doubled. */
void gn_log_text(enum gn_level, const char *text, size_t n);

#endif
