#include "stack.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

/* Valgrind has to know stacks from the heap; without it these do nothing. */
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) ((void)(low), (void)(high), 0)
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { STACKS_PER_SLAB = 32 };

/* Where a stack can be. */
struct gn_stack_place {
    struct gn_list link; /* while it is free: in `warm` or `cold` */
    char *low;           /* lowest usable address */
};

struct slab {
    struct gn_list link;
    char *base;
    size_t bytes;
    struct gn_stack_place places[STACKS_PER_SLAB];
};

void gn_stacks_init(struct gn_stacks *s)
{
    gn_list_init(&s->slabs);
    gn_list_init(&s->warm);
    gn_list_init(&s->cold);
    s->warm_count = 0;
}

void gn_stacks_term(struct gn_stacks *s)
{
    struct gn_list *l;
    while ((l = gn_list_pop(&s->slabs))) {
        struct slab *slab = gn_container_of(l, struct slab, link);
        munmap(slab->base, slab->bytes);
        free(slab);
    }
    gn_stacks_init(s);
}

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static int install_guard(char *at, size_t bytes)
{
    if (madvise(at, bytes, MADV_GUARD_INSTALL) == 0)
        return 0;
    return mprotect(at, bytes, PROT_NONE) < 0 ? -ENOMEM : 0;
}

/* Maps one more slab: guard, stack, guard, stack ... */
static int add_slab(struct gn_stacks *s)
{
    size_t guard = page_size(), step = guard + GN_STACK_SIZE;
    struct slab *slab = malloc(sizeof *slab);
    if (!slab)
        return -ENOMEM;
    slab->bytes = STACKS_PER_SLAB * step;
    slab->base = mmap(NULL, slab->bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (slab->base == MAP_FAILED)
        goto fail;
    madvise(slab->base, slab->bytes, MADV_NOHUGEPAGE);
    for (int i = 0; i < STACKS_PER_SLAB; i++)
        if (install_guard(slab->base + i * step, guard) < 0)
            goto unmap;
    for (int i = 0; i < STACKS_PER_SLAB; i++) {
        char *low = slab->base + i * step + guard;
        (void)VALGRIND_STACK_REGISTER(low, low + GN_STACK_SIZE);
        slab->places[i].low = low;
        gn_list_append(&s->cold, &slab->places[i].link);
    }
    gn_list_push(&s->slabs, &slab->link);
    return 0;
unmap:
    munmap(slab->base, slab->bytes);
fail:
    free(slab);
    return -ENOMEM;
}

int gn_stack_get(struct gn_stacks *s, struct gn_stack *out)
{
    struct gn_list *l = gn_list_pop(&s->warm);
    if (l)
        s->warm_count--;
    else if (gn_list_empty(&s->cold) && add_slab(s) < 0)
        return -ENOMEM;
    else
        l = gn_list_pop(&s->cold);
    out->place = gn_container_of(l, struct gn_stack_place, link);
    out->base = out->place->low;
    out->size = GN_STACK_SIZE;
    return 0;
}

void gn_stack_put(struct gn_stacks *s, struct gn_stack *stack)
{
    struct gn_list *l = &stack->place->link;
    ASAN_UNPOISON_MEMORY_REGION(stack->base, stack->size);
    if (s->warm_count < GN_STACKS_WARM) {
        s->warm_count++;
        gn_list_push(&s->warm, l);
    } else {
        madvise(stack->base, stack->size, MADV_DONTNEED);
        gn_list_push(&s->cold, l);
    }
    stack->base = NULL;
}

void *gn_stack_guard(const struct gn_stack *stack, size_t *size)
{
    *size = page_size();
    return (char *)stack->base - *size;
}

/* ---- the overflow report ---- */

/* The same for all threads, each of which sets it. */
static const char *(*_Atomic fiber_at)(const void *fault);

static void say(const char *text)
{
    syscall(SYS_write, STDERR_FILENO, text, strlen(text)); /* write() may park */
}

/* Async-signal-safe. Returning with the default action in place repeats the fault and
 * ends. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
    (void)context;
    const char *name = fiber_at(info->si_addr);
    if (name) {
        say("genet: stack overflow in fiber '");
        say(name);
        say("'\n");
    }
    signal(sig, SIG_DFL);
}

void gn_stack_watch(const char *(*name)(const void *fault))
{
    struct sigaction sa = {.sa_sigaction = on_fault,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK};
    fiber_at = name;
    sigaction(SIGSEGV, &sa, NULL);
    sigaction(SIGBUS, &sa, NULL);
}

static _Thread_local void *alt_stack; /* ours; NULL when somebody else has set one */

int gn_stack_watch_thread(void)
{
    size_t size = 16 * 1024 + (size_t)sysconf(_SC_MINSIGSTKSZ);
    stack_t old, alt = {.ss_sp = malloc(size), .ss_size = size};
    if (!alt.ss_sp)
        return -ENOMEM;
    if (sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_DISABLE)) {
        free(alt.ss_sp); /* a sanitizer has set one, or the program */
        return 0;
    }
    if (sigaltstack(&alt, NULL) == 0) {
        alt_stack = alt.ss_sp;
        return 0;
    }
    free(alt.ss_sp);
    return -errno;
}

void gn_stack_unwatch_thread(void)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    if (!alt_stack || sigaltstack(&off, NULL) < 0)
        return;
    free(alt_stack);
    alt_stack = NULL;
}
