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

/* What the sequences return when they did not take the lock. The callers go out of line for both: a sequence must not be started
 * again for ever where something interrupts it each time, such as a debugger that steps through it. */
#define PW_DETAIL_RSEQ_REFUSED (-1) /* held, or not the CPU that we are on */
#define PW_DETAIL_RSEQ_ABORTED (-2) /* interrupted before its last instruction: nothing was written */

/* Log2 of the distance between two CPUs' instances of one per-CPU object; see percpu.h. */
#define PW_PERCPU_SHIFT 20

/* A sequence's descriptor, and below for each architecture its abort handler. The handler sits in a section of its own, as
 * out-of-line code does, behind the signature that the kernel checks before it jumps there. "?" puts each section into the COMDAT
 * group of the function around it, so that the linker drops both or neither. */
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
 * Returns the CPU, PW_DETAIL_RSEQ_REFUSED or PW_DETAIL_RSEQ_ABORTED. Acquire: the load of owner reads a releasing store
 * of 0, and x86 does not reorder later accesses before a load. */
PW_INLINE int pw_detail_rseq_acquire_local(void *lock, uint32_t tid)
{
    intptr_t rseq = pw_detail_globals.rseq_offset;
    uintptr_t offset, table;
    __asm__ volatile goto(PW_DETAIL_RSEQ_TABLE
                          "leaq 77b(%%rip), %[table]\n\t"
                          "movq %[table], %%fs:%c[cs](%[rseq])\n\t"
                          "1:\n\t"
                          "movl %%fs:%c[cpu_id](%[rseq]), %k[offset]\n\t"
                          "shlq %[shift], %[offset]\n\t"
                          "cmpl $0, (%[lock], %[offset])\n\t"
                          "jne %l[held]\n\t"
                          "movl %[tid], (%[lock], %[offset])\n\t"
                          "2:\n\t"
                          "movq $0, %%fs:%c[cs](%[rseq])\n\t" PW_DETAIL_RSEQ_ABORT
                          : [offset] "=&r"(offset), [table] "=&r"(table)
                          : [rseq] "r"(rseq), [lock] "r"(lock), [tid] "r"(tid), [cs] "i"(PW_DETAIL_RSEQ_CS),
                            [cpu_id] "i"(PW_DETAIL_RSEQ_CPU_ID), [shift] "i"(PW_PERCPU_SHIFT)
                          : "memory", "cc"
                          : held, aborted);
    /* What the compiler cannot see: the offset is a CPU number, shifted. So it need not shift forth again what we shift back, when
     * the caller goes on to that CPU's instance. */
    if ((offset & (((uintptr_t)1 << PW_PERCPU_SHIFT) - 1)) != 0 || offset >> (PW_PERCPU_SHIFT + 31) != 0)
        __builtin_unreachable();
    return (int)(offset >> PW_PERCPU_SHIFT);
held:
    pw_detail_rseq_forget(rseq);
    return PW_DETAIL_RSEQ_REFUSED;
aborted:
    return PW_DETAIL_RSEQ_ABORTED; /* the kernel has forgotten the sequence */
}

/* As above for the instance of one given CPU, `owner` being its address. Returns 0, PW_DETAIL_RSEQ_REFUSED if the caller is not on that
 * CPU or the instance is held, or PW_DETAIL_RSEQ_ABORTED. */
PW_INLINE int pw_detail_rseq_acquire_on(uint32_t *owner, int32_t cpu, uint32_t tid)
{
    intptr_t rseq = pw_detail_globals.rseq_offset;
    uintptr_t table;
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
refused:
    pw_detail_rseq_forget(rseq);
    return PW_DETAIL_RSEQ_REFUSED;
aborted:
    return PW_DETAIL_RSEQ_ABORTED;
}

#elif defined(__aarch64__) && defined(__LP64__)
#define PW_DETAIL_HAVE_RSEQ 1

/* The signature that glibc registers on 64-bit Arm (RSEQ_SIG): brk #0x45e0 as the processor fetches it, whose instructions are
 * little-endian also where data is not. */
#define PW_DETAIL_RSEQ_SIG "0xd428bc00"

PW_INLINE char *pw_detail_rseq_area(void)
{
    return (char *)__builtin_thread_pointer() + pw_detail_globals.rseq_offset;
}

PW_INLINE int32_t pw_detail_rseq_cpu(void)
{
    return *(volatile int32_t *)(void *)(pw_detail_rseq_area() + PW_DETAIL_RSEQ_CPU_ID);
}

#define PW_DETAIL_RSEQ_ABORT                                                                                    \
    ".pushsection __rseq_failure, \"ax?\"\n\t"                                                                   \
    ".inst " PW_DETAIL_RSEQ_SIG "\n\t"                                                                         \
    "4:\n\t"                                                                                                    \
    "b %l[aborted]\n\t"                                                                                        \
    ".popsection\n\t"

PW_INLINE void pw_detail_rseq_forget(char *rseq)
{
    *(volatile uint64_t *)(void *)(rseq + PW_DETAIL_RSEQ_CS) = 0;
}

/* As on x86-64. Acquire: ldar. The store of `tid` may become visible to other CPUs later than the critical section's accesses;
 * that is no harm: threads of this CPU see it in order, and another CPU's locker makes this CPU run a full barrier (membarrier)
 * before it looks who the owner is. */
PW_INLINE int pw_detail_rseq_acquire_local(void *lock, uint32_t tid)
{
    char *rseq = pw_detail_rseq_area();
    uintptr_t cpu, owner, scratch;
    __asm__ volatile goto(PW_DETAIL_RSEQ_TABLE
                          "adrp %[scratch], 77b\n\t"
                          "add %[scratch], %[scratch], :lo12:77b\n\t"
                          "str %[scratch], [%[rseq], %[cs]]\n\t"
                          "1:\n\t"
                          "ldr %w[cpu], [%[rseq], %[cpu_id]]\n\t"
                          "add %[owner], %[lock], %[cpu], lsl %[shift]\n\t"
                          "ldar %w[scratch], [%[owner]]\n\t"
                          "cbnz %w[scratch], %l[held]\n\t"
                          "str %w[tid], [%[owner]]\n\t"
                          "2:\n\t"
                          "str xzr, [%[rseq], %[cs]]\n\t" PW_DETAIL_RSEQ_ABORT
                          : [cpu] "=&r"(cpu), [owner] "=&r"(owner), [scratch] "=&r"(scratch)
                          : [rseq] "r"(rseq), [lock] "r"(lock), [tid] "r"(tid), [cs] "i"(PW_DETAIL_RSEQ_CS),
                            [cpu_id] "i"(PW_DETAIL_RSEQ_CPU_ID), [shift] "i"(PW_PERCPU_SHIFT)
                          : "memory", "cc"
                          : held, aborted);
    if ((int32_t)cpu < 0)
        __builtin_unreachable();
    return (int)cpu;
held:
    pw_detail_rseq_forget(rseq);
    return PW_DETAIL_RSEQ_REFUSED;
aborted:
    return PW_DETAIL_RSEQ_ABORTED;
}

PW_INLINE int pw_detail_rseq_acquire_on(uint32_t *owner, int32_t cpu, uint32_t tid)
{
    char *rseq = pw_detail_rseq_area();
    uintptr_t scratch;
    __asm__ volatile goto(PW_DETAIL_RSEQ_TABLE
                          "adrp %[scratch], 77b\n\t"
                          "add %[scratch], %[scratch], :lo12:77b\n\t"
                          "str %[scratch], [%[rseq], %[cs]]\n\t"
                          "1:\n\t"
                          "ldr %w[scratch], [%[rseq], %[cpu_id]]\n\t"
                          "cmp %w[scratch], %w[cpu]\n\t"
                          "b.ne %l[refused]\n\t"
                          "ldar %w[scratch], [%[owner]]\n\t"
                          "cbnz %w[scratch], %l[refused]\n\t"
                          "str %w[tid], [%[owner]]\n\t"
                          "2:\n\t"
                          "str xzr, [%[rseq], %[cs]]\n\t" PW_DETAIL_RSEQ_ABORT
                          : [scratch] "=&r"(scratch)
                          : [rseq] "r"(rseq), [owner] "r"(owner), [cpu] "r"(cpu), [tid] "r"(tid),
                            [cs] "i"(PW_DETAIL_RSEQ_CS), [cpu_id] "i"(PW_DETAIL_RSEQ_CPU_ID)
                          : "memory", "cc"
                          : refused, aborted);
    return 0;
refused:
    pw_detail_rseq_forget(rseq);
    return PW_DETAIL_RSEQ_REFUSED;
aborted:
    return PW_DETAIL_RSEQ_ABORTED;
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
    return PW_DETAIL_RSEQ_REFUSED;
}
PW_INLINE int pw_detail_rseq_acquire_on(uint32_t *owner, int32_t cpu, uint32_t tid)
{
    (void)owner;
    (void)cpu;
    (void)tid;
    return PW_DETAIL_RSEQ_REFUSED;
}
#endif

PW_END_DECLS

#endif
