// SPDX-License-Identifier: MIT
// Guarantee 5 of DESIGN.md section 6: items that one thread queues to one CPU start in that order, whoever runs them.
#include "time_limit.h"

#include "on_cpu.h"
#include "queues.h"

#include <algorithm>
#include <memory>
#include <random>

TEST_CASE("guarantee 5: each thread's items start in the order in which it queued them")
{
    const int threads = 4, many = 2'000 / scale;
    for (int cpu : worker_cpus())
        for (bool to_worker : {false, true}) {
            std::vector<start_order> orders(threads);
            std::vector<task_list> items;
            for (int i = 0; i < threads; ++i)
                items.push_back(numbered(orders[static_cast<size_t>(i)], cpu, many));
            std::atomic<int> refused{0};
            on_threads(threads, [&](int i) {
                for (const auto &each : items[static_cast<size_t>(i)])
                    refused += (to_worker ? each->queue_to_worker() : each->queue()) != 1;
            });
            CHECK(refused == 0);
            for (int i = 0; i < threads; ++i) {
                CHECK(flush_all(items[static_cast<size_t>(i)]) == 0);
                CHECK(orders[static_cast<size_t>(i)].started() == rising(many));
            }
        }
}

TEST_CASE("guarantee 5: what is queued behind an item that runs elsewhere starts behind it")
{
    // Under queue the worker runs the busy item; under lock another thread does, and gets it handed once more.
    const int cpu = last_cpu();
    start_order order;
    busy_item busy(cpu, busy_item::by_strategy, [&] { order.add(0); });
    task second(cpu, [&] { order.add(1); }), third(cpu, [&] { order.add(2); });
    CHECK(busy.item().queue() == 1);
    CHECK(second.queue() == 1);
    CHECK(third.queue() == 1);
    CHECK(second.queue() == 0);
    // Neither may start while the execution that our first call was promised has not.
    CHECK(order.started().empty());
    busy.let_go();
    REQUIRE(third.flush() == 0);
    REQUIRE(second.flush() == 0);
    REQUIRE(busy.item().flush() == 0);
    CHECK(order.started() == std::vector<int>{0, 0, 1, 2});

    // The list is empty again: what comes now does not go into it.
    CHECK(third.queue() == 1);
    if (under_lock())
        CHECK(order.started().size() == 5);
    REQUIRE(third.flush() == 0);
    CHECK(second.queue() == 1);
    REQUIRE(second.flush() == 0);
    CHECK(order.started() == std::vector<int>{0, 0, 1, 2, 2, 1});
}

TEST_CASE("guarantee 5: the order of one thread binds no other thread under lock, and every thread under queue")
{
    const int cpu = last_cpu();
    start_order order;
    busy_item busy(cpu);
    CHECK(busy.item().queue() == 1);
    task mine(cpu, [&] { order.add(1); }), its(cpu, [&] { order.add(2); });
    CHECK(mine.queue() == 1);
    int result = 0;
    std::thread([&] { result = its.queue(); }).join();
    CHECK(result == 1);
    CHECK(order.started() == (under_lock() ? std::vector<int>{2} : std::vector<int>{}));
    busy.let_go();
    REQUIRE(mine.flush() == 0);
    REQUIRE(its.flush() == 0);
    CHECK(order.started() == (under_lock() ? std::vector<int>{2, 1} : std::vector<int>{1, 2}));
}

TEST_CASE("guarantee 5: two busy items and what one thread queues between them")
{
    const int cpu = last_cpu();
    start_order order;
    if (under_lock()) {
        busy_item a(cpu, busy_item::by_strategy, [&] { order.add(0); });
        busy_item b(cpu, busy_item::by_strategy, [&] { order.add(10); });
        task between(cpu, [&] { order.add(5); }), last(cpu, [&] { order.add(20); });
        CHECK(a.item().queue() == 1);
        CHECK(between.queue() == 1);
        CHECK(b.item().queue() == 1);
        CHECK(last.queue() == 1);
        // The second one ends first; its next execution still comes behind the first one's.
        b.let_go();
        CHECK(order.started() == std::vector<int>{10});
        a.let_go();
        REQUIRE(last.flush() == 0);
        CHECK(order.started() == std::vector<int>{10, 0, 0, 5, 10, 20});
    } else {
        busy_item a(cpu, busy_item::by_strategy, [&] { order.add(0); });
        task between(cpu, [&] { order.add(5); }), last(cpu, [&] { order.add(20); });
        CHECK(a.item().queue() == 1);
        CHECK(between.queue() == 1);
        CHECK(last.queue() == 1);
        a.let_go();
        REQUIRE(last.flush() == 0);
        CHECK(order.started() == std::vector<int>{0, 0, 5, 20});
    }
}

TEST_CASE("guarantee 5: an item that queues itself and then others starts again before them")
{
    const int rounds = 400 / scale;
    for (int cpu : worker_cpus()) {
        start_order order;
        int round = 0, refused = 0;
        task_list others = numbered(order, cpu, 3);
        // How much had started when a call of another item was about to be accepted.
        std::vector<std::vector<size_t>> accepted(others.size());
        std::atomic<bool> over{false};
        task self(cpu, [&] {
            order.add(100);
            if (++round > rounds) {
                over = true;
                return;
            }
            refused += self.queue() != 1;
            for (size_t i = 0; i < others.size(); ++i) {
                size_t before = order.started().size();
                int result = others[i]->queue();
                refused += result < 0;
                if (result == 1)
                    accepted[i].push_back(before);
            }
        });
        REQUIRE(self.queue() == 1);
        REQUIRE(eventually([&] { return over.load(); }));
        REQUIRE(self.flush() == 0);
        REQUIRE(flush_all(others) == 0);
        CHECK(refused == 0);
        const std::vector<int> started = order.started();
        CHECK(std::count(started.begin(), started.end(), 100) == rounds + 1);
        // An item's executions and its accepted calls go together one by one. Between the two, `self` started again.
        long too_early = 0;
        for (size_t i = 0; i < others.size(); ++i) {
            auto next = started.begin();
            for (size_t before : accepted[i]) {
                next = std::find(next, started.end(), static_cast<int>(i));
                REQUIRE(next != started.end());
                auto again = std::find(started.begin() + static_cast<long>(before), started.end(), 100);
                too_early += next++ < again;
            }
            CHECK(std::find(next, started.end(), static_cast<int>(i)) == started.end());
            CHECK_FALSE(accepted[i].empty());
        }
        CHECK(too_early == 0);
    }
}

TEST_CASE("guarantee 5: what a function queues to another CPU starts there in that order")
{
    const int many = 500 / scale;
    const int from = first_cpu(), to = last_cpu();
    start_order order;
    task_list items = numbered(order, to, many);
    int refused = 0;
    task producer(from, [&] {
        for (const auto &each : items)
            refused += each->queue() != 1;
    });
    REQUIRE(producer.queue() == 1);
    REQUIRE(producer.flush() == 0);
    CHECK(flush_all(items) == 0);
    CHECK(refused == 0);
    CHECK(order.started() == rising(many));
}

TEST_CASE("guarantee 5: between items that several threads share and a thread's own")
{
    // Each thread queues an item that all of them use, then one of its own. If the shared one was accepted (1), an execution of it
    // must have started behind that call and before the thread's own item starts.
    const int threads = 4, shared_count = 3;
    for (int cpu : worker_cpus()) {
        std::atomic<long> clock{1};
        std::vector<std::atomic<long>> started(shared_count);
        task_list shared;
        for (size_t i = 0; i < shared_count; ++i)
            shared.push_back(std::make_unique<task>(cpu, [&, i] {
                started[i] = clock++;
                // Sometimes long enough for others to find it running.
                if (started[i] % 8 == 0)
                    std::this_thread::yield();
            }));
        std::atomic<long> wrong{0}, refused{0}, checked{0};
        on_threads(threads, [&](int thread) {
            std::minstd_rand random(static_cast<unsigned>(thread + 1));
            long queued_at = 0;
            size_t which = 0;
            task own(cpu, [&] {
                wrong += started[which] < queued_at;
                ++checked;
            });
            for (int n = 0; n < 2'000 / scale; ++n) {
                which = random() % shared_count;
                queued_at = clock++;
                int result = shared[which]->queue();
                refused += result < 0;
                if (result == 0)
                    queued_at = 0;
                refused += own.queue() != 1;
                refused += own.flush() != 0;
            }
        });
        CHECK(wrong == 0);
        CHECK(refused == 0);
        CHECK(checked == threads * (2'000 / scale));
        CHECK(flush_all(shared) == 0);
    }
}

TEST_CASE("guarantee 5: between items that several threads share, without waiting in between")
{
    // As above, but each thread has a row of own items behind its shared ones, so that lists get long.
    const int threads = 4, row = 16;
    for (int cpu : worker_cpus()) {
        std::atomic<long> clock{1}, wrong{0}, refused{0};
        std::atomic<long> started{0};
        task shared(cpu, [&] {
            started = clock++;
            std::this_thread::yield();
        });
        std::atomic<long> checked{0}, expected{0};
        on_threads(threads, [&](int) {
            struct step {
                long queued_at = 0;
            };
            std::vector<step> steps(row);
            std::vector<int> order;
            task_list own;
            for (int i = 0; i < row; ++i)
                own.push_back(std::make_unique<task>(cpu, [&, i] {
                    wrong += started < steps[static_cast<size_t>(i)].queued_at;
                    order.push_back(i);
                    ++checked;
                }));
            for (int n = 0; n < 120 / scale; ++n) {
                order.clear();
                for (int i = 0; i < row; ++i) {
                    long now = clock++;
                    int result = shared.queue();
                    refused += result < 0;
                    steps[static_cast<size_t>(i)].queued_at = result == 1 ? now : 0;
                    refused += own[static_cast<size_t>(i)]->queue() != 1;
                    ++expected;
                }
                refused += flush_all(own);
                wrong += order != rising(row);
            }
        });
        REQUIRE(shared.flush() == 0);
        CHECK(wrong == 0);
        CHECK(refused == 0);
        CHECK(checked == expected);
    }
}
