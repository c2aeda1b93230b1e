// SPDX-License-Identifier: MIT
// Start and stop as a program sees them: return values, and the first use that starts. What may be asked of a
// start is in test_runtime_options.cc, what a stop does to work in flight in test_runtime_stop.cc.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "tasks.h"
#include "this_process.h"

TEST_CASE("child: return values of start and stop", "[.child]")
{
    CHECK(pw_runtime_stop() == -ESRCH);
    CHECK(library_threads().empty());
    CHECK(pw_runtime_start(nullptr) == 0);
    CHECK(worker_cpus() == given_cpus);
    CHECK(pw_runtime_start(nullptr) == -EALREADY);
    CHECK(pw_runtime_start("") == -EALREADY);
    CHECK(pw_runtime_stop() == 0);
    CHECK(no_library_thread_stays());
    CHECK(pw_runtime_stop() == -ESRCH);
    CHECK(pw_runtime_start("") == 0);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("start and stop tell whether the runtime runs")
{
    require_passes("child: return values of start and stop");
}

TEST_CASE("child: stopped until it is started again", "[.child]")
{
    const int cpu = given_cpus.front();
    int runs = 0;
    task item(cpu, [&] { ++runs; }), other(cpu, [&] { ++runs; });
    REQUIRE(item.queue() == 1);
    REQUIRE(other.queue_to_worker() == 1);
    REQUIRE(pw_runtime_stop() == 0);
    CHECK(runs == 2);
    CHECK(item.queue() == -ESHUTDOWN);
    CHECK(other.queue_to_worker() == -ESHUTDOWN);
    CHECK_FALSE(pw_cpu_online(cpu));
    CHECK(worker_cpus().empty());
    CHECK(no_library_thread_stays());
    CHECK(runs == 2);

    REQUIRE(pw_runtime_start(nullptr) == 0);
    CHECK(pw_cpu_online(cpu));
    CHECK(item.queue() == 1);
    CHECK(other.queue_to_worker() == 1);
    REQUIRE(item.flush() == 0);
    REQUIRE(other.flush() == 0);
    CHECK(runs == 4);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("behind a stop everything is refused with -ESHUTDOWN until an explicit start")
{
    require_passes("child: stopped until it is started again");
}

TEST_CASE("child: the first call starts: pw_queue_on", "[.child]")
{
    int runs = 0;
    task item(given_cpus.back(), [&] { ++runs; });
    CHECK(library_threads().empty());
    CHECK(item.queue() == 1);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
    CHECK(pw_runtime_start(nullptr) == -EALREADY);
}

TEST_CASE("child: the first call starts: pw_queue_work_on", "[.child]")
{
    int runs = 0;
    task item(given_cpus.back(), [&] { ++runs; });
    CHECK(item.queue_to_worker() == 1);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
    CHECK(pw_runtime_start(nullptr) == -EALREADY);
}

TEST_CASE("child: the first call starts: pw_cpu_online", "[.child]")
{
    CHECK(pw_cpu_online(given_cpus.back()));
    CHECK(pw_runtime_start(nullptr) == -EALREADY);
}

TEST_CASE("child: the first call starts: pw_for_each_cpu", "[.child]")
{
    std::vector<int> seen;
    pw_for_each_cpu(cpu) seen.push_back(cpu);
    CHECK(seen == given_cpus);
    CHECK(pw_runtime_start(nullptr) == -EALREADY);
}

TEST_CASE("child: many first calls at once", "[.child]")
{
    std::atomic<int> runs{0}, refused{0};
    on_threads(8, [&](int i) {
        task item(given_cpus[static_cast<size_t>(i) % given_cpus.size()], [&] { ++runs; });
        refused += item.queue() != 1 || item.flush() != 0;
    });
    CHECK(runs == 8);
    CHECK(refused == 0);
    for (int cpu : given_cpus)
        CHECK(worker_thread(cpu) != 0); // and only one
}

TEST_CASE("child: what needs no worker starts nothing", "[.child]")
{
    const std::vector<std::string> before = descriptors();
    per_cpu_memory<pw_lock_t> lock;
    int cpu = pw_lock_local(lock.get());
    pw_unlock_local(lock.get(), cpu);
    CHECK(pw_this_cpu() >= 0);
    CHECK(pw_nr_cpus() > 0);
    CHECK(pw_strategy_source() != nullptr);
    CHECK(library_threads().empty());
    CHECK(descriptors() == before);
}

TEST_CASE("the first call that needs a worker starts the runtime")
{
    for (const char *name : {"pw_queue_on", "pw_queue_work_on", "pw_cpu_online", "pw_for_each_cpu"}) {
        CAPTURE(name);
        require_passes(std::string("child: the first call starts: ") + name);
    }
    require_passes("child: many first calls at once");
    require_passes("child: what needs no worker starts nothing");
}

TEST_CASE("work can neither start nor stop the runtime")
{
    for (int cpu : worker_cpus())
        for (auto queue : {&task::queue, &task::queue_to_worker}) {
            int started = 0, stopped = 0;
            task item(cpu, [&] {
                started = pw_runtime_start(nullptr);
                stopped = pw_runtime_stop();
            });
            REQUIRE((item.*queue)() == 1);
            REQUIRE(item.flush() == 0);
            CHECK(started == -EALREADY);
            CHECK(stopped == -EDEADLK);
        }
}

TEST_CASE("child: work calls in while the runtime stops", "[.child]")
{
    int started = 0, stopped = 0, queued = 0, queued_to_worker = 0, stop_result = -1;
    bool online = false;
    const int cpu = first_cpu();
    task late(cpu), late_too(cpu);
    busy_item busy(last_cpu(), busy_item::by_strategy, [&] {
        started = pw_runtime_start(nullptr);
        stopped = pw_runtime_stop();
        queued = late.queue();
        queued_to_worker = late_too.queue_to_worker();
        online = pw_cpu_online(cpu);
    });
    std::thread stopper([&] { stop_result = pw_runtime_stop(); });
    task probe(cpu);
    REQUIRE(eventually([&] { return probe.queue() == -ESHUTDOWN; }));
    busy.let_go();
    stopper.join();
    CHECK(stop_result == 0);
    CHECK(started == -EDEADLK);
    CHECK(stopped == -EDEADLK);
    CHECK(queued == -ESHUTDOWN);
    CHECK(queued_to_worker == -ESHUTDOWN);
    CHECK(online); // its worker serves what was accepted
    CHECK_FALSE(pw_cpu_online(cpu));
}

TEST_CASE("while the runtime stops, work gets errors and does not hang")
{
    require_passes("child: work calls in while the runtime stops");
}
