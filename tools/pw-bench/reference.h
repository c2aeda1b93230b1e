// SPDX-License-Identifier: MIT
// What the library's locks are held against: the least that a lock of each kind can do, written by hand for
// one thread that knows everything beforehand. Neither waits: a lock that is held is an error here.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <sys/rseq.h>

namespace pw::bench {

inline char *this_rseq()
{
    return static_cast<char *>(__builtin_thread_pointer()) + __rseq_offset;
}

inline bool has_rseq()
{
    return __rseq_size > 0 &&
           *reinterpret_cast<volatile int *>(this_rseq() + offsetof(struct rseq, cpu_id)) >= 0;
}

inline int rseq_cpu(const char *rseq)
{
    return *reinterpret_cast<const volatile int *>(rseq + offsetof(struct rseq, cpu_id));
}

// An exchange, tested first, and a store: the owner's word of a per-CPU lock with nothing around it.
inline void exchange_lock(uint32_t *word, uint32_t tid)
{
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != 0 || __atomic_exchange_n(word, tid, __ATOMIC_ACQUIRE) != 0)
        abort();
}

inline void store_unlock(uint32_t *word)
{
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
}

#if defined(__x86_64__)
#define PW_BENCH_HAVE_SEQUENCE 1

// A restartable sequence that takes this CPU's instance of a word, `shift` being the distance of two
// instances: the shortest that the kernel's ABI allows. Returns the CPU. `clear`: takes the descriptor away
// behind it, as code must that may be unloaded.
template <bool clear, int shift>
[[gnu::always_inline]] inline int sequence_lock(void *base, uint32_t tid)
{
    uintptr_t offset, table;
    __asm__ volatile goto(".pushsection __rseq_cs, \"aw\"\n\t"
                          ".balign 32\n\t"
                          "9:\n\t"
                          ".long 0, 0\n\t"
                          ".quad 5f, 6f - 5f, 7f\n\t"
                          ".popsection\n\t"
                          "4:\n\t"
                          "leaq 9b(%%rip), %[table]\n\t"
                          "movq %[table], %%fs:%c[cs](%[area])\n\t"
                          "5:\n\t"
                          "movl %%fs:%c[id](%[area]), %k[offset]\n\t"
                          "shlq %[shift], %[offset]\n\t"
                          "cmpl $0, (%[base], %[offset])\n\t"
                          "jne %l[held]\n\t"
                          "movl %[tid], (%[base], %[offset])\n\t"
                          "6:\n\t"
                          ".pushsection __rseq_failure, \"ax\"\n\t"
                          ".byte 0x0f, 0xb9, 0x3d\n\t"
                          ".long 0x53053053\n\t"
                          "7:\n\t"
                          "jmp 4b\n\t"
                          ".popsection\n\t"
                          : [offset] "=&r"(offset), [table] "=&r"(table)
                          : [area] "r"(__rseq_offset), [base] "r"(base), [tid] "r"(tid), [shift] "i"(shift),
                            [cs] "i"(offsetof(struct rseq, rseq_cs)), [id] "i"(offsetof(struct rseq, cpu_id))
                          : "memory", "cc"
                          : held);
    if constexpr (clear)
        __asm__ volatile("movq $0, %%fs:%c0(%1)"
                         :
                         : "i"(offsetof(struct rseq, rseq_cs)), "r"(__rseq_offset)
                         : "memory");
    // As in the library: lets the compiler see that shifting forth again is nothing.
    if ((offset & ((uintptr_t{1} << shift) - 1)) != 0 || offset >> (shift + 31) != 0)
        __builtin_unreachable();
    return static_cast<int>(offset >> shift);
held:
    abort();
}
#else
#define PW_BENCH_HAVE_SEQUENCE 0
#endif

} // namespace pw::bench
