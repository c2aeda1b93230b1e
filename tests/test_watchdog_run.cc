// SPDX-License-Identifier: MIT
// The watchdog of a running runtime: what it says on stderr, and that it says it once.
#include "time_limit.h"

#include "capture.h"
#include "on_cpu.h"
#include "tasks.h"

#include <sched.h>
#include <string>

namespace {

struct running {
    explicit running(const char *options) { REQUIRE(pw_runtime_start(options) == 0); }
    ~running() { pw_runtime_stop(); }
};

} // namespace

// Where the watchdog finds its name.
extern "C" void stays_too_long(pw_struct *work);
static door entered, leave;
extern "C" void stays_too_long(pw_struct *)
{
    entered.open();
    leave.wait();
}

TEST_CASE("a function that runs too long is named once, with its CPU")
{
    stderr_capture said;
    running runtime("watchdog_ms=20");
    const int cpu = last_cpu();
    pw_struct item;
    INIT_PW(&item, stays_too_long, cpu);
    std::thread queuer([&] { pw_queue_on(cpu, nullptr, &item); });
    entered.wait();
    const std::string line = "pwlocks: watchdog: cpu " + std::to_string(cpu) +
                             ": work function stays_too_long has been running for ";
    CHECK(eventually([&] { return count_of(said.so_far(), line) == 1; }));
    // Another one on another CPU is a case of its own: by then the first would have been told twice.
    if (int other = first_cpu(); other != cpu) {
        busy_item second(other);
        const std::string its = "pwlocks: watchdog: cpu " + std::to_string(other) + ": ";
        CHECK(eventually([&] { return count_of(said.so_far(), its) == 1; }));
    }
    CHECK(count_of(said.so_far(), line) == 1);
    leave.open();
    queuer.join();
    CHECK(pw_flush(&item) == 0);
}

TEST_CASE("a worker that a real-time loop keeps from its CPU is told, with the loop's thread and what to do")
{
    std::atomic<bool> stop{false}, refused{false}, runs{false};
    pid_t loop_thread = 0;
    stderr_capture said;
    running runtime("watchdog_ms=50");
    const int cpu = last_cpu();
    std::thread loop([&] {
        sched_param priority = {};
        priority.sched_priority = 10;
        loop_thread = gettid();
        pthread_setname_np(pthread_self(), "rt (loop)");
        refused = !pin(0, cpu) || sched_setscheduler(0, SCHED_FIFO, &priority) != 0;
        runs = true;
        while (!stop && !refused) {
        }
    });
    while (!runs)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (refused || first_cpu() == cpu) {
        stop = true;
        loop.join();
        printf("skipped: needs two CPUs and the right to run a real-time thread\n");
        return;
    }
    task item(cpu);
    CHECK(item.queue_to_worker() == 1);
    const std::string line = "thread " + std::to_string(loop_thread) + " \"rt (loop)\" (fifo 10) keeps it";
    CHECK(eventually([&] { return count_of(said.so_far(), line) >= 1; }));
    CAPTURE(said.so_far());
    // Under lock there is no such advice: it is in force.
    CHECK((count_of(said.so_far(), "PWLOCKS=1") > 0) == !under_lock());
    stop = true;
    loop.join();
    CHECK(item.flush() == 0);
}

TEST_CASE("nothing is said of a runtime that is idle, or that goes on")
{
    stderr_capture said;
    {
        running runtime("watchdog_ms=20");
        task item(last_cpu());
        auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(200);
        while (std::chrono::steady_clock::now() < until) {
            item.queue();
            item.flush();
        }
    }
    // This machine's own noise may keep a worker waiting; but no function took long.
    CHECK(count_of(said.so_far(), "has been running") == 0);
}
