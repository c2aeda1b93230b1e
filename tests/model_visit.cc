// SPDX-License-Identifier: MIT
// Visits, src/visit.h: a visitor finds the thing whole or not at all, and whoever withdrew it is alone with
// it and sees what the visitors did.
#include "model.h"

#include "visit.h"

#include <optional>

namespace {

struct waiting {
    void pause() { model::pause(); }
};

struct thing {
    rl::var<int> whole;
    model::atomic<int> visits{0};
};

struct one_thing : rl::test_suite<one_thing, 3> {
    std::optional<thing> the_thing;
    std::optional<pw::detail::basic_visited<model::atomics, thing>> visited;

    void before()
    {
        the_thing.emplace();
        visited.emplace();
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            the_thing->whole(RL_INFO) = 1;
            visited->publish(&*the_thing);
            model::pause();
            visited->withdraw(waiting());
            the_thing->whole(RL_INFO) = 2; // a race with any visitor that is still inside
            return;
        }
        for (int i = 0; i < 2; ++i)
            if (struct thing *now = visited->enter()) {
                RL_ASSERT(now->whole(RL_INFO) == 1);
                now->visits.fetch_add(1, std::memory_order_relaxed);
                visited->leave();
            }
    }
};

} // namespace

int main()
{
    return !model::holds<one_thing>("visit: no visitor is inside once the thing is withdrawn", 100000);
}
