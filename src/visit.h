// SPDX-License-Identifier: MIT
// Something that comes and goes, and is used at any moment by threads that nobody knows, signal handlers
// among them: whoever takes it away waits until no visitor is inside. For rare events: every visit is two
// atomic read-modify-writes of one word. doc/MEMORY-ORDER.md, "Visits". Model: tests/model_visit.cc.
#pragma once

#include "atomics.h"

#include <cstdint>

namespace pw::detail {

template <typename P, typename T>
class basic_visited {
  public:
    // What is there, valid until leave(); null if nothing is: then leave() must not be called. Any thread,
    // also in a signal handler.
    T *enter()
    {
        // Relaxed: only saves the rest where nothing is there, and keeps newcomers from delaying withdraw().
        if (!thing_.load(std::memory_order_relaxed))
            return nullptr;
        inside_.fetch_add(1, std::memory_order_seq_cst);   // [V1] store, then load: the other side is V4, V5
        T *thing = thing_.load(std::memory_order_seq_cst); // [V2] also pairs with V3
        if (!thing)
            leave();
        return thing;
    }
    void leave() { inside_.fetch_sub(1, std::memory_order_release); } // [V6] pairs with V5

    // One thread at a time does these two.
    void publish(T *thing)
    {
        thing_.store(thing, std::memory_order_release); // [V3] pairs with V2
    }
    template <typename Wait>
    void withdraw(Wait wait)
    {
        thing_.store(nullptr, std::memory_order_seq_cst); // [V4] store, then load: the other side is V1, V2
        while (inside_.load(std::memory_order_seq_cst) != 0) // [V5] also pairs with V6
            wait.pause();
    }

    // In a fork's child: the visitors have stayed behind.
    void forget()
    {
        thing_.store(nullptr, std::memory_order_relaxed); // relaxed, twice: one thread
        inside_.store(0, std::memory_order_relaxed);
    }

  private:
    typename P::template atomic<T *> thing_{nullptr};
    typename P::template atomic<uint32_t> inside_{0};
};

} // namespace pw::detail
