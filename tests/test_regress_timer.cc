// SPDX-License-Identifier: MIT
// What reviews have found wrong in cancelling and timers: each once more, as what should happen instead,
// under both strategies.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "queues.h"

// Cancelling.

TEST_CASE(
    "an item that is taken back while it is queued to its worker for the first time runs, or was taken back")
{
    for (busy_item::route way : both_routes) {
        const int rounds = 5'000 / scale;
        long lost = 0;
        std::unique_ptr<task> item;
        std::atomic<int> turn{0}, done{0};
        int taken = -1;
        std::thread taker([&] {
            for (int n = 1; n <= rounds; ++n) {
                while (turn < n)
                    std::this_thread::yield();
                taken = item->cancel_sync();
                done = n;
            }
        });
        for (int n = 1; n <= rounds; ++n) {
            int runs = 0;
            item = std::make_unique<task>(last_cpu(), [&] { ++runs; });
            turn = n;
            for (std::atomic<int> pause{n % 60}; pause > 0; --pause) {
            }
            const int queued = queue_by(way, *item);
            while (done < n)
                std::this_thread::yield();
            lost += item->flush() != 0;
            lost += queued != 1 && queued != -ECANCELED;
            lost += (queued == 1) != runs + taken;
            item.reset();
        }
        taker.join();
        CHECK(lost == 0);
    }
}

TEST_CASE(
    "any number of threads, and a function of its CPU, may take back one item: one has it, none is forgotten")
{
    for (busy_item::route way : both_routes) {
        const int cpu = last_cpu();
        for (bool running : {false, true}) {
            CAPTURE(way, running);
            std::atomic<int> taken{0}, wrong{0};
            int runs = 0;
            task waiting(cpu, [&] { ++runs; });
            // What runs takes back what waits behind it as well.
            busy_item busy(cpu, way, [&] {
                int result = waiting.cancel_sync();
                taken += result == 1;
                wrong += result != 0 && result != 1;
            });
            if (!running) {
                REQUIRE(queue_by(way, busy.item()) == 1);
                REQUIRE(queue_by(way, waiting) == 1);
            }
            task &target = running ? busy.item() : waiting;
            std::vector<std::unique_ptr<waiting_thread>> takers;
            std::atomic<int> ended{0};
            for (int i = 0; i < 20; ++i)
                takers.push_back(std::make_unique<waiting_thread>([&] {
                    int result = target.cancel_sync();
                    taken += result == 1;
                    wrong += result != 0 && result != 1;
                    ++ended;
                }));
            for (const auto &each : takers)
                CHECK(eventually([&] { return each->waits() || ended > 0; }));
            if (running) {
                CHECK(ended == 0);
                CHECK(queue_by(way, target) == -ECANCELED);
            }
            busy.let_go();
            for (const auto &each : takers)
                each->join();
            REQUIRE(busy.item().flush() == 0);
            CHECK(wrong == 0);
            CHECK(taken == !running);
            CHECK(runs == 0);
            // They have left nothing behind.
            CHECK(queue_by(way, waiting) == 1);
            CHECK(waiting.flush() == 0);
            CHECK(runs == 1);
        }
    }
}

// Timers.

TEST_CASE("arming a delayed item that is pending, again and again, keeps nobody from queueing to its CPU")
{
    const int cpu = last_cpu();
    std::atomic<long> calls{0}, wrong{0};
    std::atomic<bool> done{false};
    int queued = -1;
    delayed_task waiting(cpu);
    task inner(cpu), outer(cpu, [&] {
        eventually([&] { return calls > 100; });
        queued = inner.queue();
        done = true;
    });
    blocked_cpu blocked(cpu);
    REQUIRE(waiting.arm(0) == 1);
    REQUIRE(outer.queue_to_worker() == 1);
    std::thread caller([&] {
        while (!done) {
            wrong += waiting.arm(hour) < 0;
            ++calls;
        }
    });
    // Under queue the worker itself is busy.
    if (under_lock())
        CHECK(eventually([&] { return done.load(); }));
    blocked.open();
    CHECK(eventually([&] { return done.load(); }));
    caller.join();
    CHECK(queued == 1);
    CHECK(wrong == 0);
}

TEST_CASE("a delayed item that arms itself for the next moment does not keep queued items waiting")
{
    const int cpu = last_cpu();
    for (bool pending : {false, true}) {
        CAPTURE(pending);
        std::atomic<bool> ran{false}, enough{false};
        std::atomic<long> turns{0};
        task item(cpu, [&] { ran = true; });
        delayed_task *self = nullptr;
        delayed_task again(cpu, [&] {
            ++turns;
            if (!enough)
                self->arm(1'000);
            take_a_moment();
        });
        self = &again;
        std::optional<blocked_cpu> blocked;
        if (pending) {
            blocked.emplace(cpu);
            REQUIRE(item.queue() == 1);
        }
        // Not by the thread whose items wait.
        std::thread([&] { again.arm(1'000); }).join();
        if (!pending || under_lock())
            CHECK(eventually([&] { return turns >= 3; }));
        CHECK_FALSE(ran);
        if (pending)
            blocked->open();
        else
            CHECK(item.queue() == 1);
        CHECK(eventually([&] { return ran.load(); }));
        CHECK(eventually([&] { return turns >= 3; }));
        enough = true;
    }
}

TEST_CASE("a delayed item that queues itself at once does not keep other timers of its CPU from running")
{
    for (int cpu : worker_cpus()) {
        std::atomic<bool> ran{false}, enough{false};
        std::atomic<long> turns{0};
        delayed_task *self = nullptr;
        delayed_task other(cpu, [&] { ran = true; }), again(cpu, [&] {
            ++turns;
            take_a_moment();
            if (!enough)
                self->arm(0);
        });
        self = &again;
        REQUIRE(again.arm(ms) == 1);
        REQUIRE(other.arm(5 * ms) == 1);
        CHECK(eventually([&] { return ran.load(); }));
        CHECK(eventually([&] { return turns >= 2; }));
        enough = true;
    }
}

TEST_CASE("child: a timer falls due while it is taken back", "[.child]")
{
    REQUIRE(pw_runtime_start("idle_spin_us=1000") == 0);
    for (int cpu : worker_cpus()) {
        std::atomic<long> runs{0};
        long taken = 0, refused = 0;
        delayed_task item(cpu, [&] { ++runs; });
        const int rounds = 10'000 / scale;
        for (int n = 0; n < rounds; ++n) {
            const uint64_t due = now_ns() + 20'000 + static_cast<uint64_t>(n % 3'000);
            refused += item.arm(20'000) != 1;
            while (now_ns() < due) {
            }
            taken += item.cancel_sync();
        }
        CHECK(refused == 0);
        CHECK(runs + taken == rounds);
    }
}

TEST_CASE("a timer that falls due while it is taken back can be armed again")
{
    require_passes("child: a timer falls due while it is taken back");
}

TEST_CASE("-EDEADLK: a flush that is refused leaves an armed item armed")
{
    // The circle is one of workers: under lock another thread runs what is armed.
    if (under_lock()) {
        WARN("skipped: under lock it is no circle");
        return;
    }
    if (!two_workers())
        return;
    const int here = first_cpu(), there = last_cpu();
    int runs = 0, waited = -1, flushed = 1;
    std::atomic<bool> entered{false}, about_to{false}, waits{false};
    delayed_task armed(here, [&] { ++runs; });
    REQUIRE(armed.arm(hour) == 1);
    task behind(there), waiter(here, [&] {
        about_to = true;
        waited = behind.flush();
    });
    task flusher(there, [&] {
        entered = true;
        waits = eventually(
            [&] { return about_to && status_field(worker_thread(here), "State").rfind("S", 0) == 0; });
        flushed = armed.flush();
    });
    REQUIRE(flusher.queue() == 1);
    REQUIRE(eventually([&] { return entered.load(); }));
    REQUIRE(behind.queue() == 1);
    REQUIRE(waiter.queue() == 1);
    REQUIRE(flusher.flush() == 0);
    REQUIRE(waiter.flush() == 0);
    CHECK(waits);
    CHECK(flushed == -EDEADLK);
    CHECK(waited == 0);
    CHECK(armed.cancel_sync() == 1);
    CHECK(runs == 0);
}

TEST_CASE("child: an armed item is flushed while the runtime stops", "[.child]")
{
    for (bool runs_already : {false, true}) {
        CAPTURE(runs_already);
        REQUIRE(pw_runtime_start(nullptr) == 0);
        const int cpu = last_cpu();
        int written = 0, seen = -1, result = -1, stopped = -1;
        std::atomic<bool> entered{false}, returned{false};
        door leave;
        delayed_task item(cpu, [&] {
            entered = true;
            leave.wait();
            written = 1;
        });
        {
            std::optional<busy_item> busy;
            if (!runs_already)
                busy.emplace(cpu);
            REQUIRE(item.arm(hour) == 1);
            task probe(first_cpu());
            std::thread stopper([&] { stopped = pw_runtime_stop(); });
            // The stop runs it, or waits for what is in front of it.
            if (runs_already)
                CHECK(eventually([&] { return entered.load(); }));
            else
                CHECK(eventually([&] { return probe.queue() == -ESHUTDOWN; }));
            waiting_thread flusher([&] {
                result = item.flush();
                seen = written;
                returned = true;
            });
            CHECK(eventually([&] { return flusher.waits() || returned; }));
            CHECK_FALSE(returned);
            leave.open();
            if (busy)
                busy->let_go();
            flusher.join();
            stopper.join();
        }
        CHECK(result == 0);
        CHECK(seen == 1);
        CHECK(stopped == 0);
    }
}

TEST_CASE("while the runtime stops, a flush of an armed item still waits for it")
{
    require_passes("child: an armed item is flushed while the runtime stops");
}
