// SPDX-License-Identifier: MIT
// Grace periods, src/quiesce.h: whoever closed the gate and saw every caller outside sees all that they
// queued, and may take down what they used; whoever finds the gate open or draining sees what was set up
// before it opened.
#include "model.h"

#include "quiesce.h"

namespace {

using namespace pw::detail;

enum gate_state : uint32_t { closed, open, draining };

struct start_and_stop : rl::test_suite<start_and_stop, 4> {
    static constexpr int callers = 2, lives = 2;
    model::atomic<uint32_t> gate{closed};
    caller_flag<model::atomics> flags[callers];
    rl::var<int> workers;         // set up by start, used by callers, taken down by stop
    rl::var<int> queued[callers]; // by each caller, collected by stop
    int accepted[callers] = {};
    model::atomic<int> turn; // the runtime's mutex: start and stop come from different threads
    bool over = false;

    void before()
    {
        workers(RL_INFO) = 0;
        for (auto &each : queued)
            each(RL_INFO) = 0;
    }

    void close_and_wait(gate_state state)
    {
        close_gate<model::atomics>(gate, static_cast<uint32_t>(state));
        for (auto &each : flags)
            while (!each.outside())
                model::pause();
    }

    void wait_for_turn(int which)
    {
        while (turn.load(std::memory_order_acquire) != which)
            model::pause();
    }

    void starter()
    {
        for (int life = 0; life < lives; ++life) {
            wait_for_turn(2 * life);
            workers(RL_INFO) = 1;
            open_gate(gate, static_cast<uint32_t>(open));
            model::pause();
            turn.store(2 * life + 1, std::memory_order_release);
        }
    }

    void stopper()
    {
        for (int life = 0; life < lives; ++life) {
            wait_for_turn(2 * life + 1);
            close_and_wait(draining);
            for (int i = 0; i < callers; ++i)
                RL_ASSERT(queued[i](RL_INFO) == accepted[i]);
            close_and_wait(closed);
            workers(RL_INFO) = 0;
            turn.store(2 * life + 2, std::memory_order_release);
        }
        over = true;
    }

    void caller(int self)
    {
        for (int i = 0; i < 3 || (!over && i < 6); ++i) {
            flags[self].enter();
            uint32_t state = look_at_gate(gate);
            if (state != closed)
                RL_ASSERT(workers(RL_INFO) == 1);
            if (state == open) {
                ++accepted[self];
                queued[self](RL_INFO) = accepted[self];
            }
            flags[self].leave();
            model::pause();
        }
    }

    void thread(unsigned index)
    {
        if (index < callers)
            caller(static_cast<int>(index));
        else if (index == callers)
            starter();
        else
            stopper();
    }
};

} // namespace

int main()
{
    return !model::holds<start_and_stop>("quiesce: nobody queues behind a closed gate", 60000);
}
