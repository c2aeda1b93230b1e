/* SPDX-License-Identifier: MIT */
/* The restartable sequences of the queue strategy's local lock path, one block per architecture.
 *
 * Only glibc's registration is used; the library never registers rseq memory itself. The kernel's ABI asks for
 * a descriptor {version, flags, start, length, abort}, its address stored in the thread's rseq_cs field before
 * the sequence starts, and the signature word right before the abort handler. Source: Linux Documentation/ABI of rseq(2);
 * the scheme is the one of Paul Turner and Andrew Hunter's "restartable sequences" (2013).
 */
#ifndef PWLOCKS_RSEQ_H
#define PWLOCKS_RSEQ_H

#include "base.h"

/* Offsets in struct rseq, fixed by the kernel's ABI. */
#define PW_DETAIL_RSEQ_CPU_ID 4
#define PW_DETAIL_RSEQ_CS 8

/* Log2 of the distance between two CPUs' instances of one per-CPU object; see percpu.h. */
#define PW_PERCPU_SHIFT 20

PW_BEGIN_DECLS

#if defined(__x86_64__) && !defined(__ILP32__)
#define PW_DETAIL_HAVE_RSEQ 1

/* The signature that glibc registers on x86 (RSEQ_SIG), encoded so that it disassembles as ud1. */
#define PW_DETAIL_RSEQ_SIG "0x53053053"

PW_INLINE int32_t pw_detail_rseq_cpu(void)
{
    int32_t cpu;
    __asm__ volatile("movl %%fs:%c2(%1), %0"
                     : "=r"(cpu)
                     : "r"((intptr_t)pw_detail_globals.rseq_offset), "i"(PW_DETAIL_RSEQ_CPU_ID));
    return cpu;
}

/* The descriptor and the abort handler, shared by both sequences. The handler sits in a section of its own, as
 * out-of-line code does, behind the signature that the kernel checks before it jumps there. "?" puts each section
 * into the COMDAT group of the function around it, so that the linker drops both or neither. */
#define PW_DETAIL_RSEQ_TABLE                                                                                    \
    ".pushsection __rseq_cs, \"aw?\"\n\t"                                                                        \
    ".balign 32\n\t"                                                                                            \
    "77:\n\t"                                                                                                   \
    ".long 0, 0\n\t"                                                                                            \
    ".quad 1f, 2f - 1f, 4f\n\t"                                                                                 \
    ".popsection\n\t"                                                                                           \
    ".pushsection __rseq_cs_ptr_array, \"aw?\"\n\t"                                                              \
    ".quad 77b\n\t"                                                                                             \
    ".popsection\n\t"

#define PW_DETAIL_RSEQ_ABORT                                                                                    \
    ".pushsection __rseq_failure, \"ax?\"\n\t"                                                                   \
    ".byte 0x0f, 0xb9, 0x3d\n\t" /* ud1 <sig>(%rip), %edi: never executed */                                    \
    ".long " PW_DETAIL_RSEQ_SIG "\n\t"                                                                          \
    "4:\n\t"                                                                                                    \
    "jmp %l[aborted]\n\t"                                                                                       \
    ".popsection\n\t"

/* The descriptor lies in the module that inlined us: the thread must not keep its address, or a dlclose() of that module
 * would leave the kernel with a dangling one, for which it kills the process. */
PW_INLINE void pw_detail_rseq_forget(intptr_t rseq)
{
    __asm__ volatile("movq $0, %%fs:%c0(%1)" : : "i"(PW_DETAIL_RSEQ_CS), "r"(rseq) : "memory");
}

/* Takes the current CPU's instance of `lock` if it is free: reads the CPU number, tests owner and stores `tid`
 * in one restartable sequence, so that no other thread of that CPU and no migration comes between.
 * Returns the CPU, or -1 if that instance is held. Acquire: the load of owner reads a releasing store of 0, and
 * x86 does not reorder later accesses before a load. A sequence that was interrupted before its last
 * instruction starts again. */
PW_INLINE int pw_detail_rseq_acquire_local(void *lock, uint32_t tid)
{
    intptr_t rseq = pw_detail_globals.rseq_offset;
    uintptr_t cpu, offset, table;
again:
    __asm__ volatile goto(PW_DETAIL_RSEQ_TABLE
                          "leaq 77b(%%rip), %[table]\n\t"
                          "movq %[table], %%fs:%c[cs](%[rseq])\n\t"
                          "1:\n\t"
                          "movl %%fs:%c[cpu_id](%[rseq]), %k[cpu]\n\t"
                          "movq %[cpu], %[offset]\n\t"
                          "shlq %[shift], %[offset]\n\t"
                          "cmpl $0, (%[lock], %[offset])\n\t"
                          "jne %l[held]\n\t"
                          "movl %[tid], (%[lock], %[offset])\n\t"
                          "2:\n\t"
                          "movq $0, %%fs:%c[cs](%[rseq])\n\t" PW_DETAIL_RSEQ_ABORT
                          : [cpu] "=&r"(cpu), [offset] "=&r"(offset), [table] "=&r"(table)
                          : [rseq] "r"(rseq), [lock] "r"(lock), [tid] "r"(tid), [cs] "i"(PW_DETAIL_RSEQ_CS),
                            [cpu_id] "i"(PW_DETAIL_RSEQ_CPU_ID), [shift] "i"(PW_PERCPU_SHIFT)
                          : "memory", "cc"
                          : held, aborted);
    if ((int32_t)cpu < 0)
        __builtin_unreachable(); /* a registered thread's CPU number; spares the caller a test */
    return (int)cpu;
aborted:
    goto again;
held:
    pw_detail_rseq_forget(rseq);
    return -1;
}

/* As above for the instance of one given CPU. Returns 0, or -1 if the caller is not on that CPU or the instance
 * is held. `owner` is the address of that instance. */
PW_INLINE int pw_detail_rseq_acquire_on(uint32_t *owner, int32_t cpu, uint32_t tid)
{
    intptr_t rseq = pw_detail_globals.rseq_offset;
    uintptr_t table;
again:
    __asm__ volatile goto(PW_DETAIL_RSEQ_TABLE
                          "leaq 77b(%%rip), %[table]\n\t"
                          "movq %[table], %%fs:%c[cs](%[rseq])\n\t"
                          "1:\n\t"
                          "cmpl %[cpu], %%fs:%c[cpu_id](%[rseq])\n\t"
                          "jne %l[refused]\n\t"
                          "cmpl $0, (%[owner])\n\t"
                          "jne %l[refused]\n\t"
                          "movl %[tid], (%[owner])\n\t"
                          "2:\n\t"
                          "movq $0, %%fs:%c[cs](%[rseq])\n\t" PW_DETAIL_RSEQ_ABORT
                          : [table] "=&r"(table)
                          : [rseq] "r"(rseq), [owner] "r"(owner), [cpu] "r"(cpu), [tid] "r"(tid),
                            [cs] "i"(PW_DETAIL_RSEQ_CS), [cpu_id] "i"(PW_DETAIL_RSEQ_CPU_ID)
                          : "memory", "cc"
                          : refused, aborted);
    return 0;
aborted:
    goto again;
refused:
    pw_detail_rseq_forget(rseq);
    return -1;
}

#else
#define PW_DETAIL_HAVE_RSEQ 0

/* No sequence for this architecture: the library chooses PW_DETAIL_MODE_SLOW, so these are never reached. */
PW_INLINE int32_t pw_detail_rseq_cpu(void)
{
    return -1;
}
PW_INLINE int pw_detail_rseq_acquire_local(void *lock, uint32_t tid)
{
    (void)lock;
    (void)tid;
    return -1;
}
PW_INLINE int pw_detail_rseq_acquire_on(uint32_t *owner, int32_t cpu, uint32_t tid)
{
    (void)owner;
    (void)cpu;
    (void)tid;
    return -1;
}
#endif

PW_END_DECLS

#endif
