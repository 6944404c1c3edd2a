/* Machine contexts: the few registers that must survive a switch of stacks.
 *
 * x86-64 (System V) and aarch64 (AAPCS64) switch in a dozen instructions without a
 * system call; every other machine uses ucontext(3). Knows nothing of fibers. */
#ifndef GN_CONTEXT_H
#define GN_CONTEXT_H

#include <stddef.h>

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(GN_CONTEXT_UCONTEXT)
#define GN_CONTEXT_UCONTEXT 1 /* or set it to try the portable way anywhere */
#endif

#if !defined(GN_CONTEXT_UCONTEXT)
struct gn_context {
    void *sp; /* the other registers lie on the stack, at sp */
};
#else
#include <ucontext.h>
struct gn_context {
    ucontext_t uc;
};
#endif

/* Prepares a context that will call entry() on the given stack at its first switch.
 * `entry` must never return. */
void gn_context_make(struct gn_context *, void *stack, size_t size,
                     void (*entry)(void));

/* Saves the running context in `from` and goes on with `to`; returns when somebody
 * switches back. */
void gn_context_switch(struct gn_context *from, struct gn_context *to);

#endif
