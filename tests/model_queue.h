// SPDX-License-Identifier: MIT
// What models of the queue strategy share. The queue's own protocol is liburcu's: here it is an array, ordered no
// better than its users need. Its nodes have a link, which belongs to who enqueues until the worker has dequeued.
#pragma once

#include "model.h"

namespace model {

// A caller's light barrier orders nothing by itself: only together with the stopper's heavy one.
struct caller_atomics : atomics {
    static void light_fence() {}
};

// For so many nodes in all.
template <typename Node, int places>
class queue {
  public:
    void enqueue(Node &each)
    {
        each.link(RL_INFO) = 1;
        uint32_t place = tail_.fetch_add(1, std::memory_order_relaxed);
        slots_[place].store(&each, std::memory_order_release);
    }

    // Null while the next one has not arrived.
    Node *next()
    {
        Node *each = slots_[head_].load(std::memory_order_acquire);
        if (!each)
            return nullptr;
        ++head_;
        each->link(RL_INFO).load();
        return each;
    }

  private:
    model::atomic<uint32_t> tail_;
    model::atomic<Node *> slots_[places];
    int head_ = 0;
};

} // namespace model
