// SPDX-License-Identifier: MIT
// Delayed items: taking them back, flushing them, and what becomes of armed ones when their workqueue or the
// runtime ends.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "queues.h"

#include <array>

TEST_CASE("a delayed item is taken back while it is armed or waits, and not while it is idle")
{
    for (int cpu : worker_cpus())
        for (uint64_t delay : no_time()) {
            int runs = 0;
            delayed_task item(cpu, [&] { ++runs; }), behind(cpu);
            CHECK(item.cancel_sync() == 0);
            CHECK(item.arm(hour) == 1);
            CHECK(item.cancel_sync() == 1);
            CHECK(item.cancel_sync() == 0);
            // By its work as well.
            for (auto cancel : {&pw_cancel, &pw_cancel_sync}) {
                CHECK(item.arm(hour) == 1);
                CHECK(cancel(&item.work) == 1);
                CHECK(cancel(&item.work) == 0);
            }
            blocked_timers blocked(cpu);
            REQUIRE(item.arm(delay) == 1);
            REQUIRE(behind.arm(delay) == 1);
            CHECK(pw_cancel(&item.work) == 1);
            CHECK(item.arm(delay) == 1);
            // It may have to wait until nothing holds the item any more.
            int result = -1;
            std::atomic<bool> returned{false};
            waiting_thread canceller([&] {
                result = item.cancel_sync();
                returned = true;
            });
            REQUIRE(eventually([&] { return canceller.waits() || returned; }));
            blocked.open();
            canceller.join();
            CHECK(result == 1);
            REQUIRE(behind.flush() == 0);
            CHECK(runs == 0);
        }
}

TEST_CASE("an armed item that was taken back may be freed at once")
{
    for (int cpu : worker_cpus()) {
        std::atomic<long> runs{0};
        long taken = 0;
        const long many = 5'000 / scale;
        for (long n = 0; n < many; ++n) {
            auto item = std::make_unique<delayed_task>(cpu, [&] { ++runs; });
            REQUIRE(item->arm(n % 3 == 0 ? hour : static_cast<uint64_t>(n % 50) * 1'000) == 1);
            taken += item->cancel_sync() == 1;
            memset(static_cast<void *>(static_cast<pw_delayed *>(item.get())), 0, sizeof(pw_delayed));
            INIT_PW_DELAYED(
                item.get(), [](pw_struct *) {}, cpu);
        }
        CHECK(taken >= many / 3);
        CHECK(runs == many - taken);
    }
}

TEST_CASE("-ECANCELED: taking back a delayed item waits for a running one, which meanwhile cannot be armed")
{
    const int cpu = last_cpu();
    std::array<int, 1024> written = {};
    door entered, leave;
    int round = 0, result = -1, seen_first = 0, seen_last = 0;
    std::atomic<bool> returned{false};
    delayed_task item(cpu, [&] {
        if (round == 0) {
            entered.open();
            leave.wait();
        }
        written.fill(++round);
    });
    REQUIRE(item.arm(ms) == 1);
    entered.wait();
    waiting_thread canceller([&] {
        result = item.cancel_sync();
        seen_first = written.front();
        seen_last = written.back();
        returned = true;
    });
    // Until it has come, the item gets armed.
    int accepted = 0, armed = 0;
    CHECK(eventually([&] {
        armed = item.arm(hour);
        accepted += armed == 1;
        return armed < 0;
    }));
    CHECK(armed == -ECANCELED);
    CHECK(item.arm(0) == -ECANCELED);
    CHECK(item.mod(0) == -ECANCELED);
    CHECK_FALSE(returned);
    leave.open();
    canceller.join();
    CHECK(result == accepted);
    CHECK(seen_first == 1);
    CHECK(seen_last == 1);
    // Afterwards it can be.
    CHECK(item.arm(ms) == 1);
    REQUIRE(item.flush() == 0);
    CHECK(round == 2);
}

TEST_CASE("taking back ends a delayed item that arms itself")
{
    for (int cpu : worker_cpus())
        for (uint64_t delay : {no_time().front(), uint64_t{50'000}, hour}) {
            std::atomic<long> runs{0}, accepted{0}, wrong{0};
            std::atomic<bool> inside{false};
            long taken = 0;
            delayed_task item(cpu, [&] {
                inside = true;
                ++runs;
                int result = item.arm(delay);
                accepted += result == 1;
                wrong += result != 1 && result != -ECANCELED;
                inside = false;
            });
            for (int n = 0; n < 40 / (sanitized ? 4 : 1); ++n) {
                const long before = runs;
                REQUIRE(item.arm(1) == 1);
                ++accepted;
                REQUIRE(eventually([&] { return runs > before; }));
                taken += item.cancel_sync() == 1;
                CHECK_FALSE(inside);
                CHECK(runs == accepted - taken);
            }
            CHECK(wrong == 0);
        }
}

TEST_CASE("-EDEADLK: a delayed item's own function can neither take it back with a wait nor flush it")
{
    for (int cpu : worker_cpus()) {
        std::vector<int> results;
        int runs = 0;
        delayed_task item(cpu, [&] {
            if (++runs == 1)
                results = {item.cancel_sync(), item.flush(),          item.arm(hour), item.cancel_sync(),
                           item.arm(0),        pw_cancel(&item.work), item.arm(0)};
        });
        REQUIRE(item.arm(ms) == 1);
        REQUIRE(item.flush() == 0);
        REQUIRE(item.flush() == 0); // the one that it armed
        CHECK(results == std::vector<int>{-EDEADLK, -EDEADLK, 1, -EDEADLK, 0, 1, 1});
        CHECK(runs == 2);
    }
}

TEST_CASE("a flush runs an armed item now and waits for it")
{
    for (int cpu : worker_cpus())
        for (uint64_t delay : {uint64_t{0}, ms, hour, UINT64_MAX}) {
            std::array<int, 256> written = {};
            int round = 0, wrong = 0;
            delayed_task item(cpu, [&] { written.fill(round); });
            CHECK(item.flush() == 0);
            CHECK(written.back() == 0);
            for (round = 1; round <= 200 / scale; ++round) {
                wrong += item.arm(delay) != 1;
                wrong += item.flush() != 0;
                wrong += written.front() != round || written.back() != round;
                wrong += item.flush() != 0;
            }
            CHECK(wrong == 0);
            CHECK(item.cancel_sync() == 0);
        }
}

TEST_CASE("a flush waits for a delayed item that has fallen due or runs")
{
    for (uint64_t delay : no_time()) {
        int runs = 0, result = -1, running_result = -1, seen = 0;
        delayed_task item(last_cpu(), [&] { ++runs; });
        blocked_timers blocked(last_cpu());
        REQUIRE(item.arm(delay) == 1);
        waiting_thread flusher([&] {
            result = item.flush();
            seen = runs;
        });
        waiting_thread other([&] { running_result = blocked.item().flush(); });
        // Under lock the first one may run the item itself, since its own CPU's timers are blocked.
        REQUIRE(eventually([&] { return other.waits() && (flusher.waits() || under_lock()); }));
        blocked.open();
        flusher.join();
        other.join();
        CHECK(result == 0);
        CHECK(running_result == 0);
        CHECK(seen == 1);
    }
}

TEST_CASE("a function may arm and flush delayed items of other CPUs")
{
    const int here = first_cpu(), there = last_cpu();
    if (here == there) {
        WARN("skipped: one CPU only");
        return;
    }
    for (busy_item::route way : both_routes)
        for (int n = 0; n < 200 / scale; ++n) {
            int written = 0, armed = 0, flushed = -1, seen = 0;
            delayed_task inner(there, [&] { written = 1; });
            task outer(here, [&] {
                armed = inner.arm(n % 2 ? hour : 0);
                flushed = inner.flush();
                seen = written;
            });
            REQUIRE(queue_by(way, outer) == 1);
            REQUIRE(outer.flush() == 0);
            CHECK(armed == 1);
            CHECK(flushed == 0);
            CHECK(seen == 1);
        }
}

TEST_CASE("an armed item stays armed when its workqueue is flushed or drained, and cannot be armed meanwhile")
{
    workqueue wq;
    const int cpu = last_cpu();
    std::atomic<bool> entered{false}, soon_ran{false};
    int runs = 0, drained = -1;
    door leave;
    task first(cpu, [&] {
        entered = true;
        leave.wait();
    });
    delayed_task far(first_cpu(), [&] { ++runs; }), late(first_cpu()),
        soon(first_cpu(), [&] { soon_ran = true; });
    REQUIRE(far.arm(hour, wq) == 1);
    CHECK(wq.flush() == 0);
    CHECK(wq.drain() == 0);
    waiting_thread runner([&] { queue_by(busy_item::by_strategy, first, wq); });
    REQUIRE(eventually([&] { return entered.load(); }));
    REQUIRE(soon.arm(hour, wq) == 1);
    waiting_thread drainer([&] { drained = wq.drain(); });
    int armed = 0;
    CHECK(eventually([&] {
        armed = late.arm(hour, wq);
        late.cancel_sync();
        return armed < 0;
    }));
    CHECK(armed == -ECANCELED);
    // One whose time has come meanwhile runs, unless its worker is the busy one.
    int flushed = -1;
    waiting_thread flusher([&] { flushed = soon.flush(); });
    if (first_cpu() != last_cpu() || under_lock())
        CHECK(eventually([&] { return soon_ran.load(); }));
    leave.open();
    drainer.join();
    flusher.join();
    CHECK(drained == 0);
    CHECK(flushed == 0);
    CHECK(runs == 0);
    CHECK(far.arm(0, wq) == 0);
    CHECK(far.cancel_sync() == 1);
    CHECK(late.arm(hour, wq) == 1);
    CHECK(runs == 0);
}

TEST_CASE("destroying a workqueue runs its armed items now, in their order, and no others")
{
    constexpr int many = 10;
    for (unsigned flags : {0u, PW_WQ_HIGHPRI})
        for (int cpu : worker_cpus()) {
            workqueue wq("test", flags);
            start_order order;
            int other_runs = 0;
            std::vector<std::unique_ptr<delayed_task>> items;
            delayed_task other(cpu, [&] { ++other_runs; });
            REQUIRE(other.arm(hour) == 1);
            for (int i = 0; i < many; ++i) {
                items.push_back(std::make_unique<delayed_task>(cpu, [&, i] { order.add(i); }));
                // The later ones have the same time: the end.
                REQUIRE(items.back()->arm(i < many / 2 ? hour * static_cast<uint64_t>(i + 1) : UINT64_MAX,
                                          wq) == 1);
            }
            REQUIRE(wq.destroy() == 0);
            CHECK(order.started() == rising(many));
            CHECK(other_runs == 0);
            CHECK(other.cancel_sync() == 1);
            for (const auto &each : items)
                CHECK(each->cancel_sync() == 0);
        }
}

TEST_CASE("child: a stop runs what is armed", "[.child]")
{
    REQUIRE(pw_runtime_start(nullptr) == 0);
    workqueue wq("test", PW_WQ_HIGHPRI);
    struct armed_item {
        pw_workqueue *to = nullptr;
        int runs = 0, again = 0;
        std::unique_ptr<delayed_task> item;
    };
    std::vector<armed_item> all(4 * worker_cpus().size());
    for (size_t i = 0; i < all.size(); ++i) {
        armed_item &mine = all[i];
        mine.to = i % 4 < 2 ? static_cast<pw_workqueue *>(wq) : nullptr;
        mine.item = std::make_unique<delayed_task>(worker_cpus()[i / 4], [&mine] {
            ++mine.runs;
            mine.again = mine.item->arm(0, mine.to);
        });
        REQUIRE(mine.item->arm(i % 2 ? hour : UINT64_MAX, mine.to) == 1);
    }
    REQUIRE(pw_runtime_stop() == 0);
    for (armed_item &each : all) {
        // Plain numbers: what work wrote is visible when the stop has returned.
        CHECK(each.runs == 1);
        CHECK(each.again == -ESHUTDOWN);
        CHECK(each.item->arm(hour, each.to) == -ESHUTDOWN);
        CHECK(each.item->mod(hour, each.to) == -ESHUTDOWN);
        CHECK(each.item->flush() == 0);
        CHECK(each.item->cancel_sync() == 0);
    }
    // The next start knows nothing of them.
    REQUIRE(pw_runtime_start(nullptr) == 0);
    int runs = 0;
    delayed_task item(given_cpus.back(), [&] { ++runs; });
    CHECK(item.arm(hour) == 1);
    CHECK(item.mod(ms) == 1);
    CHECK(item.flush() == 0);
    CHECK(runs == 1);
    REQUIRE(pw_runtime_stop() == 0);
    for (const armed_item &each : all)
        CHECK(each.runs == 1);
}

TEST_CASE("a stop runs now, once, what is armed")
{
    require_passes("child: a stop runs what is armed");
}

TEST_CASE("child: a delayed item of a CPU without a worker", "[.child]")
{
    delayed_task item(given_cpus.back());
    REQUIRE(pw_runtime_start(("cpus=" + std::to_string(given_cpus.front())).c_str()) == 0);
    CHECK(item.arm(0) == -ENODEV);
    CHECK(item.mod(hour) == -ENODEV);
    CHECK(item.cancel_sync() == 0);
    CHECK(item.flush() == 0);
}

TEST_CASE("a delayed item of a CPU without a worker is refused with -ENODEV")
{
    if (given_cpus.size() < 2) {
        WARN("skipped: one CPU only");
        return;
    }
    require_passes("child: a delayed item of a CPU without a worker");
}
