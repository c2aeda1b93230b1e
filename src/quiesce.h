// SPDX-License-Identifier: MIT
// Grace periods for stopping: when the gate has been closed and every caller was seen outside, nobody is still queueing.
// The scheme is RCU's, with membarrier(2) taking the callers' full barrier upon itself as in liburcu's "memb" flavour
// (M. Desnoyers et al., "User-level implementations of Read-Copy Update", 2012). Not liburcu's bulletproof flavour itself,
// because after a fork that one is only safe if its before-fork hooks run exactly once, and programs that use liburcu
// already call them: a second call from our own fork handler would deadlock.
// doc/MEMORY-ORDER.md, "Stopping".
//
// Who writes what: depth and passage number, its own thread only; the gate, the thread that starts or stops, under the runtime's mutex.
//
//   caller                                     stopper
//   enter():  depth = 1                        close():  gate = closed
//             light barrier           [Q1]               heavy barrier               [Q2]
//   read the gate; queue if it is open         until every caller is outside():  look  [Q4]
//   leave():  depth = 0               [Q3]
//
// Model: tests/model_quiesce.cc.
#pragma once

#include "atomics.h"

#include <cstdint>

namespace pw::detail {

// P adds light_fence(), cheap, on the callers' side and heavy_fence() on the other: together they act as if both
// were full barriers.
template <typename P>
class caller_flag {
  public:
    void enter()
    {
        // A depth, because a signal handler may call in while its thread is inside. Relaxed load: single writer. Release: pairs with K6,
        // which may find us in our next passage: this store hides what leave() has published, and must publish it as well.
        word_.store(word_.load(std::memory_order_relaxed) + 1, std::memory_order_release); // [K17]
        // Pairs with Q2. Without it: 1. we read the gate, open; 2. the stopper closes it and sees us outside; 3. our store
        // lands, and we queue to a worker that has ended.
        P::light_fence(); // [Q1]
    }

    void leave()
    {
        uint64_t word = word_.load(std::memory_order_relaxed); // relaxed: single writer
        // The outermost one ends the passage: the next has another number.
        word += (word & depth_mask) == 1 ? next_passage - 1 : ~uint64_t{0};
        // Release: pairs with the acquire in outside(): what we queued comes before what the stopper does next.
        word_.store(word, std::memory_order_release); // [Q3]
    }

    // The number of the caller's passage, for in_passage(). By the caller itself, inside.
    uint64_t passage_number() const { return word_.load(std::memory_order_relaxed) >> depth_bits; }

    bool outside() const { return (word_.load(std::memory_order_acquire) & depth_mask) == 0; } // [Q4] pairs with Q3

    // Whether the caller is still in the passage that had this number, of which the lowest `bits` are given.
    bool in_passage(uint64_t number, int bits) const
    {
        // Acquire: pairs with Q3 and K17: a claimant that has left has noted where the item is. (An enqueue that follows would begin with a
        // full barrier anyhow.)
        uint64_t word = word_.load(std::memory_order_acquire); // [K6]
        return (word & depth_mask) != 0 && ((word >> depth_bits ^ number) << (64 - bits)) == 0;
    }

    // For wait_for_passages(): a passage that is under way, and whether it still is. Acquire: pairs with Q3 and K17.
    uint64_t now() const { return word_.load(std::memory_order_acquire); }
    bool still(uint64_t then) const { return (then & depth_mask) != 0 && now() >> depth_bits == then >> depth_bits; }

    // A fork's child, for threads that it does not have. What they claimed was another passage's.
    void reset()
    {
        word_.store((word_.load(std::memory_order_relaxed) & ~depth_mask) + next_passage, std::memory_order_relaxed);
    }

  private:
    static constexpr int depth_bits = 8;
    static constexpr uint64_t depth_mask = 0xff, next_passage = 0x100;
    typename P::template atomic<uint64_t> word_{next_passage}; // its passage's number, from 1 on, and the depth
};

// The gate's three accesses. What was set up before it opens is seen by whoever sees it open, or not yet closed.
template <typename Gate, typename Value>
void open_gate(Gate &gate, Value open)
{
    gate.store(open, std::memory_order_release); // [Q7] pairs with Q6
}

template <typename P, typename Gate, typename Value>
void close_gate(Gate &gate, Value closed)
{
    // Release: a caller may see this store and never the one that opened the gate; while it is `draining` it goes on to flush.
    gate.store(closed, std::memory_order_release); // [Q5] pairs with Q6
    P::heavy_fence();                              // [Q2] pairs with Q1
}

template <typename Gate>
auto look_at_gate(const Gate &gate)
{
    return gate.load(std::memory_order_acquire); // [Q6] pairs with Q5 and Q7
}

} // namespace pw::detail
