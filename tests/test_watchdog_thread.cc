// SPDX-License-Identifier: MIT
// The watchdog's thread: what it says of what it watches, where and how it runs, and how it starts and ends.
#include "time_limit.h"

#include "capture.h"
#include "catch.h"
#include "in_child.h"
#include "on_cpu.h"
#include "this_process.h"
#include "watchdog.h"

#include <atomic>
#include <mutex>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <vector>

using namespace pw::detail;

namespace {

// What the watchdog watches here: set by the test, read by the watchdog's thread.
class scene final : public watch_source {
  public:
    size_t workers() const override { return 2; }
    size_t callers() const override
    {
        ++looks_;
        std::lock_guard held(mutex_);
        return callers_.size();
    }
    watched_worker worker(size_t index) const override
    {
        std::lock_guard held(mutex_);
        return workers_[index];
    }
    watched_caller caller(size_t index) const override
    {
        std::lock_guard held(mutex_);
        return callers_[index];
    }

    void set(size_t index, const watched_worker &worker)
    {
        std::lock_guard held(mutex_);
        workers_[index] = worker;
    }
    void add_caller(const watched_caller &caller)
    {
        std::lock_guard held(mutex_);
        callers_.push_back(caller);
    }

    // Waits for whole looks.
    void looks(int count) const
    {
        int until = looks_ + count + 1;
        while (looks_ < until)
            std::this_thread::yield();
    }

  private:
    mutable std::mutex mutex_;
    mutable std::atomic<int> looks_{0};
    watched_worker workers_[2];
    std::vector<watched_caller> callers_;
};

constinit watchdog the_watchdog;

// What was captured of stderr so far.
off_t written()
{
    struct stat file;
    return fstat(STDERR_FILENO, &file) == 0 ? file.st_size : -1;
}

void wait_for_writing(off_t more_than)
{
    while (written() <= more_than)
        std::this_thread::yield();
}

pid_t watchdog_thread()
{
    for (pid_t thread : threads())
        if (thread_file(thread, "comm") == "pw/watchdog")
            return thread;
    return 0;
}

// pthread_join() returns a moment before the kernel forgets the thread.
bool watchdog_thread_ends()
{
    return eventually([] { return watchdog_thread() == 0; });
}

} // namespace

TEST_CASE("the thread says each thing once, with names")
{
    scene seen;
    stderr_capture capture;
    cpu_mask anywhere;
    int started = the_watchdog.start(1, anywhere, seen);
    seen.set(0, {5, -1, false, false, 16, 1}); // no module has code there
    wait_for_writing(0);
    seen.looks(20);
    seen.set(1, {6, -1, false, false, 17, 1});
    seen.add_caller({7, 4711, 18, 1});
    for (int i = 0; i < 500; ++i) // more than fit at first
        seen.add_caller({8, 0, 0, 0});
    seen.add_caller({9, 0, 19, 1});
    seen.looks(20);
    off_t before = written();
    seen.set(0, {5, -1, false, false, 16, 2});
    wait_for_writing(before);
    the_watchdog.stop();
    std::string text = capture.text();
    CAPTURE(text);
    REQUIRE(started == 0);
    CHECK(count_of(text, "pwlocks: watchdog: cpu 5: work function 0x10 has been running for ") == 2);
    CHECK(count_of(text, "pwlocks: watchdog: cpu 6: work function 0x11 has been running for ") == 1);
    CHECK(count_of(text, "pwlocks: watchdog: cpu 7: work function 0x12 has been running for ") == 1);
    CHECK(count_of(text, " ms on thread 4711\n") == 1);
    CHECK(count_of(text, "pwlocks: watchdog: cpu 9: work function 0x13 has been running for ") == 1);
    CHECK(count_of(text, "\n") == 5);
}

TEST_CASE("the thread has its name, the CPUs that it was given, no signals and the ordinary class, and ends "
          "when told")
{
    scene seen;
    cpu_mask housekeeping;
    housekeeping.insert(given_cpus.back());
    for (int round = 0; round < 3; ++round) {
        // It sleeps for a second at a time now: stopping does not wait for that, or this took minutes.
        REQUIRE(the_watchdog.start(3'600'000, housekeeping, seen) == 0);
        pid_t thread = watchdog_thread();
        REQUIRE(thread != 0);
        CHECK(stays_on(thread, given_cpus.back()));
        auto blocks = [&](int signal) {
            return (std::stoull(status_field(thread, "SigBlk"), nullptr, 16) >> (signal - 1) & 1) != 0;
        };
        while (blocks(SIGSEGV)) // glibc starts threads with all signals blocked
            std::this_thread::yield();
        for (int signal : {SIGINT, SIGTERM, SIGALRM, SIGCHLD, SIGPROF, SIGUSR1})
            CHECK(blocks(signal));
        CHECK(sched_getscheduler(thread) == SCHED_OTHER);
        the_watchdog.stop();
        CHECK(watchdog_thread_ends());
        the_watchdog.stop(); // nothing
    }
}

TEST_CASE("CPUs that are not to be had are refused with a line, and nothing is left behind")
{
    scene seen;
    cpu_mask nowhere;
    nowhere.insert(max_cpus - 1);
    stderr_capture capture;
    long before = mappings();
    int result = the_watchdog.start(10, nowhere, seen);
    long after = mappings();
    std::string text = capture.text();
    CHECK(result == -EAGAIN);
    CHECK(text == "pwlocks: watchdog: thread not created: Invalid argument\n");
    CHECK(watchdog_thread_ends());
    CHECK(after <= before + 2); // glibc keeps the stack for the next thread
    the_watchdog.stop();        // nothing
}

TEST_CASE("a fork's child forgets its parent's thread and may have one of its own")
{
    scene seen;
    REQUIRE(the_watchdog.start(3'600'000, {}, seen) == 0);
    outcome child = in_child([&] {
        the_watchdog.forget();
        the_watchdog.stop(); // would wait for ever if it remembered
        if (watchdog_thread() != 0)
            return 1;
        if (thread_sanitized) // has no threads in such a child
            return 0;
        if (the_watchdog.start(3'600'000, {}, seen) != 0)
            return 2;
        if (watchdog_thread() == 0)
            return 3;
        the_watchdog.stop();
        return watchdog_thread_ends() ? 0 : 4;
    });
    CHECK(child.status == 0);
    CHECK(child.text == "");
    CHECK(watchdog_thread() != 0);
    the_watchdog.stop();
}
