// SPDX-License-Identifier: MIT
// Guarantee 7 of DESIGN.md section 6, nothing accepted is lost, above all while the runtime stops; and what starting, stopping and
// threads that come and go leave behind: nothing.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "tasks.h"
#include "this_process.h"

#include <array>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>

namespace {

// What a process has of the kernel. Sanitizers map and unmap as they like.
struct belongings {
    size_t threads = ::threads().size();
    std::vector<std::string> descriptors = ::descriptors();
    long mappings = sanitized ? 0 : ::mappings();
    long address_space = sanitized ? 0 : ::address_space();

    // Nothing more than before but for what the allocator and the thread library may keep: few mappings, little space.
    bool no_more_than(const belongings &before) const
    {
        return threads == before.threads && descriptors == before.descriptors && mappings <= before.mappings + 4 &&
               address_space <= before.address_space + 2 * 1024;
    }
};

std::string text_of(const belongings &it)
{
    return std::to_string(it.threads) + " threads, " + std::to_string(it.descriptors.size()) + " descriptors, " +
           std::to_string(it.mappings) + " mappings, " + std::to_string(it.address_space) + " KiB";
}

bool start_and_stop()
{
    return pw_runtime_start(nullptr) == 0 && pw_runtime_stop() == 0;
}

// The stat segment's size; -1 if there is none.
off_t segment_size()
{
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        if (std::filesystem::read_symlink(entry.path(), gone).string().find("pwlocks-stat") == std::string::npos)
            continue;
        struct stat facts;
        return stat(entry.path().c_str(), &facts) == 0 ? facts.st_size : -1;
    }
    return -1;
}

} // namespace

TEST_CASE("child: a stop runs everything", "[.child]")
{
    const std::vector<int> cpus = worker_cpus();
    const int each = 500;
    std::vector<long> runs(cpus.size()), handed(cpus.size());
    std::vector<std::unique_ptr<busy_item>> busy;
    std::vector<std::unique_ptr<task>> items;
    int refused = 0;
    for (size_t i = 0; i < cpus.size(); ++i) {
        busy.push_back(std::make_unique<busy_item>(cpus[i]));
        // The worker has one to stay in as well; under queue the item above is that.
        if (under_lock())
            busy.push_back(std::make_unique<busy_item>(cpus[i], busy_item::by_worker));
        refused += busy[under_lock() ? 2 * i : i]->item().queue() != 1;
    }
    for (int n = 0; n < each; ++n)
        for (size_t i = 0; i < cpus.size(); ++i) {
            items.push_back(std::make_unique<task>(cpus[i], [&, i] { ++handed[i]; }));
            refused += items.back()->queue() != 1;
            items.push_back(std::make_unique<task>(cpus[i], [&, i] { ++runs[i]; }));
            refused += items.back()->queue_to_worker() != 1;
        }
    CHECK(refused == 0);
    CHECK(std::count(runs.begin(), runs.end(), 0) == static_cast<long>(cpus.size()));
    CHECK(std::count(handed.begin(), handed.end(), 0) == static_cast<long>(cpus.size()));
    int stopped = -1;
    std::thread stopper([&] { stopped = pw_runtime_stop(); });
    task probe(cpus.front());
    REQUIRE(eventually([&] { return probe.queue() == -ESHUTDOWN; }));
    for (auto &one : busy)
        one->release();
    stopper.join();
    CHECK(stopped == 0);
    // Plain numbers: what work wrote is visible when the stop has returned.
    for (size_t i = 0; i < cpus.size(); ++i) {
        CHECK(runs[i] == each);
        CHECK(handed[i] == each);
    }
    for (auto &one : busy)
        CHECK(one->runs() >= 1);
}

TEST_CASE("guarantee 7: a stop runs everything that was queued before")
{
    require_passes("child: a stop runs everything");
}

TEST_CASE("guarantee 7: an item that queues itself ends with the stop, and ran as often as it was accepted")
{
    for (auto queue : {&task::queue, &task::queue_to_worker}) {
        long runs = 0, accepted = 0;
        int last = 1;
        std::atomic<bool> running{false};
        first_cpu(); // a stop must have something to stop
        pw_runtime_start(nullptr);
        task item(first_cpu(), [&] {
            ++runs;
            running = true;
            last = (item.*queue)();
            accepted += last == 1;
        });
        std::thread caller([&] { (item.*queue)(); });
        REQUIRE(eventually([&] { return running.load(); }));
        REQUIRE(pw_runtime_stop() == 0);
        CHECK(last == -ESHUTDOWN);
        CHECK(runs == accepted + 1);
        caller.join();
        REQUIRE(pw_runtime_start(nullptr) == 0);
    }
}

TEST_CASE("guarantee 7: while many threads queue, a stop loses nothing that was accepted and runs nothing afterwards")
{
    constexpr size_t producers = 4;
    const std::vector<int> cpus = worker_cpus();
    const int rounds = sanitized ? 10 : 60;
    long lost = 0, late = 0, unseen = 0, stop_errors = 0, total = 0;
    std::atomic<long> wrong{0};
    for (int round = 0; round < rounds; ++round) {
        pw_runtime_start(nullptr);
        // Shared by all producers. Plain numbers: an item does not run concurrently with itself, and the stop orders us.
        struct shared_item {
            std::unique_ptr<task> item;
            long runs = 0;
            std::array<long, producers> seen = {};
        };
        std::array<std::atomic<long>, producers> input = {};
        std::vector<shared_item> shared(2 * cpus.size());
        for (size_t i = 0; i < shared.size(); ++i)
            shared[i].item = std::make_unique<task>(cpus[i % cpus.size()], [&, i] {
                ++shared[i].runs;
                for (size_t p = 0; p < producers; ++p)
                    shared[i].seen[p] = input[p].load(std::memory_order_relaxed);
            });
        std::vector<std::atomic<long>> accepted(shared.size());
        // The last input that a producer gave before a call that returned 1 or 0, for each item.
        std::vector<std::array<long, producers>> promised(shared.size());
        std::atomic<size_t> ready{0};
        std::vector<std::thread> threads;
        for (size_t p = 0; p < producers; ++p)
            threads.emplace_back([&, p] {
                for (long n = 1;; ++n) {
                    size_t which = (static_cast<size_t>(n) + p) % shared.size();
                    // Half of the items go through the workers.
                    task &item = *shared[which].item;
                    input[p].store(n, std::memory_order_relaxed);
                    int result = which < cpus.size() ? item.queue() : item.queue_to_worker();
                    if (n == 10)
                        ++ready;
                    if (result == -ESHUTDOWN)
                        break;
                    wrong += result < 0;
                    accepted[which] += result == 1;
                    promised[which][p] = n;
                }
            });
        REQUIRE(eventually([&] { return ready == producers; }));
        stop_errors += pw_runtime_stop() != 0;
        std::vector<long> runs_at_stop;
        for (shared_item &each : shared)
            runs_at_stop.push_back(each.runs);
        for (std::thread &each : threads)
            each.join();
        for (size_t i = 0; i < shared.size(); ++i) {
            late += shared[i].runs != runs_at_stop[i];
            lost += accepted[i] - shared[i].runs;
            total += shared[i].runs;
            for (size_t p = 0; p < producers; ++p)
                unseen += shared[i].seen[p] < promised[i][p];
        }
    }
    CHECK(wrong == 0);
    CHECK(stop_errors == 0);
    CHECK(lost == 0);
    CHECK(late == 0);
    CHECK(unseen == 0);
    CHECK(total > rounds);
    CHECK(pw_runtime_start(nullptr) == 0);
}

TEST_CASE("guarantee 7: what a thread queued runs also when the thread has ended")
{
    const int cpu = last_cpu();
    std::atomic<int> runs{0}, accepted{0};
    busy_item busy(cpu);
    struct four {
        task a, b, c, d;
        four(int on, std::atomic<int> &count)
            : a(on, [&] { ++count; }), b(on, [&] { ++count; }), c(on, [&] { ++count; }), d(on, [&] { ++count; })
        {
        }
    } items(cpu, runs);
    std::thread([&] {
        accepted += busy.item().queue();
        accepted += items.a.queue();
        accepted += items.b.queue();
        accepted += items.c.queue();
        accepted += items.d.queue_to_worker();
    }).join();
    CHECK(accepted == 5);
    busy.let_go();
    CHECK(items.a.flush() == 0);
    CHECK(items.b.flush() == 0);
    CHECK(items.c.flush() == 0);
    CHECK(items.d.flush() == 0);
    CHECK(runs == 4);
    CHECK(busy.item().flush() == 0);
    CHECK(busy.runs() == 2);
}

TEST_CASE("a stop and many flushes end together")
{
    for (int round = 0; round < 40 / (sanitized ? 8 : 1); ++round) {
        pw_runtime_start(nullptr);
        std::atomic<long> wrong{0};
        std::atomic<int> ready{0};
        std::vector<std::unique_ptr<task>> items;
        for (int cpu : worker_cpus())
            for (int i = 0; i < 2; ++i)
                items.push_back(std::make_unique<task>(cpu, [] { std::this_thread::yield(); }));
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&, t] {
                for (size_t n = static_cast<size_t>(t);; ++n) {
                    task &item = *items[n % items.size()];
                    int result = n % 4 < 2 ? item.queue() : -EINVAL;
                    wrong += item.flush() != 0;
                    if (n == static_cast<size_t>(t) + 8)
                        ++ready;
                    if (result == -ESHUTDOWN)
                        return;
                    wrong += result < 0 && result != -EINVAL;
                }
            });
        REQUIRE(eventually([&] { return ready == 4; }));
        REQUIRE(pw_runtime_stop() == 0);
        for (std::thread &each : threads)
            each.join();
        CHECK(wrong == 0);
    }
    CHECK(pw_runtime_start(nullptr) == 0);
}

TEST_CASE("child: starts and stops from many threads", "[.child]")
{
    std::atomic<long> started{0}, stopped{0}, other{0};
    on_threads(4, [&](int thread) {
        for (int n = 0; n < 100 / (sanitized ? 10 : 1); ++n) {
            int result = (n + thread) % 2 ? pw_runtime_start(nullptr) : pw_runtime_stop();
            started += (n + thread) % 2 && result == 0;
            stopped += !((n + thread) % 2) && result == 0;
            other += result != 0 && result != ((n + thread) % 2 ? -EALREADY : -ESRCH);
        }
    });
    CHECK(other == 0);
    CHECK(started > 0);
    // The last one to have an effect decides.
    const long runs = started - stopped;
    CHECK((runs == 0 || runs == 1));
    CHECK(eventually([&] { return library_threads().empty() == (runs == 0); }));
    CHECK(pw_runtime_stop() == (started == stopped ? -ESRCH : 0));
    CHECK(no_library_thread_stays());
}

TEST_CASE("starts and stops from many threads take turns")
{
    require_passes("child: starts and stops from many threads");
}

TEST_CASE("child: many starts and stops", "[.child]")
{
    // The first ones may set up what stays for good.
    for (int i = 0; i < 20; ++i)
        REQUIRE(start_and_stop());
    REQUIRE(no_library_thread_stays());
    belongings before;
    int failed = 0;
    for (int i = 0; i < 1000 / scale; ++i)
        failed += !start_and_stop();
    CHECK(failed == 0);
    CHECK(no_library_thread_stays());
    belongings after;
    INFO(text_of(before) << ", behind that " << text_of(after));
    CHECK(after.no_more_than(before));
    // The last one works like the first one.
    REQUIRE(pw_runtime_start(nullptr) == 0);
    int runs = 0;
    task item(given_cpus.back(), [&] { ++runs; });
    CHECK(item.queue() == 1);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("a thousand starts and stops leave no thread, descriptor or mapping behind")
{
    require_passes("child: many starts and stops");
}

TEST_CASE("child: many short threads", "[.child]")
{
    std::vector<std::unique_ptr<task>> items;
    std::atomic<long> runs{0};
    long accepted = 0;
    for (int cpu : worker_cpus())
        items.push_back(std::make_unique<task>(cpu, [&] { ++runs; }));
    auto come_and_go = [&](long count) {
        for (long n = 0; n < count; ++n)
            std::thread([&] {
                // One after the other: the numbers need no lock.
                task &item = *items[static_cast<size_t>(n) % items.size()];
                accepted += item.queue() == 1;
                item.flush();
            }).join();
    };
    // Those that have been joined may stay in /proc for a moment. A sanitizer has a thread of its own.
    auto others = [] { return threads().size() - library_threads().size(); };
    const size_t others_before = others();
    auto all_gone = [&] { return eventually([&] { return others() == others_before; }); };
    come_and_go(200);
    REQUIRE(all_gone());
    const belongings before;
    const off_t segment_before = segment_size();
    const long many = 10'000 / scale;
    come_and_go(many);
    CHECK(all_gone());
    const belongings after;
    INFO(text_of(before) << ", behind that " << text_of(after));
    CHECK(after.no_more_than(before));
    CHECK(segment_before > 0);
    CHECK(segment_size() == segment_before);
    CHECK(accepted == many + 200);
    CHECK(runs == accepted);
}

TEST_CASE("ten thousand threads that call in and end leave nothing behind")
{
    require_passes("child: many short threads");
}
