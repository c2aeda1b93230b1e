// SPDX-License-Identifier: MIT
// pw_cancel_sync(): what it waits for, what it keeps out meanwhile, and that the item is free afterwards.
#include "time_limit.h"

#include "loose_item.h"
#include "on_cpu.h"
#include "queues.h"

#include <algorithm>
#include <array>
#include <random>

TEST_CASE("-ECANCELED: pw_cancel_sync waits for a running item, which meanwhile cannot be queued")
{
    for (busy_item::route way : both_routes) {
        std::array<int, 1024> written = {};
        int round = 0, result = -1, seen_first = 0, seen_last = 0;
        std::atomic<bool> returned{false};
        busy_item busy(last_cpu(), way, [&] { written.fill(++round); });
        waiting_thread canceller([&] {
            result = busy.item().cancel_sync();
            seen_first = written.front();
            seen_last = written.back();
            returned = true;
        });
        // Until it has come, the item becomes pending.
        int accepted = 0, queued = 0;
        bool refused = eventually([&] {
            queued = queue_by(way, busy.item());
            accepted += queued == 1;
            return queued < 0;
        });
        CHECK(refused);
        CHECK(queued == -ECANCELED);
        CHECK(queue_by(way, busy.item()) == -ECANCELED);
        CHECK_FALSE(returned);
        busy.let_go();
        canceller.join();
        CHECK(result == accepted);
        CHECK(seen_first == 1);
        CHECK(seen_last == 1);
        CHECK(busy.runs() == 1);
        // Afterwards it can be.
        CHECK(queue_by(way, busy.item()) == 1);
        REQUIRE(busy.item().flush() == 0);
        CHECK(busy.runs() == 2);
    }
}

TEST_CASE("two that take back the same running item both wait, and one of them has it")
{
    for (busy_item::route way : both_routes)
        for (int round = 0; round < 20; ++round) {
            int ended = 0;
            std::atomic<int> taken{0}, wrong{0}, about_to{0};
            busy_item busy(last_cpu(), way, [&] { ++ended; });
            REQUIRE(queue_by(way, busy.item()) == 1);
            auto cancel = [&] {
                ++about_to;
                int result = busy.item().cancel_sync();
                taken += result == 1;
                wrong += (result != 0 && result != 1) || ended != 1;
            };
            waiting_thread one(cancel), other(cancel);
            REQUIRE(eventually([&] { return about_to == 2 && one.waits() && other.waits(); }));
            busy.let_go();
            one.join();
            other.join();
            CHECK(taken == 1);
            CHECK(wrong == 0);
            CHECK(busy.runs() == 1);
        }
}

TEST_CASE("hundreds of threads take back one running item, whose function meanwhile drains a workqueue")
{
    for (busy_item::route way : both_routes) {
        workqueue other;
        int drained = -1;
        std::atomic<int> wrong{0};
        busy_item busy(last_cpu(), way, [&] { drained = other.drain(); });
        std::vector<std::unique_ptr<waiting_thread>> cancellers;
        for (int i = 0; i < 300; ++i)
            cancellers.push_back(std::make_unique<waiting_thread>([&] { wrong += busy.item().cancel_sync() != 0; }));
        CHECK(eventually([&] {
            return std::all_of(cancellers.begin(), cancellers.end(), [](const auto &each) { return each->waits(); });
        }));
        CHECK(queue_by(way, busy.item()) == -ECANCELED);
        busy.let_go();
        cancellers.clear();
        CHECK(drained == 0);
        CHECK(wrong == 0);
        CHECK(busy.runs() == 1);
        CHECK(queue_by(way, busy.item()) == 1);
        REQUIRE(busy.item().flush() == 0);
        CHECK(busy.runs() == 2);
    }
}

TEST_CASE("a function may take back and free what waits behind it on its own CPU")
{
    constexpr int many = 50;
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            start_order order;
            std::atomic<long> runs{0};
            std::vector<loose_item *> victims;
            for (int i = 0; i < many; ++i)
                victims.push_back(loose_item::make(cpu, loose_item::count, &runs));
            std::vector<loose_item *> shuffled = victims;
            std::shuffle(shuffled.begin(), shuffled.end(), std::minstd_rand(1));
            int taken = 0;
            task canceller(cpu, [&] {
                for (loose_item *each : shuffled) {
                    taken += pw_cancel_sync(each) == 1;
                    loose_item::release(each);
                }
            });
            task_list survivors = numbered(order, cpu, many);
            blocked_cpu blocked(cpu, way);
            int wrong = queue_by(way, canceller) != 1;
            for (size_t i = 0; i < many; ++i) {
                wrong += queue_by(way, *victims[i]) != 1;
                if (i % 3 == 0)
                    wrong += pw_cancel(victims[i]) != 1 || queue_by(way, *victims[i]) != 1;
                wrong += queue_by(way, *survivors[i]) != 1;
            }
            CHECK(wrong == 0);
            blocked.open();
            REQUIRE(canceller.flush() == 0);
            REQUIRE(flush_all(survivors) == 0);
            CHECK(taken == many);
            CHECK(runs == 0);
            CHECK(order.started() == rising(many));
        }
}

TEST_CASE("pw_cancel_sync ends an item that queues itself")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            std::atomic<long> runs{0}, accepted{0}, wrong{0};
            std::atomic<bool> inside{false};
            long taken = 0;
            task item(cpu, [&] {
                inside = true;
                ++runs;
                int result = queue_by(way, item);
                accepted += result == 1;
                wrong += result != 1 && result != -ECANCELED;
                inside = false;
            });
            for (int round = 0; round < 40 / (sanitized ? 4 : 1); ++round) {
                const long before = runs;
                // Under lock its caller is busy with it until it has ended.
                waiting_thread caller([&] {
                    int result = queue_by(way, item);
                    accepted += result == 1;
                    wrong += result != 1;
                });
                REQUIRE(eventually([&] { return runs > before; }));
                const int result = item.cancel_sync();
                const bool still_inside = inside;
                const long ended = runs;
                caller.join();
                taken += result == 1;
                wrong += result != 0 && result != 1;
                CHECK_FALSE(still_inside);
                CHECK(runs == ended);
            }
            CHECK(wrong == 0);
            CHECK(runs == accepted - taken);
        }
}

TEST_CASE("what pw_cancel_sync took back or waited for is free, whatever happened to it before")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            std::atomic<long> runs{0}, accepted{0}, taken{0}, wrong{0};
            on_threads(3, [&](int thread) {
                std::minstd_rand random(static_cast<unsigned>(thread + 1));
                for (int n = 0; n < 3'000 / scale; ++n) {
                    loose_item *item = loose_item::make(cpu, loose_item::count, &runs);
                    for (unsigned left = random() % 6; left > 0; --left) {
                        int result = random() % 2 ? queue_by(way, *item) : -pw_cancel(item);
                        accepted += result == 1;
                        taken += result == -1;
                        wrong += result < -1 || result > 1;
                    }
                    int result = pw_cancel_sync(item);
                    taken += result == 1;
                    wrong += result < 0;
                    loose_item::release(item);
                }
            });
            CHECK(wrong == 0);
            CHECK(accepted > 0);
            CHECK(runs == accepted - taken);
        }
}
