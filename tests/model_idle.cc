// SPDX-License-Identifier: MIT
// Idle and wake, src/idle.h: a worker never stays asleep in front of a queue that is not empty, and each
// sleep costs the producers at most one wake-up. The queue is its tail alone: a count of items.
#include "model.h"

#include "idle.h"

namespace {

using pw::detail::idle_word;

struct sleeping_worker : rl::test_suite<sleeping_worker, 3> {
    model::atomic<uint32_t> tail;
    idle_word<model::atomics> idle;
    uint32_t taken = 0;
    unsigned sleeps = 0, wakes = 0;

    bool take()
    {
        uint32_t now = tail.load(std::memory_order_relaxed);
        bool some = now != taken;
        taken = now;
        return some;
    }

    void worker()
    {
        for (;;) {
            while (take())
                ;
            idle.declare();
            ++sleeps;
            if (tail.load(std::memory_order_relaxed) != taken) {
                idle.retract();
                continue;
            }
            for (int i = 0; i < 4 && idle.declared(); ++i)
                model::pause();
            if (idle.declared())
                return; // asleep for good, unless a producer has changed the word: then it would wake
        }
    }

    void producer(int items)
    {
        for (int i = 0; i < items; ++i) {
            tail.fetch_add(1, std::memory_order_relaxed);
            wakes += idle.must_wake();
        }
    }

    void thread(unsigned index)
    {
        if (index == 0)
            worker();
        else
            producer(index == 1 ? 2 : 1);
    }

    void after()
    {
        bool sleeps_on = idle.declared();
        RL_ASSERT(!sleeps_on || tail.load(std::memory_order_relaxed) == taken);
        RL_ASSERT(wakes <= sleeps);
    }
};

} // namespace

int main()
{
    return !model::holds<sleeping_worker>("idle: a worker sleeps only in front of an empty queue", 60000);
}
