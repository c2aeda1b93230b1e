// SPDX-License-Identifier: MIT
// A worker's idle word: how it goes to sleep without missing a producer, and how a producer that finds it awake makes no
// system call. Store, full barrier, load on both sides (Dekker); doc/MEMORY-ORDER.md, "Idle and wake".
//
// Who writes it: the worker (awake -> idle -> awake), any producer (idle -> awake).
//
//   worker                                producer
//   declare():  idle = 1                  enqueue:  tail = item
//               full barrier       [W1]             full barrier                   [W2]
//   look at the queue again               must_wake():  idle?
//   sleep while idle == 1                              idle = 0, wake the worker
//
// Model: tests/model_idle.cc.
#pragma once

#include "atomics.h"

#include <cstdint>

namespace pw::detail {

template <typename P>
class idle_word {
  public:
    static constexpr uint32_t awake = 0, idle = 1;

    // Worker: about to sleep. It must look at its queue once more behind this.
    void declare()
    {
        word_.store(idle, std::memory_order_relaxed); // relaxed: ordered by the fence
        // Full barrier: pairs with W2. Without it: 1. our load of the queue runs first and finds nothing; 2. a producer
        // enqueues and still sees us awake; 3. our store lands, we sleep on a queue that is not empty.
        P::fence(std::memory_order_seq_cst); // [W1]
    }

    // Worker: found something after all, or was woken without a producer having said so.
    void retract() { word_.store(awake, std::memory_order_relaxed); } // relaxed: a late producer's wake-up is harmless

    // Worker: still to sleep? Relaxed: the queue, which is looked at next, carries what the producer published.
    bool declared() const { return word_.load(std::memory_order_relaxed) == idle; }

    // Producer, behind its enqueue: is it for this caller to wake the worker? True for one caller a sleep.
    bool must_wake()
    {
        // Full barrier: pairs with W1; liburcu's exchange of the tail is one. Without it: 1. our load runs first and finds
        // the worker awake; 2. the worker declares, looks, finds nothing and sleeps; 3. our item lands behind its back.
        P::enqueued(); // [W2]
        // Relaxed: ordered by the barrier; and the exchange only decides which producer wakes.
        return word_.load(std::memory_order_relaxed) == idle &&
               word_.exchange(awake, std::memory_order_relaxed) == idle;
    }

    const void *address() const { return &word_; }

  private:
    typename P::template atomic<uint32_t> word_{awake};
};

} // namespace pw::detail
