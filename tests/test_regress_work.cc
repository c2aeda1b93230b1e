// SPDX-License-Identifier: MIT
// What reviews have found wrong in cancelling, timers, workqueues, calls for every CPU and forks: each once
// more, as what should happen instead, under both strategies.
#include "time_limit.h"

#include "on_cpu.h"
#include "programs.h"
#include "queues.h"
#include "settle.h"

#include <algorithm>
#include <csignal>
#include <sys/mman.h>

namespace {

using call_body = std::function<void(int)>;

int on_each_cpu(const call_body &function)
{
    return pw_on_each_cpu([](int cpu, void *arg) { (*static_cast<const call_body *>(arg))(cpu); },
                          const_cast<call_body *>(&function));
}

// As long as a function needs for a timer of a microsecond to be due again when it returns.
void take_a_moment()
{
    std::this_thread::sleep_for(std::chrono::microseconds(50));
}

// Whether there are two; says so if not.
bool two_workers()
{
    if (first_cpu() == last_cpu())
        WARN("skipped: one worker only");
    return first_cpu() != last_cpu();
}

// In a fork's child, which has no use for Catch2: says what went wrong and gives up.
#define EXPECT(condition)                                                         \
    do {                                                                          \
        if (!(condition)) {                                                       \
            dprintf(STDERR_FILENO, "child: line %d: %s\n", __LINE__, #condition); \
            return 1;                                                             \
        }                                                                         \
    } while (false)

void become_child()
{
    for (int number : {SIGABRT, SIGSEGV, SIGALRM, SIGTERM})
        signal(number, SIG_DFL);
    sigset_t none; // a worker's are blocked
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    alarm(sanitized ? 120 : 60);
}

int status_of(pid_t forked)
{
    int status = -1;
    while (waitpid(forked, &status, 0) != forked && errno == EINTR) {
    }
    return status;
}

bool possible_with_threads()
{
    if (thread_sanitized)
        WARN("skipped: ThreadSanitizer does not support new threads in a fork's child");
    return !thread_sanitized;
}

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

// Workqueues.

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
    void *memory =
        mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    auto *runs = new (memory) std::atomic<int>(0);
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
    munmap(memory, sizeof(std::atomic<int>));
}
