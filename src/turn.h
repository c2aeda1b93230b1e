// SPDX-License-Identifier: MIT
// A worker's turn: odd from before it takes something out of its queues until a look at all of them has found
// nothing. By that a flush sees, without touching the queues' line, that what was queued has finished.
// doc/MEMORY-ORDER.md, "Turns, and what comes first".
//
// Who writes it: the worker. Any thread that flushes looks.
//
//   worker                                      flusher
//   begin():  turn + 1                          enqueue
//             full barrier            [U1]      look():           full barrier                       [U5]
//   look at the queues, take, run; again                          look at the turn
//   end():    turn + 1                [U2]      is_over():        look at the queues; at the turn    [U3, U4]
//                                               is_over_since():  look at the turn, again and again  [U6]
//
// Model: tests/model_turn.cc.
#pragma once

#include "atomics.h"

#include <cstdint>

namespace pw::detail {

template <typename P>
class turn_word {
  public:
    // Worker: it is about to look at its queues.
    void begin()
    {
        word_.fetch_add(1, std::memory_order_relaxed); // relaxed: ordered by the fence
        // Full barrier. On x86 the addition is one; elsewhere even a sequentially consistent one may be
        // overtaken by a later load. Pairs with U3: whoever sees a queue emptied by us sees this turn. Pairs
        // with U5, without it: 1. we look and find nothing; 2. a flusher enqueues and sees no turn yet; 3.
        // our addition lands, and we end: the flusher takes this for a turn that came behind.
        P::enqueued(); // [U1]
    }

    // Worker: it has looked again behind the last of them, and found nothing.
    void end()
    {
        // Relaxed: our own. Release: pairs with U4 and U6; publishes what the functions did.
        word_.store(word_.load(std::memory_order_relaxed) + 1, std::memory_order_release); // [U2]
    }

    // Any thread: whether everything that was queued before this call has finished. Its writes are visible
    // then. Cautious: false if something else was queued meanwhile. `nothing_arrived()` looks at the queues,
    // relaxed.
    template <typename Look>
    bool is_over(Look nothing_arrived) const
    {
        if (!nothing_arrived())
            return false;
        // Acquire: pairs with U1, by way of the take's exchange. Without it: 1. we see no turn; 2. the worker
        // begins one and takes everything; 3. we see the queues empty.
        P::fence(std::memory_order_acquire);                   // [U3]
        return word_.load(std::memory_order_acquire) % 2 == 0; // [U4] pairs with U2
    }

    // Any thread: a first look, behind what it queued, for is_over_since().
    uint32_t look() const
    {
        P::enqueued();                                // [U5] pairs with U1
        return word_.load(std::memory_order_relaxed); // relaxed: the later looks acquire
    }

    // Any thread: the same for what was queued before that first look. Looks at the queues rarely. A turn
    // that begins behind the first look does not end before what was queued earlier has run: that was visible
    // by then, and so to the look that ends the turn. One that went on already may have had that look before.
    template <typename Look>
    bool is_over_since(uint32_t first, Look nothing_arrived) const
    {
        uint32_t now = word_.load(std::memory_order_acquire); // [U6] pairs with U2
        uint32_t ends = now - first;
        return now % 2 == 0 && (ends >= 2 || (ends == 1 && is_over(nothing_arrived)));
    }

  private:
    typename P::template atomic<uint32_t> word_{0};
};

} // namespace pw::detail
