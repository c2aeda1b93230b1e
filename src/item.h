// SPDX-License-Identifier: MIT
// An item's state word, and the record of what a worker runs: queue, run and flush without touching an item after its
// function started. doc/MEMORY-ORDER.md, "Queue, run and flush".
//
// Who writes what:
//   state     pending and the claimant: set by the producer that claims the item; pending is cleared by its runner before
//             the function starts; route: the same at every claim
//   current   the worker only
//
//   may run at once     claim        start        busy
//   claim               yes: RMW     yes: RMW     yes
//   start (one worker)  yes: RMW     no           yes
//
// Claiming and queueing are two steps, so an item may be pending and not yet be in the queue. Whoever finds it pending and goes
// by that waits until its claimant has left its passage (callers.h), which it does right behind the enqueue. Without it:
// 1. T1 claims X and is preempted; 2. T3 queues X: it is pending; 3. T3 queues Y, or flushes X: Y, or the flush's barrier, comes
// before X. Only the claim's own passage is waited for, and a claimant waits for nobody: no circle.
//
// Under the lock strategy the lane's mutex orders all of this; the words are the same.
// Model: tests/model_flush.cc.
#pragma once

#include "atomics.h"

#include <cstdint>

namespace pw::detail {

namespace item_state {
inline constexpr uint64_t pending = 1;
inline constexpr uint64_t route_on = 2;     // goes through pw_queue_on()
inline constexpr uint64_t route_worker = 4; // goes through pw_queue_work_on()
inline constexpr uint64_t internal = 8;     // a flush's barrier or a worker's exit: not counted

// Who claimed it, in the bits above: the caller's index and the number of its passage.
inline constexpr int index_shift = 4, index_bits = 20, passage_shift = 24, passage_bits = 40;
constexpr uint64_t claimed_by(uint32_t index, uint64_t passage)
{
    return uint64_t{index} << index_shift | passage << passage_shift;
}
constexpr uint32_t claimant(uint64_t state)
{
    return static_cast<uint32_t>(state >> index_shift) & ((1u << index_bits) - 1);
}
constexpr uint64_t passage_of(uint64_t state)
{
    return state >> passage_shift;
}
} // namespace item_state

// Producer: makes the item pending, with route and claimant as given. Returns the state before: if that was not pending, the caller
// now owns the item's link and enqueues it. `Word` is std::atomic_ref<uint64_t> or a model's atomic.
template <typename Word>
uint64_t claim(Word &&state, uint64_t route, uint64_t claimed_by)
{
    uint64_t before = state.load(std::memory_order_relaxed); // relaxed: the compare-and-swap decides
    // Also where it is pending and nothing changes: only a write is sure to be seen by the execution to come.
    // Release: pairs with the acquire in start(), which reads this write or one behind it in the same chain of
    // read-modify-writes; so also a caller that found the item pending published what it wrote before. Acquire: pairs with
    // the release in start(): the worker has read the link before we overwrite it.
    while (!state.compare_exchange_weak(before,
                                        before & item_state::pending ? before
                                                                     : item_state::pending | route | claimed_by,
                                        std::memory_order_acq_rel, // [I1]
                                        std::memory_order_relaxed)) {
    }
    return before;
}

// What one worker runs now.
template <typename P, typename Item>
class run_slot {
  public:
    // Worker: before the function starts. Returns the state before.
    template <typename Word>
    uint64_t start(Item *item, Word &&state)
    {
        // Release: pairs with the acquire in busy(): whoever sees this item here, not the one before, sees all that the
        // one before wrote.
        current_.store(item, std::memory_order_release); // [I2]
        // Acquire: pairs with the release in claim(). Release: pairs with the acquires in busy() and claim(): who sees the
        // item not pending sees it in current_ or done, and may write its link. A read-modify-write, not a store: a caller
        // whose claim() found the item pending must be seen by this execution.
        // Relaxed: while the item is pending, other writers write what is there.
        uint64_t before = state.load(std::memory_order_relaxed);
        state.exchange(before & ~item_state::pending, std::memory_order_acq_rel); // [I3]
        return before;
    }

    // Worker: the last function of a batch has returned. Release: as in start().
    void finish() { current_.store(nullptr, std::memory_order_release); } // [I4]

    // Flush: is an execution queued before this call still to finish? `state` gets the item's state. The order of the two loads
    // matters. Without it: 1. current_ is read, not yet the item; 2. the worker sets it and clears pending; 3. pending is read
    // as clear.
    template <typename Word>
    bool busy(const Item *item, Word &&word, uint64_t &state) const
    {
        state = word.load(std::memory_order_acquire); // [I5] pairs with the release in start()
        if (state & item_state::pending)
            return true;
        return current_.load(std::memory_order_acquire) == item; // [I6] pairs with the releases in start(), finish()
    }

  private:
    typename P::template atomic<Item *> current_{nullptr};
};

} // namespace pw::detail
