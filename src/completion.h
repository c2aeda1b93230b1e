// SPDX-License-Identifier: MIT
// One event, one waiter: on the waiter's stack. Whoever completes it does not touch it afterwards; the
// wake-up that may follow only names its address. doc/MEMORY-ORDER.md, "Completion". Model:
// tests/model_completion.cc.
#pragma once

#include "atomics.h"
#include "futex.h"

namespace pw::detail {

template <typename P, typename Futex>
class basic_completion {
  public:
    // Any thread, once. Release: pairs with the acquires in wait(); publishes what was done.
    void complete()
    {
        if (word_.exchange(done, std::memory_order_release) == asleep) // [C1]
            Futex::wake(&word_);
    }

    // Spins for about `spins` pauses before it sleeps: 0 where the other side shares our CPU.
    void wait(int spins)
    {
        for (; spins > 0; --spins) {
            if (word_.load(std::memory_order_acquire) == done) // [C2] pairs with C1
                return;
            Futex::relax();
        }
        uint32_t expected = open;
        // Acquire on failure: then it is done. On success there is nothing to see, but compilers want it no
        // weaker.
        if (!word_.compare_exchange_strong(expected, asleep, std::memory_order_acquire,
                                           std::memory_order_acquire)) // [C3] pairs with C1
            return;
        while (word_.load(std::memory_order_acquire) == asleep) // [C4] pairs with C1
            Futex::wait(&word_, asleep);
    }

  private:
    static constexpr uint32_t open = 0, asleep = 1, done = 2;
    typename P::template atomic<uint32_t> word_{open};
};

using completion = basic_completion<native_atomics, native_futex>;

} // namespace pw::detail
