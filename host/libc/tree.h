/* A process and all that it has started, and what that has, and so on. */
#ifndef GN_TREE_H
#define GN_TREE_H

#include <stdbool.h>
#include <sys/types.h>

/* Has a process and its descendants stand still (SIGSTOP), so that they start no others
 * before gn_tree_end(). Returns false when one does not yet, or did where it holds
 * `signal` back, and goes on: dash does so before its vfork(2), and given the signal
 * there it would start a command and end. It is worth another attempt a moment later;
 * but some hold signals back for good. Call gn_tree_end() in any case. Never waits. */
bool gn_tree_halt(pid_t, int signal);

/* Sends them a signal that ends, and has them go on. What has left the tree because its
 * parent ended is not reached. Never waits. */
void gn_tree_end(pid_t, int signal);

#endif
