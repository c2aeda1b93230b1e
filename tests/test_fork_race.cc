// SPDX-License-Identifier: MIT
// Fork at any moment: while other threads queue, fork, start, stop and end, no child hangs.
#include "time_limit.h"

#include "in_fork.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace {

// Turns of a loop: so many, or fewer where the machine is slow, but some.
class turns {
  public:
    explicit turns(int most) : most_(most) {}
    bool next()
    {
        bool in_time = std::chrono::steady_clock::now() < deadline_;
        return ++taken_ <= (in_time ? most_ : few);
    }

  private:
    static constexpr int few = 5;
    int most_, taken_ = 0;
    std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::now() + std::chrono::seconds(15);
};

} // namespace

TEST_CASE("forks while other threads queue and flush")
{
    if (!possible_with_threads())
        return;
    std::atomic<bool> enough{false};
    std::atomic<long> wrong{0}, done{0};
    std::vector<std::unique_ptr<task>> items;
    for (int cpu : worker_cpus())
        for (int i = 0; i < 2; ++i)
            items.push_back(std::make_unique<task>(cpu, [&] { ++done; }));
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&, t] {
            for (size_t n = static_cast<size_t>(t); !enough; ++n) {
                // The first of each CPU by the strategy, the other one by the worker.
                task &item = *items[n % items.size()];
                wrong += (n % 2 ? item.queue_to_worker() : item.queue()) < 0;
                if (n % 3 == 0)
                    wrong += item.flush() != 0;
                // The children need some of the processors too.
                if (n % 16 == 0)
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
        });
    int bad_children = 0;
    REQUIRE(eventually([&] { return done > 100; }));
    for (turns left(100 / scale); left.next();)
        bad_children += in_fork_at_once(use_a_little) != 0;
    enough = true;
    for (std::thread &each : threads)
        each.join();
    CHECK(bad_children == 0);
    CHECK(wrong == 0);
    CHECK(done > 0);
}

TEST_CASE("forks from several threads at once")
{
    if (!possible_while_threads_start())
        return;
    first_cpu();
    std::atomic<int> bad_children{0};
    on_threads(3, [&](int) {
        for (turns left(25); left.next();) {
            task item(given_cpus.back());
            bad_children += item.queue() != 1;
            bad_children += in_fork_at_once(use_a_little) != 0;
            bad_children += item.flush() != 0;
        }
    });
    CHECK(bad_children == 0);
}

TEST_CASE("forks while another thread starts and stops")
{
    if (!possible_while_threads_start())
        return;
    first_cpu();
    std::atomic<bool> enough{false};
    std::atomic<long> cycles{0};
    std::thread cycler([&] {
        while (!enough) {
            pw_runtime_stop();
            pw_runtime_start(nullptr);
            if (++cycles % 8 == 0)
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
    int bad_children = 0;
    for (turns left(100); left.next() || cycles < 3;)
        bad_children += in_fork_at_once(use_a_little) != 0;
    enough = true;
    cycler.join();
    CHECK(bad_children == 0);
    CHECK(cycles >= 3);
    int runs = 0;
    task item(first_cpu(), [&] { ++runs; });
    CHECK(item.queue() == 1);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
}

TEST_CASE("forks while threads come and go")
{
    if (!possible_while_threads_start())
        return;
    first_cpu();
    std::atomic<bool> enough{false};
    std::thread spawner([&] {
        while (!enough)
            std::thread([] {
                task item(given_cpus.front());
                item.queue();
            }).join();
    });
    int bad_children = 0;
    for (turns left(60); left.next();)
        bad_children += in_fork_at_once(use_a_little) != 0;
    enough = true;
    spawner.join();
    CHECK(bad_children == 0);
}
