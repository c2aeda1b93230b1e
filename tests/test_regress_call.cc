// SPDX-License-Identifier: MIT
// What reviews have found wrong in calls for every CPU and in forks: each once more, as what should happen
// instead, under both strategies.
#include "time_limit.h"

#include "in_fork.h"
#include "on_cpu.h"
#include "programs.h"
#include "queues.h"

namespace {

// Uses the runtime of a fork's child, which it starts.
int use_in_child()
{
    EXPECT(pw_runtime_start(nullptr) == 0);
    for (int cpu : worker_cpus()) {
        int runs = 0;
        task item(cpu, [&] { ++runs; }), on_worker(cpu, [&] { ++runs; });
        EXPECT(item.queue() == 1);
        EXPECT(item.flush() == 0);
        EXPECT(on_worker.queue_to_worker() == 1);
        EXPECT(on_worker.flush() == 0);
        EXPECT(runs == 2);
    }
    EXPECT(pw_runtime_stop() == 0);
    return 0;
}

} // namespace

// Calls for every CPU.

TEST_CASE("a call may take back the item that ran before it, also where that has queued itself again")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            CAPTURE(way, cpu);
            int queued = 1, taken = -1, called = -1;
            busy_item *self = nullptr;
            busy_item busy(cpu, way, [&] {
                if (self->runs() == 1)
                    queued = queue_by(way, self->item());
            });
            self = &busy;
            waiting_thread caller([&] {
                called = on_each_cpu([&](int on) {
                    if (on == cpu)
                        taken = busy.item().cancel_sync();
                });
            });
            CHECK(eventually([&] { return caller.waits(); }));
            busy.release();
            caller.join();
            busy.let_go();
            REQUIRE(busy.item().flush() == 0);
            CHECK(called == 0);
            CHECK(busy.runs() == 1);
            // Under lock the caller was in pw_cancel_sync() already, which ends an item that queues itself.
            CHECK(queued == (under_lock() ? -ECANCELED : 1));
            CHECK(taken == (under_lock() ? 0 : 1));
        }
}

TEST_CASE("a call may flush the workqueue of the item that ran before it")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            int ended = 0, seen = -1, flushed = 1, called = -1;
            busy_item busy(cpu, way, [&] { ended = 1; });
            waiting_thread caller([&] {
                called = on_each_cpu([&](int on) {
                    if (on == cpu) {
                        flushed = pw_workqueue_flush(nullptr);
                        seen = ended;
                    }
                });
            });
            CHECK(eventually([&] { return caller.waits(); }));
            busy.let_go();
            caller.join();
            CHECK(called == 0);
            CHECK(flushed == 0);
            CHECK(seen == 1);
        }
}

TEST_CASE("a call that itself calls for every CPU lets others' calls for its CPU come first")
{
    if (!two_workers())
        return;
    const int here = first_cpu(), there = last_cpu();
    std::atomic<bool> entered{false};
    int nested = -1, first_called = -1, second_called = -1;
    door called_here;
    // The other CPU's worker waits for a call for this one.
    task far(there, [&] {
        entered = true;
        called_here.wait();
    });
    REQUIRE(far.queue_to_worker() == 1);
    REQUIRE(eventually([&] { return entered.load(); }));
    busy_item busy(here, busy_item::by_worker);
    waiting_thread first([&] {
        first_called = on_each_cpu([&](int cpu) {
            if (cpu == here)
                nested = on_each_cpu([](int) {});
        });
    });
    // Under lock nobody waits for workers.
    if (!under_lock())
        CHECK(eventually([&] { return first.waits(); }));
    waiting_thread second([&] {
        second_called = on_each_cpu([&](int cpu) {
            if (cpu == here)
                called_here.open();
        });
    });
    if (!under_lock())
        CHECK(eventually([&] { return second.waits(); }));
    busy.let_go();
    first.join();
    second.join();
    CHECK(nested == 0);
    CHECK(first_called == 0);
    CHECK(second_called == 0);
    CHECK(far.flush() == 0);
}

TEST_CASE("child: an item ends its thread below a call for every CPU", "[.child]")
{
    const int cpu = first_cpu();
    int runs = 0;
    task item(cpu, [&] {
        ++runs;
        pthread_exit(nullptr);
    });
    std::thread([&] {
        on_each_cpu([&](int on) {
            if (on == cpu)
                item.queue();
        });
    }).join();
    CHECK(runs == 1);
    CHECK(item.flush() == 0);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("under lock, an item that ends its thread below a call for every CPU leaves a runtime that stops")
{
    if (!under_lock()) {
        WARN("skipped: under queue that thread is a worker, and the program aborts");
        return;
    }
    require_passes("child: an item ends its thread below a call for every CPU");
}

// Forks.

TEST_CASE("a function that is called for every CPU may fork, and the child uses the runtime from inside it")
{
    if (!possible_with_threads())
        return;
    for (int cpu : worker_cpus()) {
        pid_t forked = -1;
        let_threads_settle();
        CHECK(on_each_cpu([&](int on) {
                  if (on != cpu)
                      return;
                  forked = fork();
                  if (forked == 0) {
                      become_child();
                      _exit(use_in_child());
                  }
              }) == 0);
        REQUIRE(forked > 0);
        CHECK(status_of(forked) == 0);
    }
}

TEST_CASE(
    "under lock, the child of a function that is called for every CPU returns from the call and goes on")
{
    if (!possible_with_threads())
        return;
    if (!under_lock()) {
        WARN("skipped: under queue the function returns to a worker");
        return;
    }
    for (int cpu : worker_cpus()) {
        pid_t forked = -1;
        const pid_t parent = getpid();
        let_threads_settle();
        int result = on_each_cpu([&](int on) {
            if (on == cpu)
                forked = fork();
        });
        if (getpid() != parent) {
            become_child();
            _exit(use_in_child());
        }
        CHECK(result == 0);
        REQUIRE(forked > 0);
        CHECK(status_of(forked) == 0);
    }
}

TEST_CASE("a fork's child may queue what other threads of its parent are taking back")
{
    if (!possible_with_threads())
        return;
    for (busy_item::route way : both_routes) {
        busy_item busy(last_cpu(), way);
        std::atomic<int> wrong{0};
        auto cancel = [&] { wrong += busy.item().cancel_sync() != 0; };
        waiting_thread one(cancel), other(cancel);
        REQUIRE(eventually([&] { return one.waits() && other.waits(); }));
        CHECK(queue_by(way, busy.item()) == -ECANCELED);
        let_threads_settle();
        pid_t forked = fork();
        if (forked == 0) {
            become_child();
            _exit([&] {
                EXPECT(pw_runtime_start(nullptr) == 0);
                EXPECT(queue_by(way, busy.item()) == 1);
                EXPECT(busy.item().flush() == 0);
                EXPECT(busy.runs() == 2);
                EXPECT(busy.item().cancel_sync() == 0);
                EXPECT(queue_by(way, busy.item()) == 1);
                EXPECT(pw_runtime_stop() == 0);
                EXPECT(busy.runs() == 3);
                return 0;
            }());
        }
        REQUIRE(forked > 0);
        CHECK(status_of(forked) == 0);
        // The parent's still are.
        CHECK(queue_by(way, busy.item()) == -ECANCELED);
        busy.let_go();
        one.join();
        other.join();
        CHECK(wrong == 0);
        CHECK(busy.runs() == 1);
    }
}

TEST_CASE("in a fork's child nothing is armed: it takes back nothing, destroys the workqueue and stops")
{
    if (!possible_with_threads())
        return;
    first_cpu();
    pw_runtime_start(nullptr);
    shared_count runs;
    {
        workqueue wq;
        std::vector<std::unique_ptr<delayed_task>> items;
        for (int i = 0; i < 3; ++i) {
            items.push_back(std::make_unique<delayed_task>(last_cpu(), [&] { ++*runs; }));
            REQUIRE(items.back()->arm(hour + static_cast<uint64_t>(i), wq) == 1);
        }
        for (size_t taken : {0, 1, 2})
            for (bool destroys : {false, true}) {
                CAPTURE(taken, destroys);
                let_threads_settle();
                pid_t forked = fork();
                if (forked == 0) {
                    become_child();
                    _exit([&] {
                        EXPECT(pw_runtime_start(nullptr) == 0);
                        EXPECT(pw_cancel(&items[taken]->work) == 0);
                        EXPECT(items[(taken + 1) % 3]->cancel_sync() == 0);
                        if (destroys)
                            EXPECT(wq.destroy() == 0);
                        EXPECT(pw_runtime_stop() == 0);
                        return 0;
                    }());
                }
                REQUIRE(forked > 0);
                CHECK(status_of(forked) == 0);
            }
        CHECK(*runs == 0);
        // The parent's are still armed.
        CHECK(items[0]->cancel_sync() == 1);
        CHECK(wq.destroy() == 0);
        CHECK(*runs == 2);
    }
}
