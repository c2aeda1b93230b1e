// SPDX-License-Identifier: MIT
// What the stat segment says of what callers run under the lock strategy.
#include "time_limit.h"

#include "counted.h"

TEST_CASE("what ran in a lane is counted with the CPU where it ran")
{
    if (!under_lock()) {
        WARN("skipped: under queue there are no lanes");
        return;
    }
    const char *options = GENERATE("stats=on", "stats=full");
    fresh_runtime runtime(options);
    int first = first_cpu(), last = last_cpu();
    for (int where : {first, last})
        std::thread([&] {
            REQUIRE(pin(0, where));
            plain_item item(function_a, last);
            REQUIRE(item.run(busy_item::by_strategy, 10) == 10);
        }).join();
    own_segment seen;
    uint64_t sum = seen.ran_on(last, -1);
    for (int each : worker_cpus())
        sum += seen.ran_on(last, each);
    CHECK(sum == 20);
    CHECK(seen.ran_on(last, first) == (first == last ? 20 : 10));
    CHECK(seen.ran_on(last, last) == (first == last ? 20 : 10));
    CHECK(seen.ran_on(last, -1) == 0);
    CHECK(seen.tallied(last).away == 20);
    CHECK(seen.cells(last).executed == 20);
    CHECK(seen.block(last).executed == 0);
}

TEST_CASE("what a caller runs is seen with since when, also what it runs inside")
{
    if (!under_lock()) {
        WARN("skipped: under queue workers run everything");
        return;
    }
    fresh_runtime runtime("stats=full");
    int cpu = last_cpu();
    struct row_seen {
        uint64_t running = 0, cpu = 0, since = 0;
        explicit row_seen(const void *function)
        {
            own_segment now;
            for (size_t i = 0; i < now.head().caller_count; ++i)
                if (const auto &row = now.row(i); row.running == reinterpret_cast<uintptr_t>(function)) {
                    running = row.running;
                    cpu = row.running_cpu;
                    since = row.running_since;
                }
        }
    };
    static int inner_cpu;
    static uint64_t began, outer_since, inner_since, after_since;
    inner_cpu = first_cpu();
    static pw_func_t outer_function, inner_function;
    inner_function = [](pw_struct *) {
        row_seen now(address_of(inner_function));
        inner_since = now.since;
        CHECK(now.cpu == static_cast<uint64_t>(inner_cpu));
    };
    outer_function = [](pw_struct *) {
        outer_since = row_seen(address_of(outer_function)).since;
        stay(ms);
        plain_item nested(inner_function, inner_cpu);
        CHECK(nested.run(busy_item::by_strategy, 1) == 1);
        after_since = row_seen(address_of(outer_function)).since;
    };
    began = now_ns();
    plain_item item(outer_function, cpu);
    REQUIRE(item.run(busy_item::by_strategy, 1) == 1);
    CHECK(outer_since >= began);
    CHECK(inner_since >= outer_since + ms);
    CHECK(after_since == outer_since);
    CHECK(row_seen(address_of(outer_function)).running == 0);
}

TEST_CASE("a long item's time is counted for its lane")
{
    if (!under_lock()) {
        WARN("skipped: under queue workers run everything");
        return;
    }
    const char *options = GENERATE("stats=on", "stats=full");
    fresh_runtime runtime(options);
    int cpu = last_cpu();
    plain_item item(long_function, cpu);
    REQUIRE(item.run(busy_item::by_strategy, 3) == 3);
    own_segment seen;
    tally_counts tally = seen.tallied(cpu, address_of(long_function));
    CHECK(tally.away == 3);
    CHECK(tally.away_ns >= 3 * long_ns);
    CHECK(tally.away_longest_ns >= long_ns);
    CHECK(tally.away_longest_ns < tally.away_ns);
}

TEST_CASE("of short items one in many is timed for its lane, and stands for all")
{
    if (!under_lock()) {
        WARN("skipped: under queue workers run everything");
        return;
    }
    fresh_runtime runtime("stats=on");
    int cpu = last_cpu();
    static long timed;
    static pw_func_t look;
    timed = 0;
    look = [](pw_struct *) {
        own_segment now;
        for (size_t i = 0; i < now.head().caller_count; ++i)
            if (const auto &row = now.row(i); row.running == reinterpret_cast<uintptr_t>(address_of(look)))
                timed += row.running_since != 0;
    };
    // Takes longer than 2.5 us, so each run is timed.
    plain_item slow(look, cpu);
    REQUIRE(slow.run(busy_item::by_strategy, 20) == 20);
    CHECK(timed == 20);

    constexpr int many = 256 * 100;
    plain_item quick(function_a, cpu);
    uint64_t began = now_ns();
    REQUIRE(quick.run(busy_item::by_strategy, many) == many);
    uint64_t passed = now_ns() - began;
    own_segment seen;
    tally_counts tally = seen.tallied(cpu, address_of(function_a));
    CHECK(tally.away == many);
    CHECK(tally.away_ns > 0);
    // Those few whose time stands for 256 are each shorter than 2.5 us; others stand for themselves.
    CHECK(tally.away_ns < passed + many * uint64_t{2500});
}

TEST_CASE("a thread that ends inside its function has run it")
{
    if (!under_lock()) {
        WARN("skipped: under queue it ends the program");
        return;
    }
    fresh_runtime runtime("stats=full");
    int cpu = last_cpu();
    plain_item item([](pw_struct *) { pthread_exit(nullptr); }, cpu);
    std::thread([&] { pw_queue_on(cpu, nullptr, &item); }).join();
    REQUIRE(pw_flush(&item) == 0);
    own_segment seen;
    CHECK(seen.cells(cpu).queued == 1);
    CHECK(seen.cells(cpu).executed == 1);
    CHECK(seen.tallied(cpu).away == 1);
    CHECK(total(seen.histogram(cpu, histogram_kind::run_away)) == 1);
    for (size_t i = 0; i < seen.head().caller_count; ++i)
        CHECK(seen.row(i).running == 0);
}
