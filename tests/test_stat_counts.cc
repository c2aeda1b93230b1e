// SPDX-License-Identifier: MIT
// What the stat segment counts, against what was done.
#include "time_limit.h"

#include "on_cpu.h"
#include "own_segment.h"
#include "queues.h"

using pw::stat::histogram_kind;

namespace {

// A runtime of the test's own, so that all counts start at zero.
class fresh_runtime {
  public:
    explicit fresh_runtime(const char *options = nullptr)
    {
        pw_runtime_stop();
        REQUIRE(pw_runtime_start(options) == 0);
    }
    ~fresh_runtime() { pw_runtime_stop(); }
    fresh_runtime(const fresh_runtime &) = delete;
    fresh_runtime &operator=(const fresh_runtime &) = delete;
};

// Functions with addresses of their own, also where a linker folds what is the same.
std::atomic<int> ran_a, ran_b;
void function_a(pw_struct *)
{
    ++ran_a;
}
void function_b(pw_struct *)
{
    ++ran_b;
}

constexpr uint64_t long_ns = 20 * ms;
void stay(uint64_t ns = long_ns)
{
    std::this_thread::sleep_for(std::chrono::nanoseconds(ns));
}
void long_function(pw_struct *)
{
    stay();
}
void long_call(int, void *)
{
    stay();
}
void calling_function(pw_struct *)
{
    pw_on_each_cpu(long_call, nullptr);
}

template <typename Function>
const void *address_of(Function *function)
{
    return reinterpret_cast<const void *>(function);
}

// An item that is nothing but its function.
struct plain_item : pw_struct {
    plain_item(pw_func_t function, int on) { INIT_PW(this, function, on); }
    ~plain_item() { pw_cancel_sync(this); }
    plain_item(const plain_item &) = delete;
    plain_item &operator=(const plain_item &) = delete;

    // So often, one execution each.
    int run(busy_item::route way, int times, pw_workqueue *through = nullptr)
    {
        int accepted = 0;
        for (int i = 0; i < times; ++i) {
            accepted += queue_by(way, *this, through);
            if (pw_flush(this) != 0)
                return -1;
        }
        return accepted;
    }
};

// Whether items that go this way run on their CPU's worker.
bool is_here(busy_item::route way)
{
    return way == busy_item::by_worker || !under_lock();
}

// Behind a flush the worker may not have said yet that it has nothing to do.
bool rests(int cpu)
{
    return eventually([&] {
        own_segment now;
        return now.block(cpu).running == 0 && now.block(cpu).turn_since == 0;
    });
}

uint64_t side(const tally_counts &tally, busy_item::route way)
{
    return is_here(way) ? tally.here : tally.away;
}

} // namespace

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
    REQUIRE(eventually([&] { return own_segment().block(cpu).sleeping == 1; }));
    stay();
    plain_item item(function_a, cpu);
    REQUIRE(item.run(busy_item::by_worker, 1) == 1);
    own_segment seen;
    CHECK(seen.block(cpu).asleep_ns >= long_ns);
    CHECK(seen.block(cpu).idle_ns >= seen.block(cpu).asleep_ns);
    CHECK(seen.block(cpu).wakeups >= 1);
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
    std::atomic<uint64_t> during{0}, since{0}, inside{0}, after{0};
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
        uint64_t since = own_segment().block(cpu).running_since;
        REQUIRE(pw_on_each_cpu(look_from_call, &seen) == 0);
        seen.after = own_segment().block(cpu).running.load();
        CHECK(own_segment().block(cpu).running_since == since);
        CHECK((under_lock() || seen.since >= since));
    });
    REQUIRE(item.queue_to_worker() == 1);
    REQUIRE(item.flush() == 0);
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
    if (under_lock())
        return; // calls are their caller's
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

TEST_CASE("what ran in a lane is counted with the CPU where it ran")
{
    if (!under_lock())
        return; // there is none
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
    if (!under_lock())
        return; // workers run everything
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
    if (!under_lock())
        return; // workers run everything
    const char *options = GENERATE("stats=on", "stats=full");
    fresh_runtime runtime(options);
    int cpu = last_cpu();
    plain_item item(long_function, cpu);
    REQUIRE(item.run(busy_item::by_strategy, 3) == 3);
    own_segment seen;
    tally_counts tally = seen.tallied(cpu, address_of(long_function));
    // The coarse clock is behind by up to a tick, of which there are at least 100 a second.
    uint64_t tick = seen.head().full ? 0 : 10 * ms;
    CHECK(tally.away == 3);
    CHECK(tally.away_ns + tick >= 3 * long_ns);
    CHECK(tally.away_longest_ns + tick >= long_ns);
    CHECK(tally.away_longest_ns < tally.away_ns);
}

TEST_CASE(
    "with stats=full what was handed over in a lane is timed since then, and the rest waits for nothing")
{
    if (!under_lock())
        return; // workers run everything
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

TEST_CASE("a thread that ends inside its function has run it")
{
    if (!under_lock())
        return; // that ends the program
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
