/* A server, genet.h, from the inside: what it is made of, and who does what.
 *
 * server.c has its life and does what is asked from outside; serving.c is a process
 * that serves, supervising.c the parent of several that do. The entrance, entrance.c,
 * is where connections come in; what systemd hears is in notices.c. Everything is
 * called on the host's own thread. */
#ifndef GN_SERVER_H
#define GN_SERVER_H

#include "../bus/redis.h"
#include "../genet.h"
#include "../http/acceptor.h"
#include "../site/watcher.h"
#include "../telemetry/lookout.h"
#include "../vm/shared.h"
#include "control.h"
#include "crew.h"
#include "follower.h"
#include "parent.h"

#include <stdatomic.h>

struct genet {
    struct genet_options options; /* its lists and strings are borrowed: see below */
    struct gn_sched *sched;
    int status; /* 0, or -1 and `error` says why */
    char error[600];

    /* Copies of what the options point to. Lists are ended by NULL. */
    char *path, **config;
    char **listen, **certificates, **keys;
    char *client_ca;    /* or NULL */
    char *control_path; /* NULL: the usual place */
    char *access_log, *log_format;
    char *bus_url, *state; /* or NULL */

    /* Wishes from outside. */
    int stop, reload;   /* eventfds that genet_stop() and genet_reload() write to */
    atomic_int scale;   /* by genet_scale(), to be done yet */
    atomic_bool reopen; /* processes are to be told of genet_reopen_logs() */
    bool stopping;      /* it has begun to */

    /* Connections, on the desk's thread. */
    struct gn_acceptor acceptor;
    char urls[GN_LISTENERS * 161];
    struct gn_tls_site *tls, *fresh_tls; /* in use; to be used from now on */
    struct gn_wires *wires; /* at home: `own`, or the reception's of the crew */
    struct gn_wires own;
    struct gn_front front;
    int64_t deadline; /* of the requests that are drained */
    size_t left;      /* of them, then */

    /* What answers requests. */
    struct gn_generations generations; /* with threads, the leader of theirs */
    struct gn_watcher watcher;
    struct gn_hub hub;
    struct gn_shared shared;
    struct gn_bus bus;
    struct gn_redis *redis; /* of the bus; NULL without a URL */

    /* With threads. */
    struct gn_crew crew;
    struct gn_role role; /* of the leader's states */

    /* With processes. */
    struct gn_parent *parent; /* while they are supervised; else NULL */
    struct gn_worker *worker; /* in one that has a parent; else NULL */
    struct gn_follower follower;
    struct gn_topic_link topics; /* of such a one, to its parent */

    /* For those who look at it. */
    struct gn_control control;
    struct gn_stats_area stats;
    struct gn_lookout lookout; /* of the host's own thread */
    struct gn_fiber *watchdog; /* pings systemd; NULL when that does not ask for it */
    int64_t watchdog_ns;       /* see gn_systemd_watchdog() */
};

/* ---- server.c ---- */

/* Notes why the server fails. Returns -1. */
int gn_server_fail(struct genet *, const char *why);

/* Every connection is a descriptor, and so is every upstream of its handler: has as
 * many as may be. */
void gn_server_raise_file_limit(const struct genet *);

/* Says that each of `count` workers has a Lua state of its own. */
void gn_server_tell_separation(int count, const char *what);

/* Connects the bus with Redis, if it has a URL. */
void gn_server_open_bus(struct genet *);

/* Does what is asked for from outside until that is to stop. Waits. */
void gn_server_obey(struct genet *);

/* ---- serving.c, supervising.c: a server's whole run, on a fiber ---- */

void gn_server_serve(void *server);
void gn_server_supervise(void *server);

/* ---- entrance.c ---- */

/* Opens the listeners, with their certificates. Returns 0, or -1 with the reason as the
 * server's error. */
int gn_entrance_listen(struct genet *, char **addresses);

/* Opens them, and civetweb, which gets no connection yet. Returns as
 * gn_entrance_listen(). May wait. */
int gn_entrance_open(struct genet *);

/* Begins to take connections. Returns as gn_entrance_listen(). May wait. */
int gn_entrance_start(struct genet *);

/* Ends what has not taken any. May wait. */
void gn_entrance_give_up(struct genet *);

/* New connections get the certificates that the files hold by now, or, when those
 * cannot be read, the old ones still. May wait. */
void gn_entrance_renew(struct genet *);

/* Lets nobody in any more, and waits until all have been answered; from the server's
 * deadline on they are cancelled. Returns how many do not let themselves be. */
size_t gn_entrance_drain(struct genet *);

/* Ends civetweb, which has no connection any more. May wait. */
void gn_entrance_close(struct genet *);

/* ---- notices.c: what systemd hears, if it has started us ---- */

/* A load begins, or is done: with this generation, or the reason why not. */
void gn_notice_load(const struct genet *, bool done, unsigned generation,
                    const char *error);

/* It serves. Pings from then on, if systemd asks for it, until gn_notice_end(). */
void gn_notice_ready(struct genet *);
void gn_notice_stopping(struct genet *);
void gn_notice_end(struct genet *);

#endif
