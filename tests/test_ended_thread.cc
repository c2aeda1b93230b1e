// SPDX-License-Identifier: MIT
// Under the lock strategy a function may end the thread that runs it, by pthread_exit() or cancellation: what
// was handed to that thread meanwhile runs, in its turn, whoever else waits for it.
#include "time_limit.h"

#include "capture.h"
#include "on_cpu.h"
#include "programs.h"
#include "queues.h"
#include "somebody.h"

#include <algorithm>
#include <pthread.h>
#include <sys/resource.h>

namespace {

bool possible()
{
    if (!under_lock())
        WARN("skipped: under queue no function may end its thread");
    return under_lock();
}

// An item whose first executions end their threads, when they are let go. What it is used by may wait for it.
class ending_item {
  public:
    ending_item(
        int cpu, int endings, std::function<void()> then = [] {})
        : endings_(endings), then_(std::move(then)), item_{{}, this}
    {
        INIT_PW(&item_.base, run, cpu);
        runner_ = std::thread([this] { pw_queue_on(pw_get_cpu(&item_.base), nullptr, &item_.base); });
        entered_.wait();
    }
    ~ending_item()
    {
        let_go();
        pw_flush(&item_.base);
        pw_cancel_sync(&item_.base);
    }
    ending_item(const ending_item &) = delete;
    ending_item &operator=(const ending_item &) = delete;

    void let_go()
    {
        leave_.open();
        if (runner_.joinable())
            runner_.join();
    }
    pw_struct &item() { return item_.base; }
    int queue() { return pw_queue_on(pw_get_cpu(&item_.base), nullptr, &item_.base); }
    int flush() { return pw_flush(&item_.base); }
    int runs() const { return runs_; }

  private:
    // Plain data: no destructor runs twice when a thread ends inside.
    struct plain {
        pw_struct base;
        ending_item *self;
    };
    static void run(pw_struct *work)
    {
        ending_item &self = *reinterpret_cast<plain *>(work)->self;
        const int which = ++self.runs_;
        if (which == 1) {
            self.entered_.open();
            self.leave_.wait();
        }
        if (which > 1)
            self.then_();
        if (which <= self.endings_)
            pthread_exit(nullptr);
    }

    const int endings_;
    std::function<void()> then_;
    plain item_;
    std::atomic<int> runs_{0};
    door entered_, leave_;
    std::thread runner_;
};

} // namespace

TEST_CASE(
    "guarantee 7: under lock, what was handed to a thread runs although the thread ends inside the function")
{
    if (!possible())
        return;
    for (int endings : {1, 2, 5}) {
        ending_item item(last_cpu(), endings);
        // Handed to it again each time, also by the execution itself.
        CHECK(item.queue() == 1);
        CHECK(item.runs() == 1);
        item.let_go();
        CHECK(item.flush() == 0);
        CHECK(item.runs() == 2);
        // Nothing of that thread is left behind.
        for (int n = 3; n <= endings; ++n)
            std::thread([&] { item.queue(); }).join();
        const int before = item.runs();
        CHECK(before == std::max(endings, 2));
        CHECK(item.queue() == 1);
        CHECK(item.runs() == before + 1);
    }
}

TEST_CASE("what a thread was handed that ends runs while its CPU's deputy waits for it")
{
    if (!possible())
        return;
    const int cpu = last_cpu(), other = first_cpu();
    if (cpu == other) {
        WARN("skipped: one worker only");
        return;
    }
    ending_item item(cpu, 1);
    int flushed = -1, seen = 0;
    std::atomic<pid_t> waiting{0};
    // What falls due for the CPU runs on the deputy, and so does what it queues for the other one.
    task nested(other, [&] {
        waiting = gettid();
        flushed = item.flush();
        seen = item.runs();
    });
    delayed_task due(cpu, [&] { nested.queue(); });
    REQUIRE(item.queue() == 1);
    REQUIRE(due.arm(1) == 1);
    REQUIRE(eventually([&] { return waiting != 0 && status_field(waiting, "State").rfind("S", 0) == 0; }));
    item.let_go();
    CHECK(due.flush() == 0);
    CHECK(flushed == 0);
    CHECK(seen == 2);
}

TEST_CASE("what a thread was handed that ends may be taken back, and a stop waits for it")
{
    if (!possible())
        return;
    {
        ending_item item(last_cpu(), 1);
        REQUIRE(item.queue() == 1);
        CHECK(pw_cancel(&item.item()) == 1);
        item.let_go();
        CHECK(item.flush() == 0);
        CHECK(item.runs() == 1);
    }
    std::atomic<bool> stopped{false};
    bool early = false;
    door last_goes_on;
    ending_item item(last_cpu(), 2, [&] {
        last_goes_on.wait();
        early = stopped;
    });
    REQUIRE(item.queue() == 1);
    item.let_go();
    waiting_thread stopper([&] {
        pw_runtime_stop();
        stopped = true;
    });
    CHECK(eventually([&] { return stopper.waits(); }));
    CHECK_FALSE(stopped);
    last_goes_on.open();
    stopper.join();
    CHECK_FALSE(early);
    CHECK(item.runs() == 2);
    CHECK(no_library_thread_stays());
    CHECK(pw_runtime_start(nullptr) == 0);
}

TEST_CASE("a thread that is cancelled inside a function leaves what it was handed")
{
    if (!possible())
        return;
    if (sanitized) {
        WARN("skipped: sanitizers lose track of a thread's stack and mutexes when it is cancelled in a system call");
        return;
    }
    static std::atomic<int> runs;
    static door entered;
    runs = 0;
    pw_struct item;
    INIT_PW(
        &item,
        [](pw_struct *) {
            if (++runs > 1)
                return;
            entered.open();
            for (;;)
                pause();
        },
        last_cpu());
    pthread_t runner;
    REQUIRE(pthread_create(
                &runner, nullptr,
                [](void *work) -> void * {
                    auto *queued = static_cast<pw_struct *>(work);
                    pw_queue_on(pw_get_cpu(queued), nullptr, queued);
                    return nullptr;
                },
                &item) == 0);
    entered.wait();
    CHECK(pw_queue_on(pw_get_cpu(&item), nullptr, &item) == 1);
    REQUIRE(pthread_cancel(runner) == 0);
    void *result = nullptr;
    REQUIRE(pthread_join(runner, &result) == 0);
    CHECK(result == PTHREAD_CANCELED);
    CHECK(pw_flush(&item) == 0);
    CHECK(runs == 2);
}

TEST_CASE("child: no thread is left for what an ending thread was handed", "[.child]")
{
    const bool alone = become_somebody();
    REQUIRE(pw_runtime_start(nullptr) == 0);
    ending_item item(last_cpu(), 1);
    REQUIRE(item.queue() == 1);
    rlimit unlimited;
    REQUIRE(getrlimit(RLIMIT_NPROC, &unlimited) == 0);
    rlimit limit = unlimited;
    limit.rlim_cur = alone ? threads().size() : 0;
    REQUIRE(setrlimit(RLIMIT_NPROC, &limit) == 0);
    std::string text;
    {
        stderr_capture capture;
        item.let_go();
        text = capture.text();
    }
    REQUIRE(setrlimit(RLIMIT_NPROC, &unlimited) == 0);
    CHECK(text.find("there is none for what was handed to it: Resource temporarily unavailable\n") !=
          std::string::npos);
    CHECK(item.flush() == 0);
    CHECK(item.runs() == 2);
    CHECK(pw_runtime_stop() == 0);
}

TEST_CASE("where no thread can be made for what an ending thread was handed, its CPU's deputy runs it")
{
    if (!possible())
        return;
    require_passes("child: no thread is left for what an ending thread was handed");
}
