/* Threads that are fibers: what pthread_create() makes while the host starts a library
 * whose threads shall be fibers. Such a thread has thread-specific values of its own
 * for the keys that the library made then; all other keys stay with the OS thread. */
#ifndef GN_THREAD_H
#define GN_THREAD_H

#include <pthread.h>
#include <stdbool.h>

struct gn_sched;

/* From now until gn_threads_plain(), pthread_create() on this OS thread makes fibers
 * and pthread_key_create() makes keys of fibers. The first and the last thread made
 * meanwhile start at once: one worker and the one that gives work out. The others are
 * held back, at 100 bytes each: one starts when the condition variable on which the
 * first waited for work is signalled and nobody waits. So a pool of 10,000 workers
 * costs what is used of it. */
void gn_threads_as_fibers(void);

/* As gn_threads_as_fibers(), but the first `count` threads made meanwhile start at once
 * as fibers of these schedulers, one each, and none is held back. `places` is borrowed
 * until gn_threads_plain(). */
void gn_threads_on(struct gn_sched *const *places, unsigned count);

/* Returns 0, or -ENOMEM when the last thread could not be started. */
int gn_threads_plain(void);

/* For cond.c, around a wait on `c`: counts the running fiber as idle if it is such a
 * thread and waits for work there. Of a crowd of threads that have long been idle most
 * give back the memory of their stacks. */
void gn_thread_idle(pthread_cond_t *c);
void gn_thread_busy(pthread_cond_t *c);

/* For cond.c: starts a held-back thread of the pool that idles on `c`, as soon as there
 * is memory for it. Returns false when there is none to start. */
bool gn_thread_start_for(pthread_cond_t *c);

#endif
