// SPDX-License-Identifier: MIT
// Fork from inside work, on a worker or on the thread that queued: the child uses the runtime from there, and may
// return.
#include "time_limit.h"

#include "in_fork.h"
#include "programs.h"

#include <atomic>
#include <functional>
#include <string>

namespace {

// An item whose function forks. What its child does there decides the test.
struct forking_item : pw_struct {
    std::function<int()> in_child;
    std::atomic<pid_t> child{0};

    forking_item(int on, std::function<int()> function) : in_child(std::move(function)) { INIT_PW(this, run, on); }

    static void run(pw_struct *work)
    {
        auto &self = *static_cast<forking_item *>(work);
        pid_t forked = fork();
        if (forked == 0) {
            become_child();
            _exit(self.in_child());
        }
        self.child = forked;
    }
};

using queue_call = int (*)(int, pw_workqueue *, pw_struct *);

} // namespace

TEST_CASE("a function may fork, and the child uses the runtime from inside the function")
{
    if (!possible_with_threads())
        return;
    for (queue_call queue : {&pw_queue_on, &pw_queue_work_on})
        for (int cpu : worker_cpus()) {
            forking_item item(cpu, use_everything);
            let_threads_settle();
            REQUIRE(queue(cpu, nullptr, &item) == 1);
            REQUIRE(pw_flush(&item) == 0);
            REQUIRE(item.child > 0);
            CHECK(status_of(item.child) == 0);
            // The parent's worker goes on.
            int runs = 0;
            task next(cpu, [&] { ++runs; });
            CHECK(next.queue() == 1);
            CHECK(next.flush() == 0);
            CHECK(runs == 1);
        }
}

TEST_CASE("a function that forks may be nested in another one")
{
    if (!possible_with_threads())
        return;
    const int outer_cpu = first_cpu(), inner_cpu = last_cpu();
    forking_item inner(inner_cpu, use_everything);
    task outer(outer_cpu, [&] { pw_queue_on(inner_cpu, nullptr, &inner); });
    let_threads_settle();
    REQUIRE(outer.queue() == 1);
    REQUIRE(outer.flush() == 0);
    REQUIRE(pw_flush(&inner) == 0);
    REQUIRE(inner.child > 0);
    CHECK(status_of(inner.child) == 0);
}

TEST_CASE("under lock, the child of a function returns from it and goes on")
{
    if (!possible_with_threads())
        return;
    if (!under_lock()) {
        WARN("skipped: under queue the function returns to a worker");
        return;
    }
    pid_t forked = -1;
    int runs = 0;
    task item(last_cpu(), [&] {
        ++runs;
        forked = fork();
    });
    const pid_t parent = getpid();
    let_threads_settle();
    int result = item.queue();
    if (getpid() != parent) {
        become_child();
        _exit([&] {
            EXPECT(result == 1);
            EXPECT(runs == 1);
            EXPECT(item.flush() == 0);
            return use_everything();
        }());
    }
    CHECK(result == 1);
    REQUIRE(forked > 0);
    CHECK(status_of(forked) == 0);
}

TEST_CASE("the child of a worker that returns from the function ends, whatever it has started")
{
    if (!possible_with_threads())
        return;
    // Leaks are none of its business: it lacks the parent's stacks.
    for (const char *way : {"idle", "use", "use-and-stop"}) {
        CAPTURE(way);
        ended result = run_program({helper("fork"), way}, {{"ASAN_OPTIONS", "detect_leaks=0"}});
        INFO(shown(result));
        CHECK(result.exited(0));
        CHECK(result.out == (way == std::string("idle") ? "child ended with 0\n" : "child used it\nchild ended with 0\n"));
        CHECK(result.err == "");
    }
}
