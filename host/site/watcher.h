/* The watcher: asks for a reload when a script has been saved.
 *
 * It watches directories with inotify, since editors save by writing a new file and
 * renaming it: what counts in one are the files it was told of and, where it was told
 * to, every *.lua. Changes that follow each other within 50 ms make one reload. */
#ifndef GN_WATCHER_H
#define GN_WATCHER_H

#include "generations.h"

struct gn_watched; /* a directory */

struct gn_watcher {
    struct gn_generations *generations;
    struct gn_fiber *fiber; /* NULL while it does not watch */
    int fd;                 /* inotify's; -1 before gn_watcher_open() */
    struct gn_watched *directories;
};

/* Begins to watch. Returns 0 or a negative errno. */
int gn_watcher_open(struct gn_watcher *, struct gn_generations *);

/* Ends the watching and waits until it has. May wait. */
void gn_watcher_close(struct gn_watcher *);

/* Watches a file, and what it is a link to; or every *.lua of a directory. What cannot
 * be watched is logged. Does nothing when the watcher is not open. */
void gn_watcher_add_file(struct gn_watcher *, const char *path);
void gn_watcher_add_directory(struct gn_watcher *, const char *path);

#endif
