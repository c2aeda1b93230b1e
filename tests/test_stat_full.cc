// SPDX-License-Identifier: MIT
// stats=full: how long each item waited and ran.
#include "time_limit.h"

#include "counted.h"

TEST_CASE("with stats=full each item is timed from queueing to start and from start to end")
{
    fresh_runtime runtime("stats=full");
    int cpu = last_cpu();
    plain_item slow(long_function, cpu);
    plain_item quick(function_a, cpu);
    REQUIRE(quick.run(busy_item::by_worker, 9) == 9);
    REQUIRE(slow.run(busy_item::by_worker, 1) == 1);
    {
        blocked_cpu blocked(cpu, busy_item::by_worker);
        REQUIRE(pw_queue_work_on(cpu, nullptr, &quick) == 1);
        stay();
        blocked.open();
        REQUIRE(pw_flush(&quick) == 0);
    }
    own_segment seen;
    uint64_t executed = seen.block(cpu).executed;
    CHECK(seen.head().full == 1);
    CHECK(executed == 13); // with the blocked CPU's own, twice
    CHECK(total(seen.histogram(cpu, histogram_kind::wait_here)) == executed);
    CHECK(total(seen.histogram(cpu, histogram_kind::run_here)) == executed);
    // The one behind the blocked CPU's, and that one's second execution.
    CHECK(from_bucket_of(seen.histogram(cpu, histogram_kind::wait_here), long_ns) >= 1);
    // The slow one, and the one that blocked the CPU.
    CHECK(from_bucket_of(seen.histogram(cpu, histogram_kind::run_here), long_ns) >= 2);
    CHECK(total(seen.histogram(cpu, histogram_kind::wait_away)) == 0);
}

TEST_CASE("with stats=full an item that was cancelled and queued again waits since then")
{
    fresh_runtime runtime("stats=full");
    int cpu = last_cpu();
    plain_item again(function_a, cpu);
    {
        blocked_cpu blocked(cpu, busy_item::by_worker);
        REQUIRE(pw_queue_work_on(cpu, nullptr, &again) == 1);
        REQUIRE(pw_cancel(&again) == 1);
        REQUIRE(pw_queue_work_on(cpu, nullptr, &again) == 1); // at the place of a stand-in
        blocked.open();
        REQUIRE(pw_flush(&again) == 0);
    }
    REQUIRE(again.run(busy_item::by_worker, 1) == 1);
    own_segment seen;
    CHECK(seen.cells(cpu).cancelled == 1);
    CHECK(seen.block(cpu).executed == 4);
    CHECK(total(seen.histogram(cpu, histogram_kind::wait_here)) == 4);
    // Nobody has waited for as long as the machine runs: every stamp was taken for a time.
    CHECK(from_bucket_of(seen.histogram(cpu, histogram_kind::wait_here),
                         now_ns() - seen.head().start_monotonic_ns + ms) == 0);
}

TEST_CASE(
    "with stats=full what was handed over in a lane is timed since then, and the rest waits for nothing")
{
    if (!under_lock()) {
        WARN("skipped: under queue workers run everything");
        return;
    }
    fresh_runtime runtime("stats=full");
    int cpu = last_cpu();
    plain_item quick(function_a, cpu);
    REQUIRE(quick.run(busy_item::by_strategy, 5) == 5);
    uint64_t began = now_ns();
    {
        blocked_cpu blocked(cpu);
        REQUIRE(pw_queue_on(cpu, nullptr, &quick) == 1); // comes behind what was handed over
        stay();
        blocked.open();
        REQUIRE(pw_flush(&quick) == 0);
    }
    uint64_t lasted = now_ns() - began;
    own_segment seen;
    const auto &wait = seen.histogram(cpu, histogram_kind::wait_away),
               &run = seen.histogram(cpu, histogram_kind::run_away);
    CHECK(seen.cells(cpu).executed == 8);
    CHECK(total(wait) == 8);
    CHECK(total(run) == 8);
    CHECK(wait.buckets[0] == 6);
    CHECK(from_bucket_of(wait, long_ns) == 2);
    CHECK(from_bucket_of(wait, 2 * lasted) == 0);
    CHECK(from_bucket_of(run, long_ns) == 1);
}

TEST_CASE("with stats=full a delayed item waits since it fell due")
{
    fresh_runtime runtime("stats=full");
    int cpu = last_cpu();
    delayed_task soon(cpu), later(cpu);
    uint64_t began = now_ns();
    {
        busy_item stuck(cpu);
        REQUIRE(soon.arm(ms) == 1);
        REQUIRE(later.arm(hour) == 1);
        stay();
    }
    REQUIRE(pw_flush(&soon.work) == 0);
    REQUIRE(eventually([&] {
        own_segment now;
        return side(now.tallied(cpu), busy_item::by_strategy) == 2;
    }));
    REQUIRE(later.flush() == 0); // before its time: it waits for nothing
    uint64_t lasted = now_ns() - began;
    own_segment seen;
    const auto &wait =
        seen.histogram(cpu, under_lock() ? histogram_kind::wait_away : histogram_kind::wait_here);
    CHECK(total(wait) == 3);
    CHECK(from_bucket_of(wait, 2 * lasted) == 0);
    if (!under_lock()) // there another thread runs it at once
        CHECK(from_bucket_of(wait, long_ns / 2) >= 1);
}
