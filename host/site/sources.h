/* The sources of a generation: the texts that it was loaded from, for the Lua states of
 * other threads that are made later, when the files may say something else. Any thread.
 */
#ifndef GN_SOURCES_H
#define GN_SOURCES_H

#include <stddef.h>

struct gn_sources;

/* Makes an empty set with one reference. NULL when out of memory. */
struct gn_sources *gn_sources_new(void);

/* NULL is allowed. */
struct gn_sources *gn_sources_ref(struct gn_sources *);
void gn_sources_unref(struct gn_sources *);

/* Keeps a copy of a text under a name that has none. Returns 0 or -ENOMEM. */
int gn_sources_record(struct gn_sources *, const char *name, const char *text,
                      size_t n);

/* The text of a name, borrowed for as long as the set lives; NULL when it has none. */
const char *gn_sources_recall(struct gn_sources *, const char *name, size_t *n);

#endif
