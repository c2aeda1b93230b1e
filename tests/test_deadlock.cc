// SPDX-License-Identifier: MIT
// Functions that wait for one another: in a circle one of them gets -EDEADLK instead of all of them hanging,
// and nobody else does.
#include "time_limit.h"

#include "on_cpu.h"
#include "queues.h"

#include <array>

namespace {

// Functions that are all running and then all wait, each for the next one.
class circle {
  public:
    enum wait { flush, cancel_sync, workqueue_flush, workqueue_drain, count };

    struct member {
        std::unique_ptr<workqueue> wq = std::make_unique<workqueue>("circle");
        std::unique_ptr<task> item;
        wait by = flush;
        std::atomic<bool> finished{false};
        int result = 0;
        bool next_had_finished = false;
    };

    circle(const std::vector<int> &cpus, busy_item::route way) : way_(way), members_(cpus.size())
    {
        for (size_t i = 0; i < members_.size(); ++i)
            members_[i].item = std::make_unique<task>(cpus[i], [this, i] { run(i); });
    }

    // Runs them; `waits` says how each waits for the next one. The number of those that got -EDEADLK; -1 if
    // anything was wrong.
    int turn(const std::vector<wait> &waits)
    {
        arrived_ = 0;
        for (size_t i = 0; i < members_.size(); ++i) {
            members_[i].by = waits[i];
            members_[i].finished = false;
        }
        std::atomic<int> wrong{0};
        // Under lock each runs in its caller.
        on_threads(static_cast<int>(members_.size()), [&](int thread) {
            member &self = members_[static_cast<size_t>(thread)];
            wrong += queue_by(way_, *self.item, *self.wq) != 1;
        });
        int refused = 0;
        for (member &each : members_) {
            wrong += each.item->flush() != 0;
            wrong += !each.finished;
            refused += each.result == -EDEADLK;
            wrong += each.result != 0 && each.result != -EDEADLK;
            wrong += each.result == 0 && !each.next_had_finished;
        }
        return wrong ? -1 : refused;
    }

  private:
    void run(size_t i)
    {
        member &self = members_[i], &next = members_[(i + 1) % members_.size()];
        meet(arrived_, static_cast<int>(members_.size()));
        switch (self.by) {
        case cancel_sync:
            self.result = next.item->cancel_sync();
            break;
        case workqueue_flush:
            self.result = next.wq->flush();
            break;
        case workqueue_drain:
            self.result = next.wq->drain();
            break;
        default:
            self.result = next.item->flush();
        }
        self.next_had_finished = next.finished;
        self.finished = true;
    }

    busy_item::route way_;
    std::vector<member> members_;
    std::atomic<int> arrived_{0};
};

// CPUs for functions that run at the same time; none if there are too few workers and it needs them. Under
// lock they run in their callers.
std::vector<int> cpus_at_once(size_t many, busy_item::route way)
{
    std::vector<int> cpus = worker_cpus();
    if (under_lock() && way == busy_item::by_strategy)
        while (cpus.size() < many)
            cpus.push_back(cpus[cpus.size() / 2]);
    if (cpus.size() < many)
        cpus.clear();
    else
        cpus.resize(many);
    return cpus;
}

} // namespace

TEST_CASE("of two functions that wait for each other, in any way, one gets -EDEADLK and both end")
{
    for (busy_item::route way : both_routes) {
        const std::vector<int> cpus = cpus_at_once(2, way);
        if (cpus.empty()) {
            WARN("skipped: one worker only");
            continue;
        }
        circle pair(cpus, way);
        for (int a = 0; a < circle::count; ++a)
            for (int b = 0; b < circle::count; ++b) {
                CAPTURE(way, a, b);
                int wrong = 0;
                for (int round = 0; round < 50 / (sanitized ? 10 : 1); ++round) {
                    int refused = pair.turn({static_cast<circle::wait>(a), static_cast<circle::wait>(b)});
                    wrong += refused != 1 && refused != 2;
                }
                CHECK(wrong == 0);
            }
    }
}

TEST_CASE("a circle of any length is found, whatever its members wait with")
{
    for (busy_item::route way : both_routes)
        for (size_t length : {3, 4, 7}) {
            const std::vector<int> cpus = cpus_at_once(length, way);
            if (cpus.empty()) {
                WARN("skipped: not enough workers for a circle of " << length);
                continue;
            }
            circle many(cpus, way);
            int wrong = 0;
            for (int round = 0; round < 100 / (sanitized ? 10 : 1); ++round) {
                std::vector<circle::wait> waits;
                for (size_t i = 0; i < length; ++i)
                    waits.push_back(
                        static_cast<circle::wait>((i + static_cast<size_t>(round)) % circle::count));
                int refused = many.turn(waits);
                wrong += refused < 1;
            }
            CHECK(wrong == 0);
        }
}

TEST_CASE("functions that wait for what waits behind the other one: one gets -EDEADLK, and everything runs")
{
    for (busy_item::route way : both_routes) {
        const int here = first_cpu(), there = last_cpu();
        if (here == there) {
            WARN("skipped: one CPU only");
            return;
        }
        std::atomic<int> wrong{0};
        int runs = 0, refused = 0;
        const int rounds = 200 / scale;
        for (int round = 0; round < rounds; ++round) {
            // What both are listed behind: under lock, too, each CPU's list is then worked off by one thread.
            std::array<int, 2> results = {1, 1};
            std::atomic<int> arrived{0};
            std::array<std::atomic<int>, 2> behind_runs = {};
            task behind_here(here, [&] { ++behind_runs[0]; }), behind_there(there, [&] { ++behind_runs[1]; });
            task from_here(here, [&] {
                meet(arrived, 2);
                results[0] = behind_there.flush();
                wrong += results[0] == 0 && behind_runs[1] != 1;
            });
            task from_there(there, [&] {
                meet(arrived, 2);
                results[1] = behind_here.flush();
                wrong += results[1] == 0 && behind_runs[0] != 1;
            });
            blocked_cpu blocked_here(here, way), blocked_there(there, way);
            wrong += queue_by(way, from_here) != 1 || queue_by(way, behind_here) != 1;
            wrong += queue_by(way, from_there) != 1 || queue_by(way, behind_there) != 1;
            blocked_here.open();
            blocked_there.open();
            wrong += from_here.flush() != 0 || from_there.flush() != 0;
            wrong += behind_here.flush() != 0 || behind_there.flush() != 0;
            for (int each : results) {
                refused += each == -EDEADLK;
                wrong += each != 0 && each != -EDEADLK;
            }
            wrong += results[0] == 0 && results[1] == 0;
            runs += behind_runs[0] + behind_runs[1];
        }
        CHECK(wrong == 0);
        CHECK(refused >= rounds);
        CHECK(runs == 2 * rounds);
    }
}

TEST_CASE("a function takes back what waits behind one that waits for it, or is refused and leaves it")
{
    for (busy_item::route way : both_routes) {
        const int here = first_cpu(), there = last_cpu();
        if (here == there) {
            WARN("skipped: one CPU only");
            return;
        }
        int wrong = 0;
        for (int round = 0; round < 200 / scale; ++round) {
            int taken = -1, flushed = -1, runs = 0;
            bool had_finished = false;
            std::atomic<bool> finished{false};
            std::atomic<int> arrived{0};
            task behind(there, [&] { ++runs; });
            task taker(here, [&] {
                meet(arrived, 2);
                taken = behind.cancel_sync();
                finished = true;
            });
            task flusher(there, [&] {
                meet(arrived, 2);
                flushed = taker.flush();
                had_finished = finished;
            });
            blocked_cpu blocked_here(here, way), blocked_there(there, way);
            wrong += queue_by(way, taker) != 1 || queue_by(way, flusher) != 1 || queue_by(way, behind) != 1;
            blocked_here.open();
            blocked_there.open();
            wrong += taker.flush() != 0 || flusher.flush() != 0 || behind.flush() != 0;
            wrong += taken != 0 && taken != 1 && taken != -EDEADLK;
            wrong += flushed != 0 && flushed != -EDEADLK;
            wrong += flushed == 0 && !had_finished;
            wrong += runs != (taken == 1 ? 0 : 1);
            // It was there to be taken, unless the flusher's wait was refused and it started first.
            wrong += taken == 0 && flushed == 0;
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("under queue a call for every CPU is part of circles as well, and calls nobody if it is refused")
{
    const int here = first_cpu(), there = last_cpu();
    if (here == there) {
        WARN("skipped: one CPU only");
        return;
    }
    int wrong = 0, refused = 0;
    const int rounds = 300 / scale;
    for (int round = 0; round < rounds; ++round) {
        std::atomic<int> arrived{0}, calls{0};
        int called = 1, flushed = 1;
        task caller(here, [&] {
            meet(arrived, 2);
            called =
                pw_on_each_cpu([](int, void *count) { ++*static_cast<std::atomic<int> *>(count); }, &calls);
        });
        task flusher(there, [&] {
            meet(arrived, 2);
            flushed = caller.flush();
        });
        wrong += caller.queue_to_worker() != 1;
        wrong += flusher.queue_to_worker() != 1;
        wrong += caller.flush() != 0 || flusher.flush() != 0;
        wrong += (called != 0 && called != -EDEADLK) || (flushed != 0 && flushed != -EDEADLK);
        wrong += calls != (called == 0 ? static_cast<int>(worker_cpus().size()) : 0);
        refused += called == -EDEADLK || flushed == -EDEADLK;
    }
    CHECK(wrong == 0);
    CHECK(refused == (under_lock() ? 0 : rounds));
}

TEST_CASE("waiting for one that waits for us, or is below us on the stack, is -EDEADLK from every call")
{
    const int here = first_cpu(), there = last_cpu();
    if (here == there) {
        WARN("skipped: one CPU only");
        return;
    }
    const std::vector<int> all_refused(4, -EDEADLK);
    for (int round = 0; round < 100 / scale; ++round) {
        workqueue wq;
        std::vector<int> results;
        int queued = 0, waited = -1;
        task *outer_item = nullptr;
        task inner(there, [&] {
            results = {outer_item->flush(), outer_item->cancel_sync(), wq.flush(), wq.drain()};
        });
        // Under lock the inner one runs on the outer one's stack, under queue the outer one waits for it.
        task outer(here, [&] {
            queued = inner.queue();
            waited = inner.flush();
        });
        outer_item = &outer;
        REQUIRE(queue_by(busy_item::by_strategy, outer, wq) == 1);
        REQUIRE(outer.flush() == 0);
        REQUIRE(inner.flush() == 0);
        CHECK(queued == 1);
        // Under queue the inner one may have been first to wait.
        if (waited == 0)
            CHECK(results == all_refused);
        else
            CHECK((waited == -EDEADLK && !under_lock()));
    }
}

TEST_CASE("a chain of waits is no circle: never -EDEADLK, however often and from however many")
{
    const int here = first_cpu(), there = last_cpu();
    if (here == there) {
        WARN("skipped: one CPU only");
        return;
    }
    const long rounds = 50'000 / scale;
    for (busy_item::route way : both_routes) {
        std::atomic<long> wrong{0}, flushes{0}, computed{0};
        std::atomic<bool> enough{false};
        workqueue wq; // so that a flush of the system one does not wait for all rounds
        task_list far, idle;
        for (int i = 0; i < 4; ++i)
            idle.push_back(std::make_unique<task>(here));
        for (size_t i = 0; i < 4; ++i)
            far.push_back(std::make_unique<task>(there, [&, i] {
                ++computed;
                // Nothing to wait for: so also this way around it is no circle.
                wrong += idle[i]->flush() != 0;
            }));
        task near(here, [&] {
            for (long n = 0; n < rounds; ++n) {
                task &next = *far[static_cast<size_t>(n) % far.size()];
                wrong += queue_by(way, next) < 0;
                wrong += next.flush() != 0;
                ++flushes;
            }
        });
        waiting_thread runner([&] { wrong += queue_by(way, near, wq) != 1; });
        // Nobody outside of work is ever refused either.
        waiting_thread outsider([&] {
            while (!enough) {
                wrong += far[0]->flush() != 0;
                wrong += queue_by(way, *far[1]) < 0;
                wrong += pw_workqueue_flush(nullptr) != 0;
            }
        });
        runner.join();
        wrong += near.flush() != 0;
        enough = true;
        outsider.join();
        CHECK(wrong == 0);
        CHECK(flushes == rounds);
        CHECK(computed >= rounds);
    }
}

TEST_CASE("waits that follow one another in opposite directions are no circle")
{
    const int here = first_cpu(), there = last_cpu();
    if (here == there) {
        WARN("skipped: one CPU only");
        return;
    }
    for (busy_item::route way : both_routes) {
        workqueue leaves("leaves");
        std::atomic<long> wrong{0}, runs{0};
        std::array<int, 2> cpus = {here, there};
        task_list leaf, waiter;
        for (size_t i = 0; i < 2; ++i) {
            leaf.push_back(std::make_unique<task>(cpus[i], [&] { ++runs; }));
            waiter.push_back(std::make_unique<task>(cpus[i], [&, i] {
                task &other = *leaf[1 - i];
                wrong += queue_by(way, other, leaves) != 1;
                wrong += leaves.flush() != 0;
                wrong += queue_by(way, other, leaves) != 1;
                wrong += other.flush() != 0;
                wrong += queue_by(way, other, leaves) != 1;
                wrong += other.cancel_sync() < 0;
            }));
        }
        const long rounds = 5'000 / scale;
        for (long n = 0; n < rounds; ++n) {
            wrong += queue_by(way, *waiter[static_cast<size_t>(n) % 2]) != 1;
            wrong += waiter[static_cast<size_t>(n) % 2]->flush() != 0;
        }
        CHECK(wrong == 0);
        CHECK(runs >= 2 * rounds);
        CHECK(runs <= 3 * rounds);
    }
}

TEST_CASE("a function queues items to every other CPU and waits for them")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            const std::vector<int> cpus = worker_cpus();
            workqueue wq;
            std::vector<long> written(cpus.size()); // plain: the waits make it visible
            long round = 0;
            std::atomic<long> wrong{0};
            task_list items;
            for (size_t i = 0; i < cpus.size(); ++i)
                if (cpus[i] != cpu)
                    items.push_back(std::make_unique<task>(cpus[i], [&, i] { written[i] = round; }));
            task outer(cpu, [&] {
                for (const auto &each : items)
                    wrong += queue_by(way, *each, round % 2 ? static_cast<pw_workqueue *>(wq) : nullptr) != 1;
                // Its own workqueue is the system one.
                if (round % 2)
                    wrong += wq.flush() != 0;
                else
                    wrong += flush_all(items);
                for (size_t i = 0; i < cpus.size(); ++i)
                    wrong += cpus[i] != cpu && written[i] != round;
            });
            for (round = 1; round <= 500 / scale; ++round) {
                wrong += queue_by(way, outer) != 1;
                wrong += outer.flush() != 0;
            }
            CHECK(wrong == 0);
        }
}
