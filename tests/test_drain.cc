// SPDX-License-Identifier: MIT
// Workqueues: draining and destroying them.
#include "time_limit.h"

#include "on_cpu.h"
#include "queues.h"

TEST_CASE("while a workqueue is drained only its own functions queue to it, and then it is as good as new")
{
    for (busy_item::route way : both_routes) {
        workqueue wq;
        const std::vector<int> cpus = worker_cpus();
        constexpr int length = 100;
        // Plain: one link runs after the other, and the drain orders us.
        long runs = 0, outsider_runs = 0, outsider_accepted = 0;
        std::atomic<long> refused{0}; // written behind the start of the next link
        int drained = -1;
        task_list chain;
        for (size_t i = 0; i < length; ++i)
            chain.push_back(std::make_unique<task>(cpus[i % cpus.size()], [&, i] {
                ++runs;
                if (i + 1 < length)
                    refused += queue_by(way, *chain[i + 1], wq) != 1;
            }));
        std::atomic<bool> entered{false}, returned{false};
        door leave;
        task first(last_cpu(), [&] {
            entered = true;
            leave.wait();
            refused += queue_by(way, *chain[0], wq) != 1;
        });
        task outsider(first_cpu(), [&] { ++outsider_runs; });
        waiting_thread runner([&] { queue_by(way, first, wq); });
        REQUIRE(eventually([&] { return entered.load(); }));
        waiting_thread drainer([&] {
            drained = wq.drain();
            returned = true;
        });
        int queued = 0;
        CHECK(eventually([&] {
            queued = queue_by(way, outsider, wq);
            outsider_accepted += queued == 1;
            return queued < 0;
        }));
        CHECK(queued == -ECANCELED);
        // A function of another workqueue is an outsider as well.
        int from_work = 0;
        if (first_cpu() != last_cpu() || (under_lock() && way == busy_item::by_strategy)) {
            task other(first_cpu(), [&] { from_work = queue_by(way, outsider, wq); });
            REQUIRE(queue_by(way, other) == 1);
            REQUIRE(other.flush() == 0);
            CHECK(from_work == -ECANCELED);
        }
        CHECK_FALSE(returned);
        leave.open();
        drainer.join();
        CHECK(drained == 0);
        CHECK(refused == 0);
        CHECK(runs == length);
        CHECK(outsider_runs == outsider_accepted);
        runner.join();
        CHECK(queue_by(way, outsider, wq) == 1);
        CHECK(wq.flush() == 0);
        CHECK(outsider_runs == outsider_accepted + 1);
    }
}

TEST_CASE("a drain waits for functions that queue themselves again and again")
{
    for (busy_item::route way : both_routes) {
        workqueue wq;
        const long many = 2'000 / scale;
        struct repeated {
            long runs = 0; // plain: the drain makes it visible
            std::atomic<bool> started{false};
            std::unique_ptr<task> item;
        };
        std::atomic<long> refused{0};
        std::vector<repeated> all(2 * worker_cpus().size());
        for (size_t i = 0; i < all.size(); ++i) {
            repeated &mine = all[i];
            mine.item = std::make_unique<task>(worker_cpus()[i / 2], [&, many] {
                mine.started = true;
                if (++mine.runs < many)
                    refused += queue_by(way, *mine.item, wq) != 1;
            });
        }
        // Under lock a caller is busy with its item until that has ended.
        std::vector<std::unique_ptr<waiting_thread>> callers;
        for (repeated &each : all)
            callers.push_back(
                std::make_unique<waiting_thread>([&] { refused += queue_by(way, *each.item, wq) != 1; }));
        for (repeated &each : all)
            REQUIRE(eventually([&] { return each.started.load(); }));
        REQUIRE(wq.drain() == 0);
        for (repeated &each : all)
            CHECK(each.runs == many);
        callers.clear();
        CHECK(refused == 0);
        CHECK(wq.drain() == 0);
    }
}

TEST_CASE("several drain at once, and while others queue: what was accepted runs, and drains end")
{
    for (busy_item::route way : both_routes) {
        workqueue wq;
        std::atomic<long> runs{0}, accepted{0}, wrong{0};
        const std::vector<int> cpus = worker_cpus();
        task_list items;
        for (int i = 0; i < 4; ++i)
            items.push_back(
                std::make_unique<task>(cpus[static_cast<size_t>(i) % cpus.size()], [&] { ++runs; }));
        on_threads(4, [&](int thread) {
            for (int n = 0; n < 1'000 / scale; ++n) {
                if (thread < 2 && n % 4 == 0) {
                    wrong += wq.drain() != 0;
                } else {
                    auto which = static_cast<size_t>(n + thread) % items.size();
                    int result = queue_unless_canceled(way, *items[which], wq);
                    accepted += result == 1;
                    wrong += result < 0;
                }
            }
        });
        REQUIRE(wq.drain() == 0);
        CHECK(wrong == 0);
        CHECK(accepted > 0);
        CHECK(runs == accepted);
        // Nobody drains it any more.
        CHECK(queue_by(way, *items[0], wq) == 1);
        CHECK(wq.flush() == 0);
    }
}

TEST_CASE("the system workqueue cannot be drained, and nothing is destroyed by destroying NULL")
{
    CHECK(pw_workqueue_drain(nullptr) == -EINVAL);
    CHECK(pw_workqueue_destroy(nullptr) == 0);
    task item(first_cpu());
    CHECK(item.queue() == 1);
}

TEST_CASE("destroying a workqueue drains it, and later use of it is -EINVAL")
{
    for (busy_item::route way : both_routes) {
        const int cpu = last_cpu();
        pw_workqueue *wq = pw_workqueue_create("short-lived", 0);
        REQUIRE(wq);
        int runs = 0, chained = 0, result = -1;
        task next(first_cpu(), [&] { ++runs; });
        task item(cpu, [&] { chained = queue_by(way, next, wq); });
        delayed_task timer(cpu);
        blocked_cpu blocked(cpu, way);
        REQUIRE(queue_by(way, item, wq) == 1);
        waiting_thread destroyer([&] { result = pw_workqueue_destroy(wq); });
        REQUIRE(eventually([&] { return destroyer.waits(); }));
        blocked.open();
        destroyer.join();
        CHECK(result == 0);
        CHECK(chained == 1);
        CHECK(runs == 1);

        CHECK(queue_by(way, item, wq) == -EINVAL);
        CHECK(timer.arm(0, wq) == -EINVAL);
        CHECK(timer.mod(0, wq) == -EINVAL);
        CHECK(pw_workqueue_flush(wq) == -EINVAL);
        CHECK(pw_workqueue_drain(wq) == -EINVAL);
        CHECK(pw_workqueue_destroy(wq) == -EINVAL);
        // The items are as good as new.
        CHECK(item.flush() == 0);
        CHECK(item.cancel() == 0);
        CHECK(queue_by(way, next) == 1);
        CHECK(next.flush() == 0);
        CHECK(runs == 2);
    }
}

TEST_CASE("many workqueues exist at once, and come and go")
{
    for (int round = 0; round < 20 / (sanitized ? 10 : 1); ++round) {
        std::atomic<int> runs{0};
        int wrong = 0;
        std::vector<pw_workqueue *> all;
        task_list items;
        for (int i = 0; i < 100; ++i) {
            all.push_back(
                pw_workqueue_create(("wq-" + std::to_string(i)).c_str(), i % 2 ? PW_WQ_HIGHPRI : 0));
            REQUIRE(all.back());
            items.push_back(std::make_unique<task>(last_cpu(), [&] { ++runs; }));
            wrong += queue_by(busy_item::by_worker, *items.back(), all.back()) != 1;
        }
        for (pw_workqueue *each : all)
            wrong += pw_workqueue_destroy(each) != 0;
        CHECK(wrong == 0);
        CHECK(runs == 100);
    }
}
