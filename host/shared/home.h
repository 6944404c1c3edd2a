/* Where a store lies: a directory of its files, and who uses it.
 *
 * A private place is a directory in /dev/shm, made for one host and removed with it.
 * Whoever uses a place holds a shared lock on the file `alive` in it, so that an
 * exclusive lock tells that nobody lives: what a killed host has left behind is removed
 * by the next one that makes a place. The kernel drops the locks of the dead. */
#ifndef GN_HOME_H
#define GN_HOME_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum { GN_HOME_ROOM = PATH_MAX - 16 }; /* of a path, so that names fit behind it */

struct gn_home {
    char path[GN_HOME_ROOM];
    int dir;     /* descriptor of the directory */
    int alive;   /* of its file `alive`, locked */
    int opening; /* of its file `opening`, locked while one opens or closes */
};

/* Makes a private directory below `base` (NULL: /dev/shm, else $TMPDIR, else /tmp),
 * after it has removed those that dead hosts of the same user have left there. Writes
 * its path. Returns 0 or a negative errno. The caller holds it alive by *alive, a
 * descriptor that survives fork() but not exec(). */
int gn_home_make(const char *base, char *path, size_t room, int *alive);

/* Removes a private directory and the files in it; closes `alive`. */
void gn_home_remove(const char *path, int alive);

/* Removes the private directories below `base` that nobody uses. Returns how many. */
int gn_home_sweep(const char *base);

/* Opens a directory, which must be there, and keeps others from opening or closing it
 * until gn_home_settle(). *first tells whether nobody else uses it. Returns 0 or a
 * negative errno. */
int gn_home_open(struct gn_home *, const char *path, bool *first);

/* Lets the others open it. */
void gn_home_settle(struct gn_home *);

/* Keeps the others from opening it, before it is closed; tells whether nobody else uses
 * it. */
bool gn_home_leave(struct gn_home *);

/* Closes it. */
void gn_home_close(struct gn_home *);

/* Opens a file of the place for reading and writing, at least `size` bytes long, all of
 * which have their room on the disk. Returns a descriptor or a negative errno. */
int gn_home_file(const struct gn_home *, const char *name, size_t size);

/* The path of a file of the place. Borrows `out`. */
const char *gn_home_name(const struct gn_home *, const char *name, char out[PATH_MAX]);

#endif
