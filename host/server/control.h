/* The control socket: how the command line speaks to a running host.
 *
 * A Unix socket that only the host's own user, and root, may use. A client sends one
 * line, a verb; it gets back "ok" or "failed", a newline, and a text up to the end of
 * the stream. Verbs: reload, status, and attach, see attach.h. Who waits for a reload
 * waits on a fiber of his own. */
#ifndef GN_CONTROL_H
#define GN_CONTROL_H

#include "../site/generations.h"

#include <stdio.h>
#include <sys/un.h>

/* What can be asked; the answer is written to `out`. Returns whether it went well. May
 * wait. */
struct gn_control_verb {
    const char *name;
    bool (*fn)(void *arg, FILE *out);
};

/* The workers of a host that has several, for consoles; each may be NULL. */
struct gn_control_workers {
    unsigned self;                /* the number of the one that is asked */
    void (*tell)(void *, FILE *); /* writes a line for each; must not wait */
    /* What a thread of this number serves; NULL: there is none such. */
    struct gn_generations *(*find)(void *, unsigned number);
    /* Writes the path of the control socket of a process of this number. Returns false
     * when there is none such. */
    bool (*place)(void *, unsigned number, char *path, size_t room);
    void *arg;
};

struct gn_control {
    struct gn_sched *sched;
    const struct gn_control_verb *verbs; /* ended by one without a name; borrowed */
    void *arg;                           /* for them */
    struct gn_generations *generations;  /* of a host that has some; or NULL */
    const char *urls;                    /* that the host serves; borrowed */
    int64_t born;
    int fd;                  /* listens; -1 while closed */
    struct gn_list sessions; /* of attach.h */
    struct gn_control_workers workers;
    unsigned clients;
    struct sockaddr_un address;
};

/* Listens at `path`; at NULL, in a directory of the user's own, see
 * gn_control_directory(). Returns 0, or -1 with a line in `error`. */
int gn_control_open(struct gn_control *, struct gn_generations *, const char *urls,
                    const char *path, char *error, size_t room);

/* The same for a host that answers other verbs. */
int gn_control_open_with(struct gn_control *, struct gn_sched *,
                         const struct gn_control_verb *, void *arg, const char *path,
                         char *error, size_t room);

/* Ends the listening and removes the socket's file; waits until those who are being
 * answered have gone, but not for ever. Returns how many have not: on a thread that is
 * blocked. May wait. */
unsigned gn_control_close(struct gn_control *);

/* Does what a verb says, and writes its text. Returns whether it went well. May wait.
 * On the control's own thread. */
bool gn_control_run(struct gn_control *, const char *verb, FILE *);

/* Where hosts that are told nothing else have their sockets, as PID.sock:
 * $XDG_RUNTIME_DIR/genet, or /tmp/genet-UID. Makes it when it is not there. Returns 0,
 * or a negative errno: -EPERM when it is not the user's alone. */
int gn_control_directory(char *out, size_t room);

/* The client: sends the verb to the host at `path`, or at NULL to the only one of this
 * user that runs, and prints what it answers. Returns the exit status. */
int gn_control_ask(const char *path, const char *verb);

/* Connects to the host at `path`. Returns the socket, or -1 after it has told why not.
 */
int gn_control_dial(const char *path);

/* The same for the only host of this user; sets the exit status when it returns -1. */
int gn_control_dial_only(const char *verb, int *status);

#endif
