/* A process and all that it has started, and what that has, and so on. */
#ifndef GN_TREE_H
#define GN_TREE_H

#include <stdbool.h>
#include <sys/types.h>

/* Has a process and its descendants stand still (SIGSTOP), so that they start no others
 * before gn_tree_end(). Returns false when one does not stand yet, or did where it
 * holds `signal` back, and goes on: dash does so before its vfork(2), and given the
 * signal there it would start a command and end. A moment later it is worth another
 * attempt; some hold signals back for good. Never waits. */
bool gn_tree_halt(pid_t, int signal);

/* Sends them a signal that ends, and has them go on. What has left the tree because its
 * parent ended is not reached. Never waits. */
void gn_tree_end(pid_t, int signal);

#endif
