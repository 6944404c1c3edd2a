/* Genet, embedded: a server of Lua routes inside a program of yours.
 *
 *     struct genet_options o;
 *     char error[256];
 *     genet_options_init(&o);
 *     o.path = "scripts";
 *     struct genet *g = genet_new(&o, error, sizeof error);
 *     int status = g ? genet_run(g) : 1;
 *     genet_free(g);
 *
 * The program must define the cooperative libc itself: link the objects of host/libc
 * whole and export its symbols, as CMakeLists.txt does for the `genet` program. One
 * thread calls new, run and free; genet_stop() comes from anywhere.
 */
#ifndef GENET_H
#define GENET_H

#include <stdbool.h>
#include <stddef.h>

#define GENET_VERSION "0.1.0"

struct genet;

struct genet_options {
    const char *path;          /* a Lua script, or a directory of them; "scripts" */
    const char *const *listen; /* addresses, ended by NULL; {"127.0.0.1:5000", NULL}: */
    /* HOST:PORT, [IPV6]:PORT, unix:PATH[?mode=0660], fd:N; https://HOST:PORT for TLS */
    const char *const *certificates; /* PEM files with their chains, ended by NULL */
    const char *const *keys;         /* and a PEM file for each of them */
    const char *client_ca; /* clients must show a certificate of these; NULL */
    int max_connections;   /* at once; 10000 */
    long long max_body;    /* bytes of a request's body; 8 MiB */
    size_t max_head;       /* bytes of a request's head; 16 KiB */
    int max_per_ip;        /* connections of one address; 0: no limit; 0 */
    bool redirect_https;   /* plain requests are sent to the TLS address */
    double head_timeout;   /* seconds for all of a head; 10 */
    double keep_alive;     /* seconds that a connection may idle; 15 */
    size_t ws_queue;       /* bytes that may wait for a slow WebSocket; 1 MiB */
    double ws_ping;        /* seconds of silence until one is pinged; 0: never; 30 */
    double drain;          /* seconds that requests may go on after genet_stop(); 30 */
    double load_timeout;   /* seconds that loading the scripts may take; 10 */
    const char
        *state; /* directory of genet.shared, where it survives; NULL: in memory */
    size_t shared_memory;   /* bytes of all entries of genet.shared; 64 MiB */
    const char *control;    /* path of the control socket; NULL: see `genet status` */
    const char *access_log; /* where a line for each request goes; NULL: nowhere */
    const char *log_format; /* common, combined, json, dev or variables; "combined" */
    bool request_ids;       /* answers and log lines tell the id of the request */
    const char *const *config; /* "NAME=VALUE" for app.config, ended by NULL; NULL */
    const char *bus;           /* URL of the Redis that carries what is published to */
    /* other hosts, redis://[[USER]:PASSWORD@]HOST[:PORT] or redis+unix:///PATH; NULL */
    bool patch;    /* let io and os wait cooperatively; true */
    bool reload;   /* load them again when one has changed */
    int threads;   /* that each have a Lua state and run requests one at a time; 0: none
                    */
    int processes; /* that each serve as one without; 0: this one alone. They are this
                      program, started again with its arguments: it must come to
                      genet_run() with the same options */
    bool systemd;  /* tell systemd, if it has started us, how things go */
    bool debug;    /* show errors, and who serves, in answers */
    double slice;  /* seconds that a handler may compute before others run; 0: it is
                      not preempted; 0.05 */
    double cpu_limit; /* seconds of processor time for a request or task; 0: no limit;
                         30 */
    void (*ready)(struct genet *,
                  void *); /* called once connections are accepted; may be NULL */
    void *ready_arg;
};

/* Fills in the defaults. */
void genet_options_init(struct genet_options *);

/* Whether `bus` above can have such a value. Returns 0, or -1 and a line in `error`. */
int genet_check_bus(const char *url, char *error, size_t room);

/* Makes a server; strings are copied. Returns NULL and a line in `error` on failure.
 * Owned by the caller, who frees it with genet_free(). */
struct genet *genet_new(const struct genet_options *, char *error, size_t room);

/* Loads the scripts, listens, and serves until genet_stop(); then lets requests in
 * flight finish. Returns 0, or -1 when it could not start: the reason is in
 * genet_error(). */
int genet_run(struct genet *);

/* Begins an orderly end. Any thread; async-signal-safe. */
void genet_stop(struct genet *);

/* Loads the scripts again, aside, and swaps them in when that has succeeded; and the
 * certificates, for new connections. What cannot be loaded is logged, and the old
 * stays. Any thread; async-signal-safe. */
void genet_reload(struct genet *);

/* Has the files of the logs opened anew, for who has moved them. Any thread;
 * async-signal-safe. */
void genet_reopen_logs(struct genet *);

/* Adds processes, or takes some away, where `processes` was given. Any thread;
 * async-signal-safe. */
void genet_scale(struct genet *, int by);

/* Why genet_run() failed; "" when it did not. Borrowed. */
const char *genet_error(const struct genet *);

/* The addresses listened on, such as "http://127.0.0.1:5000", with blanks between;
 * valid from `ready` on. Borrowed. */
const char *genet_url(const struct genet *);

/* Frees a server that does not run. NULL is allowed. */
void genet_free(struct genet *);

#endif
