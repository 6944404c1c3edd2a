/* Fiber stacks: 512 KiB of address space each, paid for only where touched.
 *
 * Stacks are cut from slabs of one mapping each, so that ten thousand of them do not
 * exhaust the kernel's count of mappings. Below each lies a guard page, by
 * MADV_GUARD_INSTALL where the kernel has it (Linux 6.13: no mapping of its own), else
 * by mprotect(). A freed stack keeps its pages for the next fiber while at most
 * GN_STACKS_WARM are free; the pages of the others go back. */
#ifndef GN_STACK_H
#define GN_STACK_H

#include "list.h"

/* Lua refuses its 200th nested C call; that many calls of string.gsub need about 400
 * KiB, and three times as much when AddressSanitizer puts red zones around every local
 * variable. */
#if defined(__SANITIZE_ADDRESS__)
#define GN_STACK_SIZE (2048 * 1024)
#else
#define GN_STACK_SIZE (512 * 1024)
#endif
#define GN_STACKS_WARM 256

struct gn_stack {
    void *base;  /* lowest usable address; NULL when there is no stack */
    size_t size; /* bytes */
    struct gn_stack_place *place; /* for gn_stack_put() */
};

struct gn_stacks {
    struct gn_list slabs;
    struct gn_list warm; /* free, with pages */
    struct gn_list cold; /* free, without */
    size_t warm_count;
};

void gn_stacks_init(struct gn_stacks *);

/* Unmaps everything, stacks in use too. */
void gn_stacks_term(struct gn_stacks *);

/* Takes a stack, its contents undefined. Returns 0 or -ENOMEM. */
int gn_stack_get(struct gn_stacks *, struct gn_stack *);

/* Gives a stack back; nothing may run on it. */
void gn_stack_put(struct gn_stacks *, struct gn_stack *);

/* Installs, once for the process, a SIGSEGV handler that reports an overflow with the
 * name of the fiber and ends the process by the signal. Calls `name` from the handler,
 * with the address. */
void gn_stack_watch(const char *(*name)(const void *fault));

/* Lets the calling thread run that handler when its stack is gone. Returns 0 or
 * -ENOMEM. */
int gn_stack_watch_thread(void);

/* Undoes gn_stack_watch_thread(). */
void gn_stack_unwatch_thread(void);

/* The lowest address of the guard that lies directly below a stack. */
void *gn_stack_guard(const struct gn_stack *, size_t *size);

#endif
