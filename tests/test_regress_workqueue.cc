// SPDX-License-Identifier: MIT
// What reviews have found wrong in workqueues: each once more, as what should happen instead, under both
// strategies.
#include "time_limit.h"

#include "on_cpu.h"
#include "queues.h"

#include <algorithm>

TEST_CASE("-EDEADLK: a delayed function cannot destroy a workqueue with items armed for its own CPU")
{
    for (int cpu : worker_cpus()) {
        workqueue wq;
        std::atomic<int> runs{0}, result{1};
        delayed_task armed(cpu, [&] { ++runs; });
        delayed_task destroyer(cpu, [&] { result = wq.destroy(); });
        REQUIRE(armed.arm(hour, wq) == 1);
        REQUIRE(destroyer.arm(1) == 1);
        CHECK(eventually([&] { return result != 1; }));
        CHECK(result == -EDEADLK);
        // It is still there.
        CHECK(destroyer.cancel_sync() == 0);
        CHECK(wq.destroy() == 0);
        CHECK(runs == 1);
    }
}

TEST_CASE(
    "a workqueue with 20,000 armed items is destroyed: each has run once, while others queue to the CPU")
{
    const int cpu = last_cpu();
    const size_t many = 20'000 / static_cast<size_t>(scale);
    struct counted : pw_delayed {
        int runs = 0;
        static void run(pw_struct *item)
        {
            ++static_cast<counted *>(reinterpret_cast<pw_delayed *>(item))->runs;
        }
    };
    std::vector<counted> items(many);
    workqueue wq;
    size_t refused = 0;
    for (counted &each : items) {
        INIT_PW_DELAYED(&each, counted::run, cpu);
        refused += pw_queue_delayed_on(cpu, wq, &each, hour) != 1;
    }
    CHECK(refused == 0);
    std::atomic<bool> destroyed{false};
    std::atomic<long> beside{0}, wrong{0};
    task item(cpu);
    std::thread other([&] {
        while (!destroyed) {
            wrong += item.queue() < 0;
            ++beside;
        }
    });
    CHECK(eventually([&] { return beside > 0; }));
    CHECK(wq.destroy() == 0);
    size_t once = 0;
    for (const counted &each : items)
        once += each.runs == 1;
    destroyed = true;
    other.join();
    CHECK(once == many);
    CHECK(wrong == 0);
}

TEST_CASE("an item that is armed to one workqueue while it is armed anew to another leaves neither waiting")
{
    const int cpu = last_cpu();
    workqueue wq;
    std::atomic<bool> enough{false};
    std::atomic<long> wrong{0};
    {
        delayed_task item(cpu);
        std::thread other([&] {
            while (!enough)
                wrong += item.arm(0) < 0;
        });
        for (int n = 0; n < 20'000 / scale; ++n) {
            wrong += item.mod(ms, wq) < 0;
            if (n % 3 == 0)
                wrong += pw_cancel(&item.work) < 0;
        }
        enough = true;
        other.join();
        CHECK(item.cancel_sync() >= 0);
    }
    CHECK(wrong == 0);
    // This waits for whatever is taken to be armed.
    CHECK(wq.destroy() == 0);
}

TEST_CASE("a function waits for the workqueue of one that queued it, or gets -EDEADLK where that is below it")
{
    const int here = first_cpu();
    for (int there : {first_cpu(), last_cpu()}) {
        CAPTURE(there);
        workqueue outer_wq("outer"), inner_wq("inner");
        std::vector<int> results;
        int queued = -1;
        std::atomic<bool> ended{false};
        bool behind = false;
        task inner(there, [&] {
            results = {outer_wq.flush()};
            behind = ended;
            results.push_back(outer_wq.drain());
        });
        task outer(here, [&] {
            queued = queue_by(busy_item::by_strategy, inner, inner_wq);
            ended = true;
        });
        REQUIRE(queue_by(busy_item::by_worker, outer, outer_wq) == 1);
        REQUIRE(outer.flush() == 0);
        REQUIRE(inner.flush() == 0);
        CHECK(queued == 1);
        // Under lock the inner one runs on the outer one's stack.
        CHECK(results == (under_lock() ? std::vector<int>{-EDEADLK, -EDEADLK} : std::vector<int>{0, 0}));
        CHECK(behind == !under_lock());
    }
}

TEST_CASE(
    "no normal item waits behind more than 16 high-priority ones, also where others in front were taken back")
{
    constexpr int high = 100;
    for (int cpu : worker_cpus())
        for (int in_front : {1, 4, 40}) {
            workqueue normal("normal"), first("first", PW_WQ_HIGHPRI);
            start_order order;
            task_list cancelled = numbered(order, cpu, in_front, -in_front), slow = numbered(order, cpu, 1),
                      fast = numbered(order, cpu, 64, high);
            busy_item busy(cpu, busy_item::by_worker);
            int wrong = 0;
            for (const auto &each : cancelled)
                wrong += queue_by(busy_item::by_worker, *each, normal) != 1;
            wrong += queue_by(busy_item::by_worker, *slow[0], normal) != 1;
            for (const auto &each : cancelled)
                wrong += each->cancel() != 1;
            for (const auto &each : fast)
                wrong += queue_by(busy_item::by_worker, *each, first) != 1;
            CHECK(wrong == 0);
            busy.let_go();
            REQUIRE(normal.flush() == 0);
            REQUIRE(first.flush() == 0);
            const std::vector<int> started = order.started();
            REQUIRE(started.size() == 65);
            CHECK(std::find(started.begin(), started.end(), 0) - started.begin() == PW_WQ_HIGHPRI_BURST);
        }
}

TEST_CASE("a function that ran behind another workqueue's item, or was delayed, may flush that workqueue")
{
    for (int cpu : worker_cpus()) {
        workqueue wq;
        std::atomic<int> flushed{1}, flushed_delayed{1};
        task item(cpu, [&] { flushed = pw_workqueue_flush(nullptr); });
        delayed_task delayed(cpu, [&] { flushed_delayed = pw_workqueue_flush(nullptr); });
        {
            blocked_cpu blocked(cpu); // by an item of the system workqueue
            REQUIRE(queue_by(busy_item::by_strategy, item, wq) == 1);
            blocked.open();
        }
        CHECK(item.flush() == 0);
        CHECK(flushed == 0);
        REQUIRE(delayed.arm(1, wq) == 1);
        CHECK(eventually([&] { return flushed_delayed != 1; }));
        CHECK(flushed_delayed == 0);
    }
}

TEST_CASE("an item that queues itself does not keep what waits behind it from running")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            std::atomic<bool> ran{false}, enough{false};
            std::atomic<long> turns{0}, wrong{0};
            task *self = nullptr;
            task item(cpu, [&] { ran = true; }), again(cpu, [&] {
                ++turns;
                take_a_moment();
                if (!ran && !enough)
                    wrong += queue_by(way, *self) != 1;
            });
            self = &again;
            blocked_cpu blocked(cpu, way);
            REQUIRE(queue_by(way, again) == 1);
            REQUIRE(queue_by(way, item) == 1);
            blocked.open();
            CHECK(eventually([&] { return ran.load(); }));
            enough = true;
            CHECK(item.flush() == 0);
            CHECK(again.flush() == 0);
            CHECK(turns >= 1);
            CHECK(wrong == 0);
        }
}
