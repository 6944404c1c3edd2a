/* Files and directories on disk, read without holding up the thread: the Lua module
 * `genet.disk`.
 *
 * What is in the kernel's caches, names as well as bytes, is taken from there at once.
 * What is not is fetched by a thread of the offload pool. */
#ifndef GN_VM_DISK_H
#define GN_VM_DISK_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A regular file, as it was when it was opened. It is read at offsets only, so that
 * many may do so at once. */
struct gn_disk_file {
    int fd; /* -1 once closed */
    struct stat st;
};

/* The file at a stack index, anchored there. Raises where there is none, or a closed
 * one. */
struct gn_disk_file *gn_disk_check(lua_State *, int arg);

/* Brings [at, at + n) into the page cache, if its ends are not there: the kernel reads
 * ahead in between. May wait. Returns 0 or the cause. */
int gn_disk_warm(int fd, off_t at, size_t n);

/* As pread(2), but may return fewer bytes than there are. May wait. Returns the bytes,
 * 0 at the end of the file, or a negative errno. */
ssize_t gn_disk_read(int fd, char *, size_t n, off_t at);

int luaopen_genet_disk(lua_State *);

#endif
