// SPDX-License-Identifier: MIT
// Completion, src/completion.h: the waiter returns, sees what was done before complete(), and may destroy the
// completion at once, whether it spun, slept or came too late to do either.
#include "model_futex.h"

#include "completion.h"

#include <optional>

namespace {

template <int spins>
struct one_waiter : rl::test_suite<one_waiter<spins>, 2> {
    std::optional<pw::detail::basic_completion<model::atomics, model::futex>> event;
    rl::var<int> result;

    void before()
    {
        model::futex::reset();
        event.emplace();
        result(RL_INFO) = 0;
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            result(RL_INFO) = 1;
            event->complete();
        } else {
            event->wait(spins);
            event.reset(); // Relacy stops at any later access to it
            RL_ASSERT(result(RL_INFO) == 1);
        }
    }
};

} // namespace

int main()
{
    bool asleep =
        model::holds<one_waiter<0>>("completion: a waiter that sleeps returns and sees the result", 30000);
    bool spinning =
        model::holds<one_waiter<2>>("completion: a waiter that spins returns and sees the result", 30000);
    return !(asleep && spinning);
}
