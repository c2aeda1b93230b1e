// SPDX-License-Identifier: MIT
// A mutex that is one word, whose uncontended path is inline: half of what a call under the lock strategy
// costs are two of these. (U. Drepper, "Futexes Are Tricky", 2011, its second mutex.) doc/MEMORY-ORDER.md,
// "The lanes' mutex". Model: tests/model_mutex.cc.
//
// The word: free, held, or held with somebody who may be asleep. Who sleeps has written the last of these,
// and so does whoever gets the mutex after a sleep, since he cannot know whether he was the only one.
#pragma once

#include "atomics.h"
#include "futex.h"

#include <cstdint>

namespace pw::detail {

template <typename P, typename Futex, int spins>
class basic_futex_mutex {
  public:
    // Acquire, all of them: pair with M4; what the holder before did.
    void lock()
    {
        uint32_t expected = free;
        if (!word_.compare_exchange_strong(expected, held, std::memory_order_acquire, // [M1]
                                           std::memory_order_relaxed))                // relaxed: not ours yet
            lock_slow();
    }
    void unlock()
    {
        if (word_.exchange(free, std::memory_order_release) == awaited) // [M4] pairs with M1, M2, M3
            Futex::wake(&word_);
    }

  private:
    static constexpr uint32_t free = 0, held = 1, awaited = 2;

    // Spins briefly, since what it guards is short; never for long, since its holder may be below us on our
    // own CPU.
    [[gnu::noinline]] void lock_slow()
    {
        for (int i = 0; i < spins; ++i) {
            uint32_t expected = free;
            if (word_.load(std::memory_order_relaxed) == free &&                       // relaxed: a hint
                word_.compare_exchange_weak(expected, held, std::memory_order_acquire, // [M2] pairs with M4
                                            std::memory_order_relaxed)) // relaxed: not ours yet
                return;
            Futex::relax();
        }
        while (word_.exchange(awaited, std::memory_order_acquire) != free) // [M3] pairs with M4
            Futex::wait(&word_, awaited);
    }

    typename P::template atomic<uint32_t> word_{free};
};

using futex_mutex = basic_futex_mutex<native_atomics, native_futex, 40>;

} // namespace pw::detail
