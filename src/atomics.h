// SPDX-License-Identifier: MIT
// The atomics that the protocol headers (idle.h, turn.h, item.h, quiesce.h, completion.h, visit.h) are written against. They take the
// policy as a template parameter, so that tests/model_*.cc run the same code under a model checker with atomics of its own.
#pragma once

#include <atomic>

namespace pw::detail {

struct native_atomics {
    template <typename T>
    using atomic = std::atomic<T>;

    static void fence(std::memory_order order) { std::atomic_thread_fence(order); }

    // A full barrier behind liburcu's enqueue, or behind an atomic addition. On x86 these are one for the processor already, so this is
    // one for the compiler. Elsewhere they may be a sequentially consistent exchange, behind which a later load may still be ahead of it.
    static void enqueued()
    {
#if defined(__x86_64__) || defined(__i386__)
        std::atomic_signal_fence(std::memory_order_seq_cst);
#else
        fence(std::memory_order_seq_cst);
#endif
    }
};

} // namespace pw::detail
