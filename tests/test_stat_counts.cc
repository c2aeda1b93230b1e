// SPDX-License-Identifier: MIT
// What the stat segment counts, and whose time it says it was, against what was done.
#include "time_limit.h"

#include "counted.h"

TEST_CASE("each function and workqueue has its own tally, on the side where it ran")
{
    auto way = GENERATE(from_range(std::begin(both_routes), std::end(both_routes)));
    const char *options = GENERATE("stats=on", "stats=full");
    fresh_runtime runtime(options);
    workqueue first("first"), second("second");
    int cpu = last_cpu();
    {
        plain_item a(function_a, cpu), b(function_b, cpu), a_first(function_a, cpu);
        REQUIRE(a.run(way, 100) == 100);
        REQUIRE(b.run(way, 30) == 30);
        REQUIRE(a_first.run(way, 7, first) == 7);
        REQUIRE(a_first.run(way, 5, second) == 5);
        REQUIRE(a.run(way, 1) == 1);
    }
    own_segment seen;
    CHECK(side(seen.tallied(cpu, address_of(function_a)), way) == 101);
    CHECK(side(seen.tallied(cpu, address_of(function_b)), way) == 30);
    tally_counts all = seen.tallied(cpu);
    CHECK(side(all, way) == 143);
    CHECK(all.here + all.away == 143);
    cell_counts cells = seen.cells(cpu);
    CHECK(cells.queued == 143);
    CHECK(cells.executed == (is_here(way) ? 0 : 143));
    CHECK(seen.block(cpu).executed == (is_here(way) ? 143 : 0));
    CHECK(seen.names(address_of(function_a)));
    CHECK(seen.names(address_of(function_b)));
    CHECK(rests(cpu));
}

TEST_CASE("a workqueue's tally is not that of another one which got its memory")
{
    fresh_runtime runtime;
    int cpu = first_cpu();
    plain_item item(function_a, cpu);
    pw_workqueue *memory = nullptr;
    for (int i = 0; i < 3; ++i) {
        workqueue each("again");
        CHECK((!memory || memory == each));
        memory = each;
        REQUIRE(item.run(busy_item::by_worker, 4, each) == 4);
    }
    own_segment seen;
    int found = 0;
    for (uint64_t id = 1; id < 1000; ++id)
        if (uint64_t times = seen.tallied(cpu, address_of(function_a), id).here) {
            CHECK(times == 4);
            ++found;
        }
    CHECK(found == 3);
}

TEST_CASE("a batch of short items shares its time by number, and all of it")
{
    fresh_runtime runtime("stats=on");
    int cpu = last_cpu();
    constexpr int count = 1000;
    std::vector<std::unique_ptr<plain_item>> items;
    for (int i = 0; i < count; ++i)
        items.push_back(std::make_unique<plain_item>(i % 3 ? function_a : function_b, cpu));
    uint64_t before = now_ns();
    {
        blocked_cpu blocked(cpu, busy_item::by_worker);
        for (auto &each : items)
            REQUIRE(pw_queue_work_on(cpu, nullptr, each.get()) == 1);
        blocked.open();
    }
    for (auto &each : items)
        REQUIRE(pw_flush(each.get()) == 0);
    REQUIRE(rests(cpu));
    uint64_t after = now_ns();
    own_segment seen;
    tally_counts a = seen.tallied(cpu, address_of(function_a)), b = seen.tallied(cpu, address_of(function_b)),
                 all = seen.tallied(cpu);
    CHECK(a.here == count * 2 / 3);
    CHECK(b.here == count - count * 2 / 3);
    CHECK(all.here == seen.block(cpu).executed);
    CHECK(a.here_ns > 0);
    CHECK(b.here_ns > 0);
    CHECK(all.here_ns <= seen.block(cpu).busy_ns);
    CHECK(seen.block(cpu).busy_ns + seen.block(cpu).idle_ns <= after - seen.head().start_monotonic_ns);
    CHECK(all.here_ns <= after - before);
}

TEST_CASE("a long item's time is its own: in its tally, as the longest, and in the worker's turns")
{
    const char *options = GENERATE("stats=on", "stats=full");
    fresh_runtime runtime(options);
    int cpu = last_cpu();
    plain_item item(long_function, cpu);
    REQUIRE(item.run(busy_item::by_worker, 3) == 3);
    REQUIRE(rests(cpu));
    own_segment seen;
    tally_counts tally = seen.tallied(cpu, address_of(long_function));
    CHECK(tally.here == 3);
    CHECK(tally.here_ns >= 3 * long_ns);
    CHECK(tally.here_longest_ns >= long_ns);
    CHECK(tally.here_longest_ns <= tally.here_ns - 2 * long_ns);
    CHECK(seen.block(cpu).busy_ns >= tally.here_ns);
    CHECK(seen.block(cpu).running_since != 0);
}

TEST_CASE("what a worker runs is seen with since when, and a turn with since when")
{
    fresh_runtime runtime;
    int cpu = last_cpu();
    // Not awake and kept from its CPU: it would take its last look for work, from before that, for the begin.
    REQUIRE(eventually([&] { return own_segment().block(cpu).sleeping != 0; }));
    uint64_t before = now_ns();
    {
        busy_item stuck(cpu, busy_item::by_worker);
        uint64_t running = now_ns();
        own_segment seen;
        const auto &block = seen.block(cpu);
        CHECK(block.running != 0);
        CHECK(seen.names(reinterpret_cast<const void *>(block.running.load())));
        CHECK((block.running_since >= before && block.running_since <= running));
        CHECK((block.turn_since >= before && block.turn_since <= running));
        CHECK(block.idle_since == 0);
        CHECK(block.seen_cpu == static_cast<uint64_t>(cpu) + 1);
        CHECK(block.executed == 0);
    }
    REQUIRE(rests(cpu));
    own_segment seen;
    CHECK(seen.block(cpu).executed == 1);
    CHECK(seen.block(cpu).idle_since >= before);
    CHECK(seen.block(cpu).busy_ns > 0);
}

TEST_CASE("a worker's sleep is part of its idle time")
{
    fresh_runtime runtime("stats=on idle_spin_us=0");
    int cpu = last_cpu();
    REQUIRE(eventually([&] { return own_segment().block(cpu).sleeping != 0; }));
    stay();
    plain_item item(function_a, cpu);
    REQUIRE(item.run(busy_item::by_worker, 1) == 1);
    own_segment seen;
    CHECK(seen.block(cpu).asleep_ns >= long_ns);
    CHECK(seen.block(cpu).idle_ns >= seen.block(cpu).asleep_ns);
    CHECK(seen.block(cpu).wakeups >= 1);
}

TEST_CASE("a turn of a worker that waits awake begins when it saw something, not when it began to wait")
{
    fresh_runtime runtime("stats=on idle_spin_us=1000000");
    int cpu = last_cpu();
    constexpr uint64_t waits = 10, apart = 5 * ms;
    plain_item item(function_a, cpu);
    for (uint64_t i = 1; i <= waits; ++i) {
        std::this_thread::sleep_for(std::chrono::nanoseconds(apart));
        REQUIRE(pw_queue_work_on(cpu, nullptr, &item) == 1);
        REQUIRE(pw_flush(&item) == 0);
    }
    own_segment seen;
    // Others may have had the CPU meanwhile, and then some of that counts as the turn's.
    CHECK(seen.block(cpu).idle_ns > waits * apart / 2);
    CHECK(seen.block(cpu).busy_ns + seen.block(cpu).idle_ns <= now_ns() - seen.head().start_monotonic_ns);
}

TEST_CASE("with stats=off a worker counts for nobody and looks at no clock")
{
    fresh_runtime runtime("stats=off");
    CHECK_THROWS(own_segment());
    int cpu = last_cpu();
    ran_a = ran_b = 0;
    plain_item a(function_a, cpu), b(function_b, cpu);
    for (int i = 0; i < 50; ++i) {
        REQUIRE(a.run(busy_item::by_worker, 1) == 1);
        REQUIRE(b.run(busy_item::by_strategy, 1) == 1);
    }
    CHECK((ran_a == 50 && ran_b == 50));
}

namespace {

struct nested_call {
    int cpu;
    std::atomic<uint64_t> during{0}, since{0}, inside{0}, began{0}, after{0}, went_on{0};
    std::atomic<int> result{-1};
};

void look_from_call(int cpu, void *arg)
{
    auto &seen = *static_cast<nested_call *>(arg);
    if (cpu != seen.cpu)
        return;
    own_segment now;
    seen.during = now.block(cpu).running.load();
    seen.since = now.block(cpu).running_since.load();
}

} // namespace

TEST_CASE("a call for every CPU is counted where it is made, and what it interrupts goes on")
{
    fresh_runtime runtime;
    int cpu = last_cpu();
    nested_call seen{cpu};
    task item(cpu, [&] {
        seen.inside = own_segment().block(cpu).running.load();
        seen.began = own_segment().block(cpu).running_since.load();
        seen.result = pw_on_each_cpu(look_from_call, &seen);
        seen.after = own_segment().block(cpu).running.load();
        seen.went_on = own_segment().block(cpu).running_since.load();
    });
    REQUIRE(item.queue_to_worker() == 1);
    REQUIRE(item.flush() == 0);
    CHECK(seen.result == 0);
    CHECK(seen.went_on == seen.began);
    CHECK((under_lock() || seen.since >= seen.began));
    REQUIRE(pw_on_each_cpu(look_from_call, &seen) == 0);
    CHECK(seen.inside != 0);
    CHECK(seen.after == seen.inside);
    uint64_t call = reinterpret_cast<uintptr_t>(address_of(look_from_call));
    own_segment now;
    for (int each : worker_cpus()) {
        CHECK(now.block(each).calls == (under_lock() ? 0 : 2));
        CHECK(side(now.tallied(each, address_of(look_from_call)), busy_item::by_strategy) == 2);
        CHECK(now.cells(each).executed == 0);
    }
    CHECK(now.block(cpu).executed == 1);
    CHECK(now.names(address_of(look_from_call)));
    if (!under_lock())
        CHECK(seen.during == call);
}

TEST_CASE("an item's time is without that of the calls which its worker makes inside it")
{
    if (under_lock()) {
        WARN("skipped: under lock calls are their caller's");
        return;
    }
    fresh_runtime runtime;
    int cpu = last_cpu();
    plain_item item(calling_function, cpu);
    REQUIRE(item.run(busy_item::by_worker, 1) == 1);
    REQUIRE(rests(cpu));
    own_segment seen;
    tally_counts own = seen.tallied(cpu, address_of(calling_function)), all = seen.tallied(cpu);
    CHECK(own.here == 1);
    CHECK(all.here == 2);
    CHECK(all.here_ns - own.here_ns >= long_ns);
    CHECK(all.here_ns <= seen.block(cpu).busy_ns);
}

TEST_CASE("a call that finds its item pending is counted, and not as queued")
{
    auto way = GENERATE(from_range(std::begin(both_routes), std::end(both_routes)));
    fresh_runtime runtime;
    int cpu = last_cpu();
    plain_item item(function_a, cpu), again(function_b, cpu);
    {
        blocked_cpu blocked(cpu, way);
        REQUIRE(queue_by(way, item) == 1);
        REQUIRE(queue_by(way, item) == 0);
        REQUIRE(queue_by(way, item) == 0);
        REQUIRE(queue_by(way, again) == 1);
        REQUIRE(pw_cancel(&again) == 1);
        REQUIRE(queue_by(way, again) == 1);
        REQUIRE(queue_by(way, again) == 0);
        blocked.open();
        REQUIRE(pw_flush(&item) == 0);
        REQUIRE(pw_flush(&again) == 0);
    }
    own_segment seen;
    cell_counts cells = seen.cells(cpu);
    CHECK(cells.coalesced == 3);
    CHECK(cells.queued == 5); // with the blocked CPU's own, twice
    CHECK(cells.cancelled == 1);
    CHECK(cells.executed + seen.block(cpu).executed == 4);
}

TEST_CASE("a delayed item that is armed already is counted, and one that is armed anew is not")
{
    fresh_runtime runtime;
    int cpu = last_cpu();
    delayed_task item(cpu);
    REQUIRE(item.arm(hour) == 1);
    REQUIRE(item.arm(hour) == 0);
    REQUIRE(item.mod(2 * hour) == 1);
    REQUIRE(item.cancel_sync() == 1);
    REQUIRE(item.mod(hour) == 0); // it was not armed: nothing was there to be joined
    CHECK(own_segment().cells(cpu).coalesced == 1);
    CHECK(own_segment().cells(cpu).queued == 0);
}

TEST_CASE("whoever wakes a worker is counted with it")
{
    fresh_runtime runtime("stats=on idle_spin_us=0");
    int cpu = last_cpu();
    constexpr uint64_t rounds = 20;
    plain_item item(function_a, cpu);
    for (uint64_t i = 1; i <= rounds; ++i) {
        REQUIRE(eventually([&] { return own_segment().block(cpu).sleeping != 0; }));
        REQUIRE(pw_queue_work_on(cpu, nullptr, &item) == 1);
        REQUIRE(eventually([&] { return own_segment().block(cpu).executed == i; }));
    }
    own_segment seen;
    CHECK(seen.block(cpu).wakes_sent == rounds);
    CHECK(seen.block(cpu).wakeups == rounds);
}
