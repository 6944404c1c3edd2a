/* systemd: what the service manager gives to a host that it has started, and what it
 * hears from it. Where it has not started this process, nothing happens.
 *
 * In a host of several processes only the one that was started speaks to it. */
#ifndef GN_SYSTEMD_H
#define GN_SYSTEMD_H

#include <stddef.h>
#include <stdint.h>

/* Works out where to listen when sockets were passed on (LISTEN_FDS). An address
 * `fd:NAME` or `https://fd:NAME` stands for the sockets of that FileDescriptorName=;
 * when `addresses` has none such, the sockets replace it all, and those whose name
 * begins with "https" speak TLS. Takes the variables out of the environment.
 *
 * Returns 1 with a list for genet_options.listen in *out, owned, as free_list() in
 * main.c frees it; 0 when no sockets were passed; -1 with a line in `error`. To be
 * called once, off fibers. */
int gn_systemd_listen(char *const *addresses, char ***out, char *error, size_t room);

/* The host serves, at these addresses. May wait. */
void gn_systemd_ready(const char *urls);

/* The scripts are being loaded again; gn_systemd_reloaded() follows. May wait. */
void gn_systemd_reloading(void);

/* They have been: `error` says why not, or is NULL. May wait. */
void gn_systemd_reloaded(unsigned generation, const char *error);

/* The host ends, in `seconds` at most. May wait. */
void gn_systemd_stopping(double seconds);

/* Nanoseconds in which gn_systemd_ping() is to be called, or the host is taken for
 * dead; 0: it need not be. */
int64_t gn_systemd_watchdog(void);

/* The host is alive. May wait. */
void gn_systemd_ping(void);

#endif
