// SPDX-License-Identifier: MIT
// A mutex that is one word, whose uncontended path is inline: half of what a call under the lock strategy costs are two of these. (U.
// Drepper, "Futexes Are Tricky", 2011, its second mutex.)
//
// The word: free, held, or held with somebody who may be asleep. Who sleeps has written the last of these, and so does whoever gets the
// mutex after a sleep, since he cannot know whether he was the only one.
#pragma once

#include "futex.h"

#include <atomic>
#include <cstdint>

namespace pw::detail {

class futex_mutex {
  public:
    void lock()
    {
        uint32_t expected = free;
        if (!word_.compare_exchange_strong(expected, held, std::memory_order_acquire, std::memory_order_relaxed))
            lock_slow();
    }
    void unlock()
    {
        if (word_.exchange(free, std::memory_order_release) == awaited)
            futex_wake(&word_, 1);
    }

  private:
    static constexpr uint32_t free = 0, held = 1, awaited = 2;

    // Spins briefly, since what it guards is short; never for long, since its holder may be below us on our own CPU.
    [[gnu::noinline]] void lock_slow()
    {
        for (int i = 0; i < 40; ++i) {
            uint32_t expected = free;
            if (word_.load(std::memory_order_relaxed) == free &&
                word_.compare_exchange_weak(expected, held, std::memory_order_acquire, std::memory_order_relaxed))
                return;
            cpu_relax();
        }
        while (word_.exchange(awaited, std::memory_order_acquire) != free)
            futex_wait(&word_, awaited);
    }

    std::atomic<uint32_t> word_{free};
};

} // namespace pw::detail
