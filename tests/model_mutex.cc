// SPDX-License-Identifier: MIT
// The lanes' mutex, src/futex_mutex.h: one thread at a time is inside and sees what the last one did, and
// nobody sleeps in front of a mutex that is free.
#include "model_futex.h"

#include "futex_mutex.h"

#include <optional>

namespace {

// So many threads take it so often. Spinning once is enough to get it that way, and not too much to fall
// asleep.
template <int threads, int spins>
struct guarded : rl::test_suite<guarded<threads, spins>, threads> {
    static constexpr int times = 2;
    pw::detail::basic_futex_mutex<model::atomics, model::futex, spins> mutex;
    rl::var<int> value;

    void before()
    {
        model::futex::reset();
        value(RL_INFO) = 0;
    }

    void thread(unsigned)
    {
        for (int i = 0; i < times; ++i) {
            mutex.lock();
            int now = value(RL_INFO);
            model::pause();
            value(RL_INFO) = now + 1;
            mutex.unlock();
        }
    }

    void after() { RL_ASSERT(value(RL_INFO) == threads * times); }
};

} // namespace

int main()
{
    bool spinning = model::holds<guarded<2, 1>>("mutex: two threads exclude each other and end", 30000);
    bool asleep =
        model::holds<guarded<3, 0>>("mutex: three threads that sleep exclude each other and end", 30000);
    return !(spinning && asleep);
}
