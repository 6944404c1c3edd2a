#include "context.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(GN_CONTEXT_UCONTEXT)

void gn_context_make(struct gn_context *c, void *stack, size_t size,
                     void (*entry)(void))
{
    if (getcontext(&c->uc) < 0)
        abort();
    c->uc.uc_stack.ss_sp = stack;
    c->uc.uc_stack.ss_size = size;
    c->uc.uc_link = NULL;
    makecontext(&c->uc, entry, 0);
}

void gn_context_switch(struct gn_context *from, struct gn_context *to)
{
    if (swapcontext(&from->uc, &to->uc) < 0)
        abort();
}

#elif defined(__x86_64__)

/* Callee-saved by the System V ABI: rbx rbp r12-r15, the control bits of mxcsr and the
 * x87 word. */
__asm__(".text\n"
        ".p2align 4\n"
        ".globl gn_context_switch\n"
        ".hidden gn_context_switch\n"
        ".type gn_context_switch, @function\n"
        "gn_context_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    subq $8, %rsp\n"
        "    stmxcsr (%rsp)\n"
        "    fnstcw 4(%rsp)\n"
        "    movq %rsp, (%rdi)\n"
        "    movq (%rsi), %rsp\n"
        "    ldmxcsr (%rsp)\n"
        "    fldcw 4(%rsp)\n"
        "    addq $8, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size gn_context_switch, .-gn_context_switch\n");

struct frame {
    uint32_t mxcsr;
    uint16_t x87, unused;
    void *r15, *r14, *r13, *r12, *rbx, *rbp;
    void (*ret)(void);
    void *end; /* a null return address: where a backtrace stops */
};

void gn_context_make(struct gn_context *c, void *stack, size_t size,
                     void (*entry)(void))
{
    uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
    struct frame *f = (struct frame *)top - 1;
    memset(f, 0, sizeof *f);
    __asm__("stmxcsr %0\n\tfnstcw %1" : "=m"(f->mxcsr), "=m"(f->x87));
    f->ret = entry;
    c->sp = f;
}

#elif defined(__aarch64__)

/* Callee-saved by AAPCS64: x19-x30, sp, and the low halves of v8-v15. */
__asm__(".text\n"
        ".p2align 4\n"
        ".globl gn_context_switch\n"
        ".hidden gn_context_switch\n"
        ".type gn_context_switch, %function\n"
        "gn_context_switch:\n"
        "    sub sp, sp, #160\n"
        "    stp x19, x20, [sp, #0]\n"
        "    stp x21, x22, [sp, #16]\n"
        "    stp x23, x24, [sp, #32]\n"
        "    stp x25, x26, [sp, #48]\n"
        "    stp x27, x28, [sp, #64]\n"
        "    stp x29, x30, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    ldr x9, [x1]\n"
        "    mov sp, x9\n"
        "    ldp x19, x20, [sp, #0]\n"
        "    ldp x21, x22, [sp, #16]\n"
        "    ldp x23, x24, [sp, #32]\n"
        "    ldp x25, x26, [sp, #48]\n"
        "    ldp x27, x28, [sp, #64]\n"
        "    ldp x29, x30, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    add sp, sp, #160\n"
        "    ret\n"
        ".size gn_context_switch, .-gn_context_switch\n");

struct frame {
    void *x19_28[10];
    void *fp;
    void (*lr)(void);
    uint64_t d8_15[8];
};

void gn_context_make(struct gn_context *c, void *stack, size_t size,
                     void (*entry)(void))
{
    uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
    struct frame *f = (struct frame *)top - 1;
    memset(f, 0, sizeof *f);
    f->lr = entry;
    c->sp = f;
}

#endif
