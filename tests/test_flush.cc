// SPDX-License-Identifier: MIT
// Guarantee 4 of DESIGN.md section 6, and where a flush is refused because it could never end.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "tasks.h"

#include <array>
#include <climits>
#include <memory>
#include <optional>

namespace {

void do_nothing(pw_struct *)
{
}

using queue_member = int (task::*)();
constexpr queue_member both_ways[] = {&task::queue, &task::queue_to_worker};

} // namespace

TEST_CASE("guarantee 4: after a flush the function's plain writes are visible")
{
    for (queue_member queue : both_ways)
        for (int cpu : worker_cpus()) {
            std::array<long, 64> written = {};
            long round = 0, wrong = 0;
            task item(cpu, [&] { written.fill(round); });
            for (round = 1; round <= 5'000 / scale; ++round) {
                wrong += (item.*queue)() != 1;
                wrong += item.flush() != 0;
                for (long each : written)
                    wrong += each != round;
            }
            CHECK(wrong == 0);
        }
}

TEST_CASE("guarantee 4: a flush of a pending item waits for the execution to come")
{
    const int cpu = last_cpu();
    std::array<int, 1024> written = {};
    int round = 0;
    busy_item busy(cpu, busy_item::by_strategy, [&] { written.fill(++round); });
    REQUIRE(busy.item().queue() == 1);
    int result = -1, seen_first = 0, seen_last = 0;
    door about_to;
    std::thread flusher([&] {
        about_to.open();
        result = busy.item().flush();
        seen_first = written.front();
        seen_last = written.back();
    });
    about_to.wait();
    busy.let_go();
    flusher.join();
    CHECK(result == 0);
    CHECK(seen_first == 2);
    CHECK(seen_last == 2);
}

TEST_CASE("guarantee 4: a flush of a running item waits for its end")
{
    for (queue_member queue : both_ways) {
        long wrong = 0;
        for (int i = 0; i < 500 / scale; ++i) {
            door running;
            std::array<int, 1024> written = {};
            task item(last_cpu(), [&] {
                running.open();
                written.fill(1);
            });
            std::thread producer([&] { (item.*queue)(); });
            running.wait();
            wrong += item.flush() != 0;
            wrong += written.front() != 1 || written.back() != 1;
            producer.join();
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("guarantee 4: a flush waits for items that were handed over, each in its place")
{
    const int cpu = last_cpu();
    busy_item busy(cpu);
    int second_runs = 0, third_runs = 0;
    task second(cpu, [&] { ++second_runs; }), third(cpu, [&] { ++third_runs; });
    REQUIRE(busy.item().queue() == 1);
    REQUIRE(second.queue() == 1);
    REQUIRE(third.queue() == 1);
    int after_second = 0, after_third = 0;
    std::thread flusher([&] {
        bool flushed = second.flush() == 0;
        after_second = flushed ? second_runs : -1;
    });
    std::thread last_flusher([&] {
        bool flushed = third.flush() == 0;
        after_third = flushed ? second_runs + third_runs : -1; // one thread queued both, in this order
    });
    busy.let_go();
    flusher.join();
    last_flusher.join();
    CHECK(after_second == 1);
    CHECK(after_third == 2);
}

TEST_CASE("guarantee 4: many flush what many queue, and each sees its own")
{
    constexpr int threads = 6;
    for (queue_member queue : both_ways)
        for (int cpu : worker_cpus()) {
            // Relaxed: what orders them is queueing and flushing.
            using numbers = std::array<std::atomic<long>, threads>;
            numbers input = {};
            std::array<numbers, 3> seen = {};
            std::vector<std::unique_ptr<task>> items;
            for (numbers &by_this : seen)
                items.push_back(std::make_unique<task>(cpu, [&] {
                    for (size_t i = 0; i < threads; ++i)
                        by_this[i].store(input[i].load(std::memory_order_relaxed), std::memory_order_relaxed);
                }));
            std::atomic<long> wrong{0};
            on_threads(threads, [&](int thread) {
                auto i = static_cast<size_t>(thread);
                for (long n = 1; n <= 1'000 / scale; ++n) {
                    size_t which = (i + static_cast<size_t>(n)) % items.size();
                    input[i].store(n, std::memory_order_relaxed);
                    wrong += (*items[which].*queue)() < 0;
                    wrong += items[which]->flush() != 0;
                    wrong += seen[which][i].load(std::memory_order_relaxed) != n;
                }
            });
            CHECK(wrong == 0);
        }
}

TEST_CASE("a flush of an item that re-arms itself returns")
{
    for (queue_member queue : both_ways)
        for (int cpu : worker_cpus()) {
            std::atomic<bool> enough{false};
            std::atomic<long> finished{0}, refused{0};
            task item(cpu, [&] {
                if (!enough)
                    refused += (item.*queue)() != 1;
                ++finished;
            });
            // Under lock its caller is busy with it from now on.
            std::thread caller([&] { refused += (item.*queue)() != 1; });
            REQUIRE(eventually([&] { return finished > 0; }));
            for (int i = 0; i < 100; ++i) {
                // It is always pending or running here: so one execution at least ends before the flush does.
                long before = finished;
                REQUIRE(item.flush() == 0);
                CHECK(finished > before);
            }
            enough = true;
            caller.join();
            // One that was queued before `enough` was seen, and then none.
            REQUIRE(item.flush() == 0);
            REQUIRE(item.flush() == 0);
            long total = finished;
            CHECK(item.flush() == 0);
            CHECK(finished == total);
            CHECK(refused == 0);
        }
}

TEST_CASE("a flush of an item that is idle or was never queued returns at once")
{
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
        pw_struct never;
        INIT_PW(&never, do_nothing, cpu);
        CHECK(pw_flush(&never) == 0);
    }
    int runs = 0;
    task item(first_cpu(), [&] { ++runs; });
    REQUIRE(item.queue() == 1);
    REQUIRE(item.flush() == 0);
    CHECK(item.flush() == 0);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
    // Also while its CPU is busy with something else.
    busy_item busy(first_cpu());
    CHECK(item.flush() == 0);
    CHECK(busy.runs() == 1);
}

TEST_CASE("a flush with something wrong is refused with -EINVAL")
{
    CHECK(pw_flush(nullptr) == -EINVAL);
    pw_struct zeroed = {};
    CHECK(pw_flush(&zeroed) == -EINVAL);
    pw_struct item;
    INIT_PW(&item, nullptr, first_cpu());
    CHECK(pw_flush(&item) == -EINVAL);
    for (int wrong : {-1, pw_nr_cpus(), INT_MAX, INT_MIN}) {
        INIT_PW(&item, do_nothing, wrong);
        CAPTURE(wrong);
        CHECK(pw_flush(&item) == -EINVAL);
    }
}

TEST_CASE("a function that flushes its own item, or another one for its CPU, gets -EDEADLK")
{
    for (queue_member queue : both_ways)
        for (int cpu : worker_cpus()) {
            int own = 0, idle_one = 0, pending_one = 0, runs = 0;
            task idle(cpu), pending(cpu, [&] { ++runs; });
            task item(cpu, [&] {
                own = item.flush();
                idle_one = idle.flush();
                (pending.*queue)();
                pending_one = pending.flush();
            });
            REQUIRE((item.*queue)() == 1);
            REQUIRE(item.flush() == 0);
            CHECK(own == -EDEADLK);
            CHECK(idle_one == -EDEADLK);
            CHECK(pending_one == -EDEADLK);
            // What was not waited for runs all the same.
            REQUIRE(pending.flush() == 0);
            CHECK(runs == 1);
        }
}

TEST_CASE("a function may flush what it queued to another CPU")
{
    const int here = first_cpu(), there = last_cpu();
    if (here == there) {
        WARN("skipped: one CPU only");
        return;
    }
    for (queue_member queue : both_ways)
        for (queue_member queue_inner : both_ways)
            for (int i = 0; i < 200 / scale; ++i) {
                int written = 0, seen = 0, queued = 0, flushed = -1;
                task inner(there, [&] { written = 1; });
                task outer(here, [&] {
                    queued = (inner.*queue_inner)();
                    flushed = inner.flush();
                    seen = written;
                });
                REQUIRE((outer.*queue)() == 1);
                REQUIRE(outer.flush() == 0);
                CHECK(queued == 1);
                CHECK(flushed == 0);
                CHECK(seen == 1);
            }
}

TEST_CASE("a function may flush another CPU's item that another thread runs, or that waits behind one")
{
    const int here = first_cpu(), there = last_cpu();
    if (here == there) {
        WARN("skipped: one CPU only");
        return;
    }
    std::array<int, 256> written = {};
    busy_item busy(there, busy_item::by_strategy, [&] { written.fill(written.front() + 1); });
    int behind_runs = 0;
    task behind(there, [&] { ++behind_runs; });
    REQUIRE(busy.item().queue() == 1);
    REQUIRE(behind.queue() == 1);
    int results = 0, seen = 0, behind_seen = 0;
    door about_to;
    task flusher(here, [&] {
        about_to.open();
        results += busy.item().flush() != 0;
        seen = written.back();
        results += behind.flush() != 0;
        behind_seen = behind_runs;
    });
    std::thread caller([&] { flusher.queue(); });
    about_to.wait();
    busy.let_go();
    caller.join();
    REQUIRE(flusher.flush() == 0);
    CHECK(results == 0);
    CHECK(seen == 2);
    CHECK(behind_seen == 1);
}

TEST_CASE("what was handed over for one CPU may flush what was handed over for another")
{
    // Under lock both wait in lists behind items that other threads run. Whoever works off one list must not be what the other
    // list needs.
    const int here = first_cpu(), there = last_cpu();
    if (here == there) {
        WARN("skipped: one CPU only");
        return;
    }
    busy_item busy_here(here), busy_there(there);
    int there_runs = 0, seen = 0, flushed = -1;
    door flushing;
    task listed_there(there, [&] { ++there_runs; });
    task listed_here(here, [&] {
        flushing.open();
        flushed = listed_there.flush();
        seen = there_runs;
    });
    REQUIRE(busy_there.item().queue() == 1);
    REQUIRE(listed_there.queue() == 1);
    REQUIRE(busy_here.item().queue() == 1);
    REQUIRE(listed_here.queue() == 1);
    busy_here.let_go();
    flushing.wait();
    busy_there.let_go();
    REQUIRE(listed_here.flush() == 0);
    CHECK(flushed == 0);
    CHECK(seen == 1);
}

TEST_CASE("work on a worker may flush what waits for another CPU, whichever thread works that off")
{
    // Under lock, a worker's own items and what was handed over meet: the first CPU's worker waits for the last CPU's list.
    const int here = first_cpu(), there = last_cpu();
    if (here == there) {
        WARN("skipped: one CPU only");
        return;
    }
    busy_item busy(there);
    int runs = 0, seen = 0, flushed = -1;
    task listed(there, [&] { ++runs; });
    REQUIRE(busy.item().queue() == 1);
    REQUIRE(listed.queue() == 1);
    door flushing;
    task on_worker(here, [&] {
        flushing.open();
        flushed = listed.flush();
        seen = runs;
    });
    REQUIRE(on_worker.queue_to_worker() == 1);
    flushing.wait();
    busy.let_go();
    REQUIRE(on_worker.flush() == 0);
    CHECK(flushed == 0);
    CHECK(seen == 1);
}

TEST_CASE("child: a flush before the start and behind the stop", "[.child]")
{
    pw_struct item;
    INIT_PW(&item, do_nothing, given_cpus.front());
    CHECK(pw_flush(&item) == 0);
    // It has started nothing: so the program still may.
    REQUIRE(pw_runtime_start(nullptr) == 0);
    REQUIRE(pw_queue_on(given_cpus.front(), nullptr, &item) == 1);
    REQUIRE(pw_runtime_stop() == 0);
    CHECK(pw_flush(&item) == 0);
    CHECK(pw_queue_on(given_cpus.front(), nullptr, &item) == -ESHUTDOWN);
    CHECK(pw_flush(&item) == 0);
}

TEST_CASE("a flush before the start and behind the stop has nothing to wait for")
{
    require_passes("child: a flush before the start and behind the stop");
}

TEST_CASE("child: a function flushes while the runtime stops", "[.child]")
{
    const int here = first_cpu(), there = last_cpu();
    int there_runs = 0, seen = 0, flushed = -1;
    std::optional<busy_item> busy_there;
    if (here != there)
        busy_there.emplace(there);
    task other(there, [&] { ++there_runs; });
    busy_item busy_here(here, busy_item::by_strategy, [&] {
        flushed = other.flush();
        seen = there_runs;
    });
    if (busy_there)
        REQUIRE(busy_there->item().queue() == 1);
    REQUIRE(other.queue() == 1);
    int stopped = -1;
    std::thread stopper([&] { stopped = pw_runtime_stop(); });
    // The stop has begun when nothing is accepted any more.
    task probe(here);
    REQUIRE(eventually([&] { return probe.queue() == -ESHUTDOWN; }));
    busy_here.release();
    if (busy_there)
        busy_there->release();
    stopper.join();
    CHECK(stopped == 0);
    if (here == there) {
        CHECK(flushed == -EDEADLK);
    } else {
        CHECK(flushed == 0);
        CHECK(seen == 1);
    }
    CHECK(there_runs == 1);
}

TEST_CASE("a function may flush while the runtime stops")
{
    require_passes("child: a function flushes while the runtime stops");
}
