// SPDX-License-Identifier: MIT
// An item's state word, and the record of what a worker runs: queue, run, cancel and flush without touching an item after its
// function started. doc/MEMORY-ORDER.md, "Queue, run and flush" and "Cancel", where the states are drawn.
//
// Who writes what:
//   state     by read-modify-writes only. Claimant: pending, linked, and who it is. Worker: clears linked when it comes past the
//             item's node, and pending before the function starts. Canceller: clears pending, sets cancelled.
//   current   the worker only
//
//   may run at once     claim        start        cancel       busy
//   claim               yes: RMW     yes: RMW     yes: RMW     yes
//   start (one worker)  yes: RMW     no           yes: RMW     yes
//   cancel              yes: RMW     yes: RMW     yes: RMW     yes
//
// Claiming and queueing are two steps, so an item may be pending and not yet be in the queue. Whoever finds it pending and goes
// by that waits until its claimant has left its passage (callers.h), which it does right behind the enqueue. Without it:
// 1. T1 claims X and is preempted; 2. T3 queues X: it is pending; 3. T3 queues Y, or flushes X: Y, or the flush's barrier, comes
// before X. Only the claim's own passage is waited for, and a claimant waits for nobody: no circle.
//
// Under the lock strategy the lane's mutex orders all of this; the words are the same.
// Models: tests/model_flush.cc, tests/model_cancel.cc.
#pragma once

#include "atomics.h"

#include <cstdint>

namespace pw::detail {

namespace item_state {
inline constexpr uint64_t pending = 1;
inline constexpr uint64_t route_on = 2;     // goes through pw_queue_on()
inline constexpr uint64_t route_worker = 4; // goes through pw_queue_work_on()
inline constexpr uint64_t internal = 8;     // a barrier or a worker's exit: not counted
inline constexpr uint64_t linked = 16;      // a queue holds the item's own node
inline constexpr uint64_t stood_in = 32;    // pending at the place of a stand-in, not at that of its own node
inline constexpr uint64_t cancelled = 64;   // since the last claim: a queue may hold nodes that stand for nothing
inline constexpr uint64_t armed = 128;      // pending in a timer heap, whose guard orders all changes of this
inline constexpr uint64_t normal = 256;     // goes to normal workqueues
inline constexpr uint64_t high = 512;       // goes to those of high priority

// What an item keeps for life once it was queued.
inline constexpr uint64_t kinds = route_on | route_worker | normal | high;

// Callers of pw_cancel_sync() refuse its queueing right now: refusal.h knows who.
inline constexpr uint64_t cancelling = 1024;

// Who claimed it, in the bits above: the caller's index and the number of its passage.
inline constexpr int index_shift = 11, index_bits = 20, passage_shift = 31, passage_bits = 33;
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

// Under the lock strategy nobody needs to know who claimed it: with stats=full these bits say when it was handed over, in
// nanoseconds; they come round after a hundred days.
inline constexpr uint64_t time_bits = ~uint64_t{0} >> index_shift;
constexpr uint64_t handed_over(uint64_t state, uint64_t at)
{
    return (state & ~(time_bits << index_shift)) | at << index_shift;
}
constexpr uint64_t handed_over_at(uint64_t state)
{
    return state >> index_shift;
}
constexpr uint64_t since_handed_over(uint64_t at, uint64_t now)
{
    uint64_t passed = (now - at) & time_bits;
    return passed <= time_bits / 2 ? passed : 0; // the clocks of two CPUs
}

// A claim is more than one step where any of these is set: see claim().
inline constexpr uint64_t unusual = linked | cancelled | cancelling;

constexpr bool is_queued(uint64_t state)
{
    return (state & (pending | armed)) == pending;
}

// At the item's own node: whether that is the place at which it is pending.
constexpr bool is_here(uint64_t state)
{
    return (state & (pending | armed | stood_in)) == pending;
}
} // namespace item_state

// Producer: makes the item pending, with kind and claimant as given, unless its state is unusual: then nothing is done. Returns the state
// before: if that was neither pending nor unusual, the caller now owns the item's link and enqueues it. `Word` is
// std::atomic_ref<uint64_t> or a model's atomic.
template <typename Word>
uint64_t claim(Word &&state, uint64_t kind, uint64_t claimed_by)
{
    uint64_t before = state.load(std::memory_order_relaxed); // relaxed: the compare-and-swap decides
    for (;;) {
        // Also where it is pending and nothing changes: only a write is sure to be seen by the execution to come.
        uint64_t after = before;
        if (!(before & item_state::pending)) {
            if (before & item_state::unusual) {
                // Acquire: pairs with the releases of the last claim, and of what came behind it. Without it: 1. T has entered its
                // passage and claimed; 2. we see the claim, and not yet the passage, and do not wait for its enqueue.
                uint64_t now = state.load(std::memory_order_acquire); // [K7]
                if (now == before)
                    return before;
                before = now;
                continue;
            }
            after = item_state::pending | item_state::linked | kind | claimed_by;
        }
        // Release: pairs with the acquire in start(), which reads this write or one behind it in the same chain of
        // read-modify-writes; so also a caller that found the item pending published what it wrote before. Acquire: pairs with
        // the release in start(): the worker has read the link before we overwrite it.
        if (state.compare_exchange_weak(before, after, std::memory_order_acq_rel, // [I1]
                                        std::memory_order_relaxed))
            return before;
    }
}

// Producer, for an item that was cancelled: as claim(), from exactly this state. With its own node still linked it becomes pending at
// the place of a stand-in, which the caller enqueues instead. False: the state has changed.
template <typename Word>
bool claim_again(Word &&state, uint64_t before, uint64_t kind, uint64_t claimed_by)
{
    // A timer also claims what is being cancelled: it was armed, and so accepted, before.
    uint64_t after = item_state::pending | item_state::linked | kind | claimed_by | (before & item_state::cancelling);
    if (before & item_state::linked)
        after |= item_state::stood_in;
    return state.compare_exchange_strong(before, after, std::memory_order_acq_rel, // [K1] as I1
                                         std::memory_order_relaxed);
}

// Canceller: the item will not run for the claim that made it pending. Returns the state before, without `pending` if there was nothing to
// cancel. Does nothing to an armed item, which is its timers' to cancel.
template <typename Word>
uint64_t cancel(Word &&state)
{
    uint64_t before = state.load(std::memory_order_relaxed); // relaxed: the compare-and-swap decides
    for (;;) {
        if (before & item_state::armed)
            return before;
        uint64_t after = before;
        if (before & item_state::pending)
            after = (before & ~(item_state::pending | item_state::stood_in)) | item_state::cancelled;
        // Release: whoever queues the item next comes behind us. Acquire: pairs with I1: what the claimant wrote before it is ours.
        if (state.compare_exchange_weak(before, after, std::memory_order_acq_rel, // [K2]
                                        std::memory_order_relaxed))
            return before;
    }
}

// Canceller that waits: nobody claims the item until accept_claims(). Both under the mutex of refusal.h, which counts who is at it.
template <typename Word>
void refuse_claims(Word &&state)
{
    state.fetch_or(item_state::cancelling, std::memory_order_acq_rel); // as K2
}

// `gone`: no queue holds the item any more. `last`: nobody else refuses.
template <typename Word>
void accept_claims(Word &&state, bool gone, bool last)
{
    uint64_t over = (gone ? item_state::cancelled : 0) | (last ? item_state::cancelling : 0);
    state.fetch_and(~over, std::memory_order_acq_rel); // as K2
}

// What one worker runs now.
template <typename P, typename Item>
class run_slot {
  public:
    // Worker, at an item's own node: before the function starts. Returns the state before: the function is to run if that is_here().
    template <typename Word>
    uint64_t start(Item *item, Word &&state)
    {
        // Release: pairs with the acquire in busy(): whoever sees this item here, not the one before, sees all that the
        // one before wrote.
        current_.store(item, std::memory_order_release); // [I2]
        // Relaxed: the compare-and-swap decides.
        uint64_t before = state.load(std::memory_order_relaxed);
        for (;;) {
            uint64_t after = before & ~item_state::linked;
            if (item_state::is_here(before))
                after &= ~item_state::pending;
            // Acquire: pairs with the release in claim(). Release: pairs with the acquires in busy() and claim(): who sees the
            // item not pending sees it in current_ or done, and may write its link. A read-modify-write, not a store: a
            // caller whose claim() found the item pending must be seen by this execution.
            if (state.compare_exchange_weak(before, after, std::memory_order_acq_rel, // [I3]
                                            std::memory_order_relaxed))
                return before;
        }
    }

    // Worker, at the node of a stand-in, for the item that it stands for. `left(state)` returns when the claimant has left its passage:
    // then the item's `place` is what it wrote. True if the function is to run: the item is pending, at this very place.
    template <typename Word, typename Place, typename Left>
    bool start_at(Item *item, Word &&state, const Place &place, uint64_t ours, Left left)
    {
        current_.store(item, std::memory_order_release); // [K3] as I2
        for (;;) {
            // Acquire: pairs with the release in claim_again().
            uint64_t before = state.load(std::memory_order_acquire); // [K10]
            if (!(before & item_state::pending) || !(before & item_state::stood_in))
                return false;
            // Without it: 1. the item was cancelled, T claims it anew, and has not noted its new place; 2. we find the old
            // one, ours, and run the item before what T queued earlier.
            left(before); // [K4]
            if (place.load(std::memory_order_relaxed) != ours) // relaxed: ordered by left()
                return false;
            // From the state that the place belongs to. As I3.
            if (state.compare_exchange_strong(before, before & ~(item_state::pending | item_state::stood_in),
                                              std::memory_order_acq_rel, std::memory_order_relaxed)) // [K5]
                return true;
        }
    }

    // Worker: the last function has returned. Release: as in start().
    void finish() { current_.store(nullptr, std::memory_order_release); } // [I4]

    // Flush: is an execution queued before this call still to finish? `state` gets the item's state. The order of the two loads
    // matters. Without it: 1. current_ is read, not yet the item; 2. the worker sets it and clears pending; 3. pending is read
    // as clear.
    template <typename Word>
    bool busy(const Item *item, Word &&word, uint64_t &state) const
    {
        state = word.load(std::memory_order_acquire); // [I5] pairs with the release in start()
        if (item_state::is_queued(state))
            return true;
        return current_.load(std::memory_order_acquire) == item; // [I6] pairs with the releases in start(), finish()
    }

    // The worker itself, inside a function: whether it runs that item.
    bool is(const Item *item) const { return current_.load(std::memory_order_relaxed) == item; } // relaxed: its own

  private:
    typename P::template atomic<Item *> current_{nullptr};
};

} // namespace pw::detail
