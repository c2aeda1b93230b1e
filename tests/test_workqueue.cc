// SPDX-License-Identifier: MIT
// Workqueues: creating them, flushing what was queued to one, and which items go first.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "queues.h"

#include <algorithm>
#include <array>

namespace {

constexpr int high = 1'000; // numbers of high-priority items start here

// Ways that give the item to the CPU's worker.
std::vector<busy_item::route> routes_to_worker()
{
    if (under_lock())
        return {busy_item::by_worker};
    return {busy_item::by_strategy, busy_item::by_worker};
}

int create_error(const char *name, unsigned flags)
{
    errno = 0;
    pw_workqueue *wq = pw_workqueue_create(name, flags);
    int error = errno;
    if (wq)
        pw_workqueue_destroy(wq);
    return wq ? 0 : error;
}

} // namespace

TEST_CASE("a workqueue needs a name of 1 to 31 bytes and known flags")
{
    CHECK(create_error("a", 0) == 0);
    CHECK(create_error("a", PW_WQ_HIGHPRI) == 0);
    CHECK(create_error(std::string(PW_WQ_NAME_MAX, 'x').c_str(), 0) == 0);
    CHECK(create_error(nullptr, 0) == EINVAL);
    CHECK(create_error("", 0) == EINVAL);
    CHECK(create_error(std::string(PW_WQ_NAME_MAX + 1, 'x').c_str(), 0) == ENAMETOOLONG);
    CHECK(create_error("a", 2) == EINVAL);
    CHECK(create_error("a", PW_WQ_HIGHPRI | 0x80000000u) == EINVAL);
}

TEST_CASE("a flush of a workqueue waits for everything that was queued before, on every CPU")
{
    for (busy_item::route way : both_routes)
        for (unsigned flags : {0u, PW_WQ_HIGHPRI}) {
            workqueue wq("test", flags);
            const std::vector<int> cpus = worker_cpus();
            std::vector<long> runs(cpus.size()); // plain: the flush makes them visible
            std::vector<std::vector<std::unique_ptr<task>>> items(cpus.size());
            for (size_t i = 0; i < cpus.size(); ++i)
                for (int n = 0; n < 20; ++n)
                    items[i].push_back(std::make_unique<task>(cpus[i], [&, i] { ++runs[i]; }));
            int wrong = 0;
            for (long round = 1; round <= 200 / scale; ++round) {
                for (size_t n = 0; n < 20; ++n)
                    for (auto &row : items)
                        wrong += queue_by(way, *row[n], wq) != 1;
                wrong += wq.flush() != 0;
                for (long each : runs)
                    wrong += each != 20 * round;
            }
            CHECK(wrong == 0);
            CHECK(wq.flush() == 0);
        }
}

TEST_CASE("a flush of NULL waits for what was queued to the system workqueue")
{
    for (busy_item::route way : both_routes)
        for (int round = 0; round < 200 / scale; ++round) {
            const std::vector<int> cpus = worker_cpus();
            std::vector<int> runs(cpus.size()); // plain: the flush makes them visible
            task_list items;
            for (size_t i = 0; i < cpus.size(); ++i)
                items.push_back(std::make_unique<task>(cpus[i], [&, i] { ++runs[i]; }));
            for (const auto &each : items)
                REQUIRE(queue_by(way, *each) == 1);
            REQUIRE(pw_workqueue_flush(nullptr) == 0);
            CHECK(runs == std::vector<int>(cpus.size(), 1));
        }
}

TEST_CASE("many flush a workqueue that many queue to, and each sees its own")
{
    constexpr size_t threads = 4;
    for (busy_item::route way : both_routes) {
        workqueue wq;
        const std::vector<int> cpus = worker_cpus();
        std::atomic<long> wrong{0};
        on_threads(threads, [&](int thread) {
            long input = 0, seen = 0;
            task item(cpus[static_cast<size_t>(thread) % cpus.size()], [&] { seen = input; });
            for (long n = 1; n <= 1'000 / scale; ++n) {
                input = n;
                wrong += queue_by(way, item, wq) != 1;
                wrong += wq.flush() != 0;
                wrong += seen != n;
            }
        });
        CHECK(wrong == 0);
    }
}

TEST_CASE("a flush of a workqueue does not wait for what is queued behind it")
{
    for (busy_item::route way : both_routes) {
        workqueue wq;
        const int cpu = last_cpu();
        door leave;
        std::atomic<bool> flushed{false}, entered{false}, later_entered{false}, later_queued{false};
        int result = -1, flushed_in_time = -1;
        task first(cpu, [&] {
            entered = true;
            leave.wait();
        });
        task later(cpu, [&] {
            later_entered = true;
            flushed_in_time = eventually([&] { return flushed.load(); });
        });
        waiting_thread runner([&] { queue_by(way, first, wq); });
        REQUIRE(eventually([&] { return entered.load(); }));
        waiting_thread flusher([&] {
            result = wq.flush();
            flushed = true;
        });
        REQUIRE(eventually([&] { return flusher.waits(); }));
        // Under lock it runs in its caller.
        waiting_thread caller([&] {
            queue_by(way, later, wq);
            later_queued = true;
        });
        REQUIRE(eventually([&] { return later_entered || later_queued; }));
        CHECK_FALSE(flushed);
        leave.open();
        flusher.join();
        caller.join();
        REQUIRE(later.flush() == 0);
        CHECK(result == 0);
        CHECK(flushed_in_time == 1);
    }
}

TEST_CASE("a flush of a workqueue whose item queues itself returns")
{
    for (busy_item::route way : both_routes) {
        workqueue wq;
        std::atomic<bool> enough{false};
        std::atomic<long> finished{0}, refused{0};
        task item(last_cpu(), [&] {
            if (!enough)
                refused += queue_by(way, item, wq) != 1;
            ++finished;
        });
        waiting_thread caller([&] { refused += queue_by(way, item, wq) != 1; });
        REQUIRE(eventually([&] { return finished > 0; }));
        for (int i = 0; i < 50; ++i) {
            long before = finished;
            REQUIRE(wq.flush() == 0);
            CHECK(finished > before);
        }
        enough = true;
        caller.join();
        REQUIRE(wq.drain() == 0);
        CHECK(refused == 0);
    }
}

TEST_CASE("-EDEADLK: a workqueue's function can neither flush, drain nor destroy it")
{
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            workqueue wq;
            std::vector<int> results;
            task item(cpu, [&] { results = {wq.flush(), wq.drain(), pw_workqueue_destroy(wq)}; });
            REQUIRE(queue_by(way, item, wq) == 1);
            REQUIRE(item.flush() == 0);
            CHECK(results == std::vector<int>{-EDEADLK, -EDEADLK, -EDEADLK});
            // It is as it was.
            REQUIRE(queue_by(way, item, wq) == 1);
            CHECK(wq.flush() == 0);
            CHECK(wq.destroy() == 0);

            int system = 0;
            task other(cpu, [&] { system = pw_workqueue_flush(nullptr); });
            REQUIRE(queue_by(way, other) == 1);
            REQUIRE(other.flush() == 0);
            CHECK(system == -EDEADLK);
        }
}

TEST_CASE("a worker serves high-priority items first, but no normal one waits behind more than 16 of them")
{
    const int normals = 100, highs = 200;
    for (busy_item::route way : routes_to_worker())
        for (int cpu : worker_cpus()) {
            workqueue normal("normal"), first("first", PW_WQ_HIGHPRI);
            start_order order;
            task_list slow = numbered(order, cpu, normals), fast = numbered(order, cpu, highs, high);
            busy_item busy(cpu, way);
            int wrong = 0;
            for (const auto &each : slow)
                wrong += queue_by(way, *each, normal) != 1;
            for (const auto &each : fast)
                wrong += queue_by(way, *each, first) != 1;
            CHECK(wrong == 0);
            CHECK(order.started().empty());
            busy.let_go();
            REQUIRE(normal.flush() == 0);
            REQUIRE(first.flush() == 0);
            const std::vector<int> started = order.started();
            REQUIRE(started.size() == normals + highs);
            // For as long as both wait, each normal item comes behind at least one high one and at most the
            // burst.
            int in_a_row = 0, highs_left = highs, too_early = 0, starved = 0;
            std::vector<int> slow_order, fast_order;
            for (int each : started) {
                if (each >= high) {
                    fast_order.push_back(each);
                    ++in_a_row;
                    --highs_left;
                    starved += in_a_row > PW_WQ_HIGHPRI_BURST && slow_order.size() < normals;
                } else {
                    slow_order.push_back(each);
                    too_early += in_a_row == 0 && highs_left > 0;
                    in_a_row = 0;
                }
            }
            CHECK(started.front() == high);
            CHECK(too_early == 0);
            CHECK(starved == 0);
            CHECK(slow_order == rising(normals));
            CHECK(fast_order == rising(highs, high));
        }
}

TEST_CASE("a worker serves normal workqueues, and high-priority ones, in the order of queueing")
{
    for (busy_item::route way : routes_to_worker()) {
        const int cpu = last_cpu(), many = 12;
        workqueue a("a"), b("b"), c("c", PW_WQ_HIGHPRI), d("d", PW_WQ_HIGHPRI);
        start_order order;
        task_list slow = numbered(order, cpu, many), fast = numbered(order, cpu, many, high);
        busy_item busy(cpu, way);
        pw_workqueue *normal[] = {a, b, nullptr}, *first[] = {c, d};
        int wrong = 0;
        for (size_t i = 0; i < many; ++i) {
            wrong += queue_by(way, *slow[i], normal[i % 3]) != 1;
            wrong += queue_by(way, *fast[i], first[i % 2]) != 1;
        }
        CHECK(wrong == 0);
        busy.let_go();
        REQUIRE(flush_all(slow) == 0);
        REQUIRE(flush_all(fast) == 0);
        std::vector<int> expected = rising(many, high);
        for (int each : rising(many))
            expected.push_back(each);
        CHECK(order.started() == expected);
    }
}

TEST_CASE("guarantee 5: what one thread queues to one CPU and one workqueue starts in that order")
{
    const int many = 500 / scale;
    for (busy_item::route way : both_routes)
        for (int cpu : worker_cpus()) {
            workqueue normal("normal"), first("first", PW_WQ_HIGHPRI);
            std::array<start_order, 3> slow, fast;
            std::array<int, 3> wrong = {};
            std::atomic<int> errors{0};
            on_threads(3, [&](int thread) {
                auto i = static_cast<size_t>(thread);
                task_list mine = numbered(slow[i], cpu, many), mine_first = numbered(fast[i], cpu, many);
                for (size_t n = 0; n < static_cast<size_t>(many); ++n) {
                    wrong[i] += queue_by(way, *mine[n], normal) != 1;
                    wrong[i] += queue_by(way, *mine_first[n], first) != 1;
                }
                errors += flush_all(mine) + flush_all(mine_first);
            });
            CHECK(errors == 0);
            for (size_t i = 0; i < 3; ++i) {
                CHECK(wrong[i] == 0);
                CHECK(slow[i].started() == rising(many));
                CHECK(fast[i].started() == rising(many));
            }
        }
}

TEST_CASE("an item keeps the priority of its first workqueue: another one is refused with -EINVAL")
{
    for (busy_item::route way : both_routes) {
        workqueue normal("normal"), other("other"), first("first", PW_WQ_HIGHPRI),
            second("second", PW_WQ_HIGHPRI);
        int slow_runs = 0, fast_runs = 0;
        task slow(last_cpu(), [&] { ++slow_runs; }), fast(last_cpu(), [&] { ++fast_runs; });
        for (pw_workqueue *each : {static_cast<pw_workqueue *>(normal), static_cast<pw_workqueue *>(nullptr),
                                   static_cast<pw_workqueue *>(other)}) {
            CHECK(queue_by(way, slow, each) == 1);
            REQUIRE(slow.flush() == 0);
            CHECK(queue_by(way, slow, first) == -EINVAL);
        }
        for (pw_workqueue *each : {static_cast<pw_workqueue *>(first), static_cast<pw_workqueue *>(second)}) {
            CHECK(queue_by(way, fast, each) == 1);
            REQUIRE(fast.flush() == 0);
            CHECK(queue_by(way, fast, normal) == -EINVAL);
            CHECK(queue_by(way, fast) == -EINVAL);
        }
        CHECK(first.flush() == 0);
        CHECK(normal.flush() == 0);
        CHECK(slow_runs == 3);
        CHECK(fast_runs == 2);
    }
}

TEST_CASE("child: workqueues outlive the runtime", "[.child]")
{
    workqueue wq("outlives"), first("outlives, first", PW_WQ_HIGHPRI);
    CHECK(library_threads().empty());
    int runs = 0, more = 0;
    task item(given_cpus.back(), [&] { ++runs; }), fast(given_cpus.back(), [&] { ++more; });
    for (int round = 1; round <= 3; ++round) {
        REQUIRE(pw_runtime_start(nullptr) == 0);
        CHECK(item.queue_to_worker() == 1);
        CHECK(item.flush() == 0);
        CHECK(queue_by(busy_item::by_worker, item, wq) == 1);
        CHECK(queue_by(busy_item::by_worker, fast, first) == 1);
        REQUIRE(pw_runtime_stop() == 0);
        CHECK(runs == 2 * round);
        CHECK(more == round);
        CHECK(queue_by(busy_item::by_worker, item, wq) == -ESHUTDOWN);
        CHECK(queue_by(busy_item::by_worker, fast, first) == -ESHUTDOWN);
        CHECK(wq.flush() == 0);
        CHECK(wq.drain() == 0);
    }
    CHECK(wq.destroy() == 0);
    CHECK(queue_by(busy_item::by_worker, fast, first) == -ESHUTDOWN);
    REQUIRE(pw_runtime_start(nullptr) == 0);
    CHECK(queue_by(busy_item::by_worker, fast, first) == 1);
    CHECK(first.destroy() == 0);
    CHECK(more == 4);
}

TEST_CASE("workqueues outlive the runtime, and the next start serves them")
{
    require_passes("child: workqueues outlive the runtime");
}
