// SPDX-License-Identifier: MIT
// Taking items back: pw_cancel(), and pw_cancel_sync() where it has nothing to wait for, both ways to queue,
// under both strategies.
#include "time_limit.h"

#include "loose_item.h"
#include "on_cpu.h"
#include "programs.h"
#include "queues.h"

#include <array>
#include <climits>

namespace {

void do_nothing(pw_struct *) {}

} // namespace

TEST_CASE("a pending item is taken back with 1 and does not run, its neighbours do")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            start_order order;
            task_list items = numbered(order, cpu, 3);
            blocked_cpu blocked(cpu, way);
            for (const auto &each : items)
                REQUIRE(queue_by(way, *each) == 1);
            CHECK(items[1]->cancel() == 1);
            CHECK(items[1]->cancel() == 0);
            blocked.open();
            REQUIRE(flush_all(items) == 0);
            CHECK(order.started() == std::vector<int>{0, 2});
            // It is as good as new.
            CHECK(queue_by(way, *items[1]) == 1);
            REQUIRE(items[1]->flush() == 0);
            CHECK(order.started() == std::vector<int>{0, 2, 1});
        }
}

TEST_CASE("an item that is idle or runs is not taken back: 0")
{
    for (busy_item::route way : both_routes) {
        const int cpu = last_cpu();
        int runs = 0;
        task item(cpu, [&] { ++runs; });
        CHECK(item.cancel() == 0);
        CHECK(item.cancel_sync() == 0);
        REQUIRE(queue_by(way, item) == 1);
        REQUIRE(item.flush() == 0);
        CHECK(item.cancel() == 0);
        CHECK(item.cancel_sync() == 0);
        CHECK(runs == 1);

        int ended = 0;
        busy_item busy(cpu, way, [&] { ++ended; });
        CHECK(busy.item().cancel() == 0);
        busy.let_go();
        REQUIRE(busy.item().flush() == 0);
        CHECK(ended == 1);
    }
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu) {
        pw_struct never;
        INIT_PW(&never, do_nothing, cpu);
        CHECK(pw_cancel(&never) == 0);
        CHECK(pw_cancel_sync(&never) == 0);
    }
}

TEST_CASE("an item that was queued while it runs is taken back: it does not run once more")
{
    for (busy_item::route way : both_routes) {
        busy_item busy(last_cpu(), way);
        task &item = busy.item();
        CHECK(queue_by(way, item) == 1);
        CHECK(item.cancel() == 1);
        CHECK(item.cancel() == 0);
        CHECK(queue_by(way, item) == 1);
        CHECK(queue_by(way, item) == 0);
        CHECK(item.cancel() == 1);
        busy.let_go();
        REQUIRE(item.flush() == 0);
        CHECK(busy.runs() == 1);
        CHECK(queue_by(way, item) == 1);
        REQUIRE(item.flush() == 0);
        CHECK(busy.runs() == 2);
    }
}

TEST_CASE("a cancellation with something wrong is refused with -EINVAL")
{
    using cancel_call = int (*)(pw_struct *);
    cancel_call call = GENERATE(&pw_cancel, &pw_cancel_sync);
    CHECK(call(nullptr) == -EINVAL);
    pw_struct item = {};
    CHECK(call(&item) == -EINVAL);
    INIT_PW(&item, nullptr, first_cpu());
    CHECK(call(&item) == -EINVAL);
    for (int wrong : {-1, pw_nr_cpus(), pw_nr_cpus() + 1, INT_MAX, INT_MIN}) {
        INIT_PW(&item, do_nothing, wrong);
        CHECK(call(&item) == -EINVAL);
    }
}

TEST_CASE("an item that is queued again after it was taken back runs once, in its new place")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            start_order order;
            task_list items = numbered(order, cpu, 4);
            blocked_cpu blocked(cpu, way);
            REQUIRE(queue_by(way, *items[0]) == 1);
            REQUIRE(queue_by(way, *items[1]) == 1);
            REQUIRE(items[0]->cancel() == 1);
            REQUIRE(queue_by(way, *items[2]) == 1);
            CHECK(queue_by(way, *items[0]) == 1);
            CHECK(queue_by(way, *items[0]) == 0);
            REQUIRE(queue_by(way, *items[3]) == 1);
            blocked.open();
            REQUIRE(flush_all(items) == 0);
            CHECK(order.started() == std::vector<int>{1, 2, 0, 3});
        }
}

TEST_CASE("items that are taken back and queued again a thousand times run once, in their last places")
{
    for (busy_item::route way : both_routes) {
        const int cpu = last_cpu();
        start_order order;
        task_list items = numbered(order, cpu, 4);
        blocked_cpu blocked(cpu, way);
        for (int i : {0, 2, 1})
            REQUIRE(queue_by(way, *items[static_cast<size_t>(i)]) == 1);
        int wrong = 0;
        for (int n = 0; n < 1'000; ++n)
            for (size_t i : {1, 2}) {
                wrong += items[i]->cancel() != 1;
                wrong += queue_by(way, *items[i]) != 1;
            }
        CHECK(wrong == 0);
        REQUIRE(queue_by(way, *items[3]) == 1);
        blocked.open();
        REQUIRE(flush_all(items) == 0);
        CHECK(order.started() == rising(4));
        // Nothing of that is left: once more, and once each.
        for (const auto &each : items)
            REQUIRE(queue_by(way, *each) == 1);
        REQUIRE(flush_all(items) == 0);
        CHECK(order.started() == std::vector<int>{0, 1, 2, 3, 0, 1, 2, 3});
    }
}

TEST_CASE("an item that was taken back and queued again may free itself")
{
    for (busy_item::route way : both_routes) {
        const int cpu = last_cpu();
        std::atomic<long> runs{0}, freed{0};
        task last(cpu);
        blocked_cpu blocked(cpu, way);
        int wrong = 0;
        for (int n = 0; n < 100; ++n) {
            pw_struct *item = loose_item::make(cpu, loose_item::count_and_free, &runs, &freed);
            wrong += queue_by(way, *item) != 1;
            for (int times = 0; times < 1 + n % 3; ++times) {
                wrong += pw_cancel(item) != 1;
                wrong += queue_by(way, *item) != 1;
            }
        }
        CHECK(wrong == 0);
        REQUIRE(queue_by(way, last) == 1);
        blocked.open();
        REQUIRE(last.flush() == 0);
        CHECK(eventually([&] { return freed == 100; }));
        CHECK(runs == 100);
    }
}

TEST_CASE("a flush of an item that was taken back returns")
{
    for (busy_item::route way : both_routes)
        for (int round = 0; round < (sanitized ? 5 : 20); ++round) {
            const int cpu = last_cpu();
            int runs = 0, result = -1;
            task item(cpu, [&] { ++runs; });
            blocked_cpu blocked(cpu, way);
            REQUIRE(queue_by(way, item) == 1);
            waiting_thread flusher([&] { result = item.flush(); });
            REQUIRE(eventually([&] { return flusher.waits(); }));
            CHECK(item.cancel() == 1);
            // Nothing is left to wait for, although the CPU is still blocked.
            CHECK(item.flush() == 0);
            blocked.open();
            flusher.join();
            CHECK(result == 0);
            CHECK(item.flush() == 0);
            CHECK(runs == 0);
        }
}

TEST_CASE("a flush of an item that was taken back and queued again waits for its execution")
{
    for (busy_item::route way : both_routes)
        for (int round = 0; round < 50; ++round) {
            std::array<int, 1024> written = {};
            int result = -1, seen_first = 0, seen_last = 0;
            task item(last_cpu(), [&] { written.fill(1); });
            blocked_cpu blocked(last_cpu(), way);
            REQUIRE(queue_by(way, item) == 1);
            REQUIRE(item.cancel() == 1);
            REQUIRE(queue_by(way, item) == 1);
            door about_to;
            std::thread flusher([&] {
                about_to.open();
                result = item.flush();
                seen_first = written.front();
                seen_last = written.back();
            });
            about_to.wait();
            blocked.open();
            flusher.join();
            CHECK(result == 0);
            CHECK(seen_first == 1);
            CHECK(seen_last == 1);
        }
}

TEST_CASE("in its own function an item is taken back by pw_cancel, but pw_cancel_sync is -EDEADLK")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            int runs = 0;
            std::vector<int> results;
            task item(cpu, [&] {
                if (++runs > 1)
                    return;
                results = {item.cancel_sync(),  item.cancel(), queue_by(way, item), item.cancel_sync(),
                           queue_by(way, item), item.cancel(), item.cancel(),       queue_by(way, item)};
            });
            REQUIRE(queue_by(way, item) == 1);
            REQUIRE(item.flush() == 0);
            REQUIRE(item.flush() == 0); // the one that it queued
            CHECK(results == std::vector<int>{-EDEADLK, 0, 1, -EDEADLK, 0, 1, 0, 1});
            CHECK(runs == 2);
        }
}

TEST_CASE("while some queue and others take back, an item runs once for every 1 that was not taken back")
{
    using cancel_call = int (*)(pw_struct *);
    cancel_call cancel = GENERATE(&pw_cancel, &pw_cancel_sync);
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            // Plain on purpose: an item does not run concurrently with itself.
            long runs = 0;
            std::atomic<long> accepted{0}, taken{0}, wrong{0};
            task item(cpu, [&] { ++runs; });
            on_threads(4, [&](int thread) {
                for (int n = 0; n < 10'000 / scale; ++n) {
                    int result = thread < 2 ? queue_unless_canceled(way, item) : cancel(&item);
                    (thread < 2 ? accepted : taken) += result == 1;
                    wrong += result < 0;
                }
            });
            REQUIRE(item.flush() == 0);
            CHECK(wrong == 0);
            CHECK(accepted > 0);
            CHECK(runs == accepted - taken);
        }
}

TEST_CASE("child: a cancellation before the start and behind the stop", "[.child]")
{
    int runs = 0;
    {
        task item(given_cpus.front(), [&] { ++runs; });
        CHECK(item.cancel() == 0);
        CHECK(item.cancel_sync() == 0);
        // It has started nothing: so the program still may.
        CHECK(library_threads().empty());
        REQUIRE(pw_runtime_start(nullptr) == 0);
        REQUIRE(item.queue() == 1);
        REQUIRE(pw_runtime_stop() == 0);
        CHECK(runs == 1);
        CHECK(item.cancel() == 0);
        CHECK(item.cancel_sync() == 0);
    }
    CHECK(runs == 1);
}

TEST_CASE("a cancellation before the start and behind the stop finds nothing pending")
{
    require_passes("child: a cancellation before the start and behind the stop");
}
