/* Children of the host: started without a copy of the host's memory, noticed when they
 * end, and never left as zombies while the scheduler runs.
 *
 * A child has the descriptors that it is given and no other, default signal
 * dispositions and an empty signal mask. Its end is told by a pidfd; where none is to
 * be had (an old kernel, or no descriptor left) it is looked for now and then. */
#ifndef GN_SPAWN_H
#define GN_SPAWN_H

#include "../sched/sched.h"

#include <stdbool.h>
#include <sys/types.h>

/* How to start a child. */
struct gn_spawn {
    char *const *argv; /* ended by NULL; argv[0] is looked for on the host's PATH */
    char *const *envp; /* NULL: the host's environment */
    const char *cwd;   /* NULL: the host's directory */
    int fd[3]; /* what its descriptors 0 to 2 are copies of; -1: those of the host */
    const char *file; /* the program; NULL: argv[0] names it */
    const int *more;  /* what its descriptors from 3 on are copies of */
    unsigned more_count;
    bool group; /* it leads a process group of its own, which is killed with it */
};

struct gn_child {
    pid_t pid;
    bool group;
    bool told;      /* to end, by gn_child_end() or by its limit */
    bool asked;     /* by SIGTERM, when its limit was reached */
    bool overdue;   /* its limit was reached before it ended */
    bool ended;     /* and reaped: `status` is valid */
    bool orphan;    /* nobody wants to know of its end */
    int status;     /* as of wait(2); -1 when somebody else has reaped it */
    unsigned halts; /* how often it did not stand still to be told */
    int64_t grace;  /* ns between SIGTERM and SIGKILL when its limit is reached */
    struct gn_sched *sched; /* of the thread that started it; NULL: none */
    struct gn_watch exit;   /* of its pidfd, which is -1 when there is none */
    struct gn_timer look;   /* when to look whether it has ended, without a pidfd */
    unsigned looks;         /* how often that was in vain */
    struct gn_timer limit;
    struct gn_list waits; /* fibers that wait for its end */
    struct gn_list link;  /* among the orphans */
};

/* Starts a child and sets *child to it, owned. Returns 0 or a negative errno, with
 * *culprit naming what the error is about: the command or the directory, borrowed from
 * `how`. Does not wait, but for the child's execve(2). */
int gn_child_start(const struct gn_spawn *how, struct gn_child **child,
                   const char **culprit);

/* Frees what is known of a child. One that has not ended goes on, and is reaped when it
 * ends. Takes the child. NULL is allowed. Never waits. */
void gn_child_drop(struct gn_child *);

/* gn_child_drop(), with SIGKILL first for one that has not ended and for what it has
 * started. */
void gn_child_discard(struct gn_child *);

/* Has it terminated at the deadline, with what it has started: by SIGTERM, and by
 * SIGKILL after `grace` more nanoseconds. Returns 0 or -ENOMEM. */
int gn_child_limit(struct gn_child *, int64_t deadline, int64_t grace);

/* Sends a signal, to its group if it leads one. Returns 0, or -ESRCH when it has ended.
 */
int gn_child_kill(struct gn_child *, int signal);

/* Waits for its end, as many fibers as like to. Returns 0 when it has ended,
 * -ETIMEDOUT, or the cause of an interruption. May wait; where waiting is forbidden it
 * blocks the thread. */
int gn_child_wait(struct gn_child *, int64_t deadline);

/* Ends it and what it has started: SIGTERM, SIGKILL after `grace` nanoseconds. May
 * wait, also in an interrupted fiber. Returns whether it has ended: a process stuck in
 * the kernel does not. */
bool gn_child_end(struct gn_child *, int64_t grace);

/* A pipe for one descriptor of a child: ours in the returned pair's [0] for reading its
 * output, [1] for writing its input. Both are closed on exec and none is below 3.
 * Returns 0 or a negative errno. */
int gn_pipe(int fd[2]);

#endif
