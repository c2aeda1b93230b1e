// SPDX-License-Identifier: MIT
// The delayed items of one CPU that are armed, and the thread that keeps their time: the CPU's worker, or, under the lock strategy,
// its lane's deputy.
//
// What is shared: the heap, and the `armed` bit of every item in it, under the guard; `earliest`, written under the guard, read by the
// thread that keeps the time. Under the lock strategy the guard is the lane's mutex, which orders all else of an item as well.
#pragma once

#include "clock.h"
#include "futex_mutex.h"
#include "timer_heap.h"

#include <atomic>
#include <mutex>

namespace pw::detail {

class timer_queue {
  public:
    static constexpr uint64_t never = ~uint64_t{0};

    futex_mutex *guard = &own_guard_;
    timer_heap heap; // under the guard

    // The keeper, without the guard: when to look. Relaxed: whoever arms an earlier item wakes it behind that; see idle.h.
    uint64_t earliest() const { return earliest_.load(std::memory_order_relaxed); }

    // Under the guard, behind every change. True if the keeper must now wake earlier than it was told before.
    bool update()
    {
        const pw_delayed *first = heap.first();
        uint64_t now = first ? first->due : never, before = earliest();
        earliest_.store(now, std::memory_order_relaxed); // relaxed: ordered by idle_word's barriers
        return now < before;
    }

  private:
    futex_mutex own_guard_;
    std::atomic<uint64_t> earliest_{never};
};

} // namespace pw::detail
