// SPDX-License-Identifier: MIT
// pw_on_each_cpu(): a call for every CPU, from outside, from inside work and from inside such a call.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "queues.h"

#include <array>

namespace {

// Calls for every CPU; how many CPUs were not called exactly once, or an error.
int count_missed()
{
    std::vector<std::atomic<int>> calls(static_cast<size_t>(pw_nr_cpus()));
    int error = on_each_cpu([&](int cpu) { ++calls[static_cast<size_t>(cpu)]; });
    int missed = 0;
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
        missed += calls[static_cast<size_t>(cpu)] != pw_cpu_online(cpu);
    return error ? error : missed;
}

} // namespace

TEST_CASE("a function is called once for every CPU: by its worker, or under lock by the caller")
{
    struct found {
        int calls = 0;
        pid_t runner = 0;
        int ran_on = -1;
        bool remote = true;
    };
    std::vector<found> all(
        static_cast<size_t>(pw_nr_cpus())); // plain: each is its call's alone, and the return orders us
    REQUIRE(on_each_cpu([&](int cpu) {
                found &mine = all[static_cast<size_t>(cpu)];
                ++mine.calls;
                mine.runner = gettid();
                mine.ran_on = sched_getcpu();
                mine.remote = pw_is_cpu_remote(cpu);
            }) == 0);
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
        const found &one = all[static_cast<size_t>(cpu)];
        CHECK(one.calls == pw_cpu_online(cpu));
        if (one.calls == 0)
            continue;
        if (under_lock()) {
            CHECK(one.runner == gettid());
        } else {
            CHECK(one.runner == worker_thread(cpu));
            CHECK(one.ran_on == cpu);
            CHECK_FALSE(one.remote);
        }
    }
}

TEST_CASE("what the caller wrote is seen on every CPU, and what was written there is seen by the caller")
{
    const std::vector<int> cpus = worker_cpus();
    std::array<long, 64> input = {};
    std::vector<std::array<long, 64>> output(static_cast<size_t>(pw_nr_cpus()));
    long wrong = 0;
    for (long round = 1; round <= 3'000 / scale; ++round) {
        input.fill(round);
        wrong += on_each_cpu([&](int cpu) { output[static_cast<size_t>(cpu)] = input; }) != 0;
        for (int cpu : cpus)
            wrong += output[static_cast<size_t>(cpu)] != input;
    }
    CHECK(wrong == 0);
}

TEST_CASE("a call without a function is refused with -EINVAL")
{
    int argument = 0;
    CHECK(pw_on_each_cpu(nullptr, &argument) == -EINVAL);
    CHECK(pw_on_each_cpu(nullptr, nullptr) == -EINVAL);
    CHECK(pw_on_each_cpu([](int, void *) {}, nullptr) == 0);
}

TEST_CASE("several threads call for every CPU at once")
{
    std::atomic<long> wrong{0};
    on_threads(4, [&](int) {
        for (int n = 0; n < 500 / scale; ++n)
            wrong += count_missed() != 0;
    });
    CHECK(wrong == 0);
}

TEST_CASE("work on every CPU calls for every CPU at the same time")
{
    for (busy_item::route way : both_routes) {
        const std::vector<int> cpus = worker_cpus();
        std::atomic<int> arrived{0};
        std::atomic<long> wrong{0}, runs{0};
        int round = 0;
        task_list items;
        for (int cpu : cpus)
            items.push_back(std::make_unique<task>(cpu, [&] {
                // All are inside work, so none can serve another but from within its call.
                meet(arrived, round * static_cast<int>(cpus.size()));
                wrong += count_missed() != 0;
                ++runs;
            }));
        for (round = 1; round <= 300 / scale; ++round) {
            // Under lock it runs in its caller.
            on_threads(static_cast<int>(cpus.size()),
                       [&](int i) { wrong += queue_by(way, *items[static_cast<size_t>(i)]) != 1; });
            wrong += flush_all(items);
        }
        CHECK(wrong == 0);
        CHECK(runs == (round - 1) * static_cast<long>(cpus.size()));
    }
}

TEST_CASE("work and other threads call for every CPU at the same time")
{
    for (busy_item::route way : both_routes) {
        const std::vector<int> cpus = worker_cpus();
        std::atomic<long> wrong{0}, runs{0};
        on_threads(4, [&](int thread) {
            task item(cpus[static_cast<size_t>(thread) % cpus.size()], [&] {
                wrong += count_missed() != 0;
                ++runs;
            });
            for (int n = 0; n < 300 / scale; ++n) {
                wrong += queue_by(way, item) != 1;
                wrong += count_missed() != 0;
                wrong += item.flush() != 0;
            }
        });
        CHECK(wrong == 0);
        CHECK(runs == 4 * (300 / scale));
    }
}

TEST_CASE("the function may itself call for every CPU")
{
    const auto cpus = static_cast<long>(worker_cpus().size());
    if (cpus > 8) {
        WARN("skipped: the cube of that many CPUs takes too long");
        return;
    }
    std::atomic<long> outer{0}, middle{0}, inner{0}, wrong{0};
    const int rounds = 100 / scale;
    for (int n = 0; n < rounds; ++n)
        wrong += on_each_cpu([&](int) {
                     ++outer;
                     wrong += on_each_cpu([&](int) {
                                  ++middle;
                                  wrong += on_each_cpu([&](int) { ++inner; }) != 0;
                              }) != 0;
                 }) != 0;
    CHECK(wrong == 0);
    CHECK(outer == rounds * cpus);
    CHECK(middle == rounds * cpus * cpus);
    CHECK(inner == rounds * cpus * cpus * cpus);
}

TEST_CASE("a call comes before what is queued, and before what the worker has taken already")
{
    for (bool taken : {false, true}) {
        const int cpu = last_cpu();
        workqueue first("first", PW_WQ_HIGHPRI);
        start_order order;
        task_list items = numbered(order, cpu, 3), fast = numbered(order, cpu, 3, 10);
        std::atomic<bool> entered{false};
        door leave;
        task second(cpu, [&] {
            entered = true;
            leave.wait();
        });
        busy_item busy(cpu, busy_item::by_worker);
        if (taken)
            REQUIRE(second.queue_to_worker() == 1);
        for (const auto &each : items)
            REQUIRE(each->queue_to_worker() == 1);
        for (const auto &each : fast)
            if (!taken)
                REQUIRE(queue_by(busy_item::by_worker, *each, first) == 1);
        if (taken) {
            // It now works off what was queued while it was busy.
            busy.let_go();
            REQUIRE(eventually([&] { return entered.load(); }));
        }
        int result = -1;
        std::atomic<size_t> calls{0};
        std::atomic<bool> returned{false};
        waiting_thread caller([&] {
            result = on_each_cpu([&](int on) {
                if (on == cpu)
                    order.add(-1);
                ++calls;
            });
            returned = true;
        });
        if (under_lock()) {
            // Nobody waits for a worker.
            CHECK(eventually([&] { return returned.load(); }));
            CHECK(order.started() == std::vector<int>{-1});
        } else {
            // Others are called although this one is busy.
            REQUIRE(eventually([&] { return calls == worker_cpus().size() - 1 && caller.waits(); }));
            CHECK_FALSE(returned);
            CHECK(order.started().empty());
        }
        leave.open();
        busy.let_go();
        caller.join();
        REQUIRE(flush_all(items) == 0);
        REQUIRE(flush_all(fast) == 0);
        CHECK(result == 0);
        CHECK(order.started() ==
              (taken ? std::vector<int>{-1, 0, 1, 2} : std::vector<int>{-1, 10, 11, 12, 0, 1, 2}));
    }
}

TEST_CASE("the function takes its CPU's lock, as everybody does")
{
    struct data {
        pw_lock_t lock;
        long count;
    };
    per_cpu_memory<data> memory;
    pw_lock_t *lock = &memory.get()->lock;
    const int rounds = 1'000 / scale;
    std::atomic<long> wrong{0};
    on_threads(3, [&](int thread) {
        for (int n = 0; n < rounds; ++n) {
            if (thread == 0) {
                int cpu = pw_lock_local(lock);
                ++memory.of(cpu).count;
                pw_unlock_local(lock, cpu);
            } else {
                wrong += on_each_cpu([&](int cpu) {
                             pw_lock(lock, cpu);
                             ++memory.of(cpu).count;
                             pw_unlock(lock, cpu);
                         }) != 0;
            }
        }
    });
    long sum = 0;
    wrong += on_each_cpu([&](int) {}) != 0;
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
        sum += memory.of(cpu).count;
    CHECK(wrong == 0);
    CHECK(sum == rounds * (1 + 2 * static_cast<long>(worker_cpus().size())));
}

TEST_CASE("the function may queue work to its CPU and to others")
{
    for (busy_item::route way : both_routes) {
        const std::vector<int> cpus = worker_cpus();
        std::atomic<long> runs{0}, wrong{0};
        task_list items;
        for (size_t i = 0; i < cpus.size() * cpus.size(); ++i)
            items.push_back(std::make_unique<task>(cpus[i % cpus.size()], [&] { ++runs; }));
        const int rounds = 200 / scale;
        for (int n = 0; n < rounds; ++n) {
            wrong += on_each_cpu([&](int cpu) {
                         for (size_t from = 0; from < cpus.size(); ++from)
                             for (size_t to = 0; cpus[from] == cpu && to < cpus.size(); ++to)
                                 wrong += queue_by(way, *items[from * cpus.size() + to]) != 1;
                     }) != 0;
            wrong += flush_all(items);
        }
        CHECK(wrong == 0);
        CHECK(runs == rounds * static_cast<long>(items.size()));
    }
}

TEST_CASE("child: the first call for every CPU", "[.child]")
{
    REQUIRE(library_threads().empty());
    std::atomic<size_t> calls{0};
    CHECK(pw_on_each_cpu(nullptr, nullptr) == -EINVAL);
    CHECK(library_threads().empty());
    CHECK(on_each_cpu([&](int) { ++calls; }) == 0);
    CHECK(calls == given_cpus.size());
    // Only while it runs.
    int from_work = 0;
    task item(given_cpus.front(), [&] { from_work = on_each_cpu([&](int) { ++calls; }); });
    REQUIRE(item.queue() == 1);
    REQUIRE(pw_runtime_stop() == 0);
    CHECK((from_work == 0 || from_work == -ESHUTDOWN));
    CHECK(calls == given_cpus.size() * (from_work == 0 ? 2 : 1));
    calls = 0;
    CHECK(on_each_cpu([&](int) { ++calls; }) == -ESHUTDOWN);
    CHECK(calls == 0);
    REQUIRE(pw_runtime_start(("cpus=" + std::to_string(given_cpus.back())).c_str()) == 0);
    CHECK(on_each_cpu([&](int cpu) { calls += cpu == given_cpus.back() ? 1 : 100; }) == 0);
    CHECK(calls == 1);
}

TEST_CASE("a call for every CPU starts the runtime, and is refused with -ESHUTDOWN behind a stop")
{
    require_passes("child: the first call for every CPU");
}
