// SPDX-License-Identifier: MIT
// A worker's turn, src/turn.h: a flush that finds it over comes behind all that was queued before, by itself
// or by who told it, and sees what that did. The queues are their tails alone: the items that have arrived,
// as bits.
#include "model.h"

#include "turn.h"

namespace {

constexpr int turns = 3, looks = 4;
constexpr unsigned items = 3;

struct flushing : rl::test_suite<flushing, 3> {
    model::atomic<uint32_t> queue, high, told;
    pw::detail::turn_word<model::atomics> turn;
    rl::var<int> done[items];

    void before()
    {
        for (auto &each : done)
            each(RL_INFO) = 0;
    }

    // As liburcu's splice: a look first. Its exchange is a full barrier, of which nothing but this is needed.
    bool take(model::atomic<uint32_t> &from)
    {
        if (from.load(std::memory_order_relaxed) == 0)
            return false;
        uint32_t taken = from.exchange(0, std::memory_order_acquire);
        for (unsigned i = 0; i < items; ++i)
            if (taken & (1U << i))
                done[i](RL_INFO) = 1;
        return true;
    }

    void worker()
    {
        for (int i = 0; i < turns; ++i) {
            turn.begin();
            while (take(queue) || take(high))
                ;
            turn.end();
        }
    }

    void enqueue(model::atomic<uint32_t> &to, unsigned item)
    {
        to.fetch_add(1U << item, std::memory_order_release);
    }

    // As finishes_soon().
    bool finishes_soon()
    {
        auto nothing_arrived = [this] {
            return queue.load(std::memory_order_relaxed) == 0 && high.load(std::memory_order_relaxed) == 0;
        };
        uint32_t first = turn.look();
        if (turn.is_over(nothing_arrived))
            return true;
        for (int i = 0; i < looks; ++i) {
            if (turn.is_over_since(first, nothing_arrived))
                return true;
            model::pause();
        }
        return false;
    }

    void flusher()
    {
        enqueue(queue, 0);
        bool both = told.load(std::memory_order_acquire) == 1;
        if (!finishes_soon())
            return;
        RL_ASSERT(done[0](RL_INFO) == 1);
        RL_ASSERT(!both || done[1](RL_INFO) == 1);
    }

    // The last item keeps the queues from being empty, and is nothing to wait for.
    void producer()
    {
        enqueue(high, 1);
        told.store(1, std::memory_order_release);
        enqueue(queue, 2);
    }

    void thread(unsigned index)
    {
        if (index == 0)
            worker();
        else if (index == 1)
            flusher();
        else
            producer();
    }
};

} // namespace

int main()
{
    return !model::holds<flushing>("turn: a flush that finds it over sees what was queued before", 60000);
}
