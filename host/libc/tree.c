#include "tree.h"

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>

enum { DEPTH = 32 }; /* generations of descendants that are reached */

typedef bool visit(pid_t pid, int signal, int depth);

/* `list` is the kernel's list of what one thread of a process has started. */
static bool visit_list(FILE *list, visit *fn, int signal, int depth)
{
    bool all = true;
    int pid;
    while (fscanf(list, "%d", &pid) == 1)
        all &= fn(pid, signal, depth);
    fclose(list);
    return all;
}

/* Returns whether `fn` did for each child. */
static bool visit_children(pid_t pid, visit *fn, int signal, int depth)
{
    char path[64 + sizeof((struct dirent *)0)->d_name];
    bool all = true;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *threads = depth > 0 ? opendir(path) : NULL;
    for (struct dirent *d; threads && (d = readdir(threads));) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/children", (int)pid, d->d_name);
        FILE *list = *d->d_name == '.' ? NULL : fopen(path, "re");
        if (list)
            all &= visit_list(list, fn, signal, depth - 1);
    }
    if (threads)
        closedir(threads);
    return all;
}

/* Reads a process's state, a letter of proc(5), and which signals it holds back. */
static bool look_at(pid_t pid, char *state, uint64_t *held)
{
    char path[64], line[128];
    int found = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *status = fopen(path, "re");
    while (status && found < 2 && fgets(line, sizeof line, status))
        found += sscanf(line, "State: %c", state) == 1 ||
                 sscanf(line, "SigBlk: %" SCNx64, held) == 1;
    if (status)
        fclose(status);
    return found == 2;
}

static bool halt_one(pid_t pid, int signal)
{
    char state;
    uint64_t held;
    kill(pid, SIGSTOP);
    if (!look_at(pid, &state, &held))
        return true;
    if (state != 'T' || !(held & UINT64_C(1) << (signal - 1)))
        return state != 'R';
    kill(pid, SIGCONT);
    return false;
}

/* Those below only once it stands still: else it might end, and leave them so. */
static bool halt(pid_t pid, int signal, int depth)
{
    return halt_one(pid, signal) && visit_children(pid, halt, signal, depth);
}

bool gn_tree_halt(pid_t pid, int signal)
{
    return halt(pid, signal, DEPTH);
}

static bool end(pid_t pid, int signal, int depth)
{
    kill(pid, SIGSTOP);
    visit_children(pid, end, signal, depth);
    kill(pid, signal);
    kill(pid, SIGCONT);
    return true;
}

void gn_tree_end(pid_t pid, int signal)
{
    end(pid, signal, DEPTH);
}
