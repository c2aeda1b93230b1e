// SPDX-License-Identifier: MIT
// Which thread keeps a worker from its CPU: what is read of threads in /proc, and which of them is chosen.
#include "time_limit.h"

#include "catch.h"
#include "hog_candidates.h"
#include "on_cpu.h"
#include "this_process.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <sys/prctl.h>
#include <thread>
#include <vector>

using namespace pw::detail;
using namespace std::string_literals;

namespace {

// A stat line as the kernel writes it.
std::string stat_line(const std::string &name, const std::string &state = "R", const std::string &cpu = "7",
                      const std::string &priority = "0", const std::string &policy = "0",
                      const std::string &nice = "-5")
{
    return "4711 ("s + name + ") " + state + " 1 2 3 0 -1 4194304 106 0 0 0 250 17 0 0 20 " + nice +
           " 3 0 115007 3133440 416 18446744073709551615 1 2 3 0 0 0 0 0 0 0 0 0 17 " + cpu + " " + priority +
           " " + policy + " 0 0 0 1 2 3 4 5 6 7 0\n";
}

pid_t chosen(const std::vector<hog_candidate> &candidates, int cpu = 1, pid_t worker = 99)
{
    const hog_candidate *hog = choose_hog(candidates, cpu, worker);
    return hog ? hog->thread.tid : 0;
}

// A thread that does not leave its CPU by itself.
class spinner {
  public:
    explicit spinner(int cpu) : thread_([this, cpu] { spin(cpu); })
    {
        while (tid_ == 0)
            std::this_thread::yield();
    }
    ~spinner()
    {
        stop_ = true;
        thread_.join();
    }
    spinner(const spinner &) = delete;
    spinner &operator=(const spinner &) = delete;

    pid_t tid() const { return tid_; }

  private:
    void spin(int cpu)
    {
        prctl(PR_SET_NAME, "a) S (b");
        pin(0, cpu);
        tid_ = gettid();
        while (!stop_) {
        }
    }

    std::atomic<pid_t> tid_{0};
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

} // namespace

TEST_CASE("a thread's stat line is read, whatever its name")
{
    for (const std::string &name :
         {"loop"s, ""s, " "s, ")"s, "("s, ") R 1 ("s, "a) S (b"s, ") "s, "\\n\\\\"s, "\xc3\xa9"s}) {
        CAPTURE(name);
        thread_facts facts;
        REQUIRE(parse_thread_stat(stat_line(name), facts));
        CHECK(facts.tid == 4711);
        CHECK(facts.name == name);
        CHECK(facts.state == 'R');
        CHECK(facts.ticks == 267);
        CHECK(facts.nice == -5);
        CHECK(facts.cpu == 7);
        CHECK(facts.rt_priority == 0);
        CHECK(facts.policy == 0);
    }
    thread_facts facts;
    REQUIRE(parse_thread_stat(stat_line(std::string(63, 'k'), "D", "8191", "99", "1", "0"), facts));
    CHECK(facts.name == std::string(thread_facts::longest_name, 'k'));
    CHECK(facts.state == 'D');
    CHECK(facts.cpu == 8191);
    CHECK(facts.rt_priority == 99);
    CHECK(facts.policy == fifo);
    // Ours, as this kernel writes it.
    REQUIRE(parse_thread_stat(thread_file(gettid(), "stat") + "\n", facts));
    CHECK(facts.tid == gettid());
    CHECK(facts.state == 'R');
    CHECK(facts.name == thread_file(gettid(), "comm"));
}

TEST_CASE("a malformed or cut stat line is refused and changes nothing")
{
    const std::string good = stat_line("a) (b");
    const size_t complete = good.rfind(" 0 0 0 1 2 3"); // up to the policy
    for (size_t length = 0; length < complete; ++length) {
        thread_facts facts = {};
        facts.tid = 1;
        // A number that is cut is still one, but never without those behind it.
        CHECK_FALSE(parse_thread_stat(good.substr(0, length), facts));
        CHECK(facts.tid == 1);
    }
    thread_facts facts = {};
    CHECK(parse_thread_stat(good.substr(0, complete), facts));
    for (const std::string &bad :
         {stat_line("x", "RR"), stat_line("x", "R", "x"), stat_line("x", "R", "7", "-"),
          stat_line("x", "R", "7", "0", "1.5"), stat_line("x", "R", "99999999999"), " (x) R"s, "1 (x"s,
          "1 ) ("s, ") "s, "x"s + good, "4711(x) R 1"s})
        CHECK_FALSE(parse_thread_stat(bad, facts));
}

TEST_CASE("a thread's times are read")
{
    thread_times times = {};
    REQUIRE(parse_thread_times("86569 2784039 2\n", times));
    CHECK(times.on_cpu_ns == 86569);
    CHECK(times.waited_ns == 2784039);
    CHECK(parse_thread_times("18446744073709551615 0 0", times));
    for (const char *bad : {"", "1", "1 ", "x 1 2", "1 x 2", "-1 1 1", "18446744073709551616 1 1"}) {
        CAPTURE(bad);
        times = {7, 8};
        CHECK_FALSE(parse_thread_times(bad, times));
        CHECK(times.on_cpu_ns == 7);
        CHECK(times.waited_ns == 8);
    }
}

TEST_CASE("what a thread ran is the larger of two measures")
{
    constexpr uint64_t tick = 10 * ms;
    CHECK(grown_ns(5, 5, 3, 3, tick) == 0);
    CHECK(grown_ns(5, 9, 3, 3, tick) == 4);
    CHECK(grown_ns(5, 5, 3, 5, tick) == 2 * tick); // a CPU without a tick
    CHECK(grown_ns(0, 20 * ms, 3, 4, tick) == 20 * ms);
    CHECK(grown_ns(9, 5, 3, 2, tick) == 0); // another thread with that number
}

TEST_CASE("the hog is the thread that ran most on that CPU, not the worker")
{
    CHECK(chosen({}) == 0);
    CHECK(chosen({candidate(1, 1, 5), candidate(2, 1, 15), candidate(3, 2, 20)}) == 2);
    CHECK(chosen({candidate(1, 1, 5), candidate(99, 1, 15)}) == 1);
    CHECK(chosen({candidate(99, 1, 15)}) == 0);
    CHECK(chosen({candidate(1, 1, 15), candidate(2, 1, 5, fifo, 50)}) == 1);
    CHECK(chosen({candidate(1, 1, 10, fifo, 10), candidate(2, 1, 10, round_robin, 11)}) == 2);
    CHECK(chosen({candidate(1, 1, 10, fifo, 99), candidate(2, 1, 10, deadline)}) == 2);
}

TEST_CASE("of threads that were not seen to run only a real-time one can be the hog")
{
    CHECK(chosen({candidate(1, 1, 0), candidate(2, 1, 0, batch)}) == 0);
    CHECK(chosen({candidate(1, 1, 0), candidate(2, 1, 0, fifo, 5), candidate(3, 1, 0, fifo, 4)}) == 2);
    CHECK(chosen({candidate(1, 1, 1), candidate(2, 1, 0, fifo, 5)}) == 1);
    // The worker itself, before it told its tid.
    hog_candidate unborn = candidate(4, 1, 0, fifo, 50);
    unborn.thread.ticks = 0;
    CHECK(chosen({unborn}, 1, 0) == 0);
    CHECK(chosen({unborn, candidate(2, 1, 0, fifo, 5)}, 1, 0) == 2);
}

TEST_CASE("a runnable thread is found on its CPU, and on no other")
{
    int cpu = given_cpus.back();
    spinner thread(cpu);
    std::atomic<uint32_t> stop{0};
    cpu_mask here, elsewhere;
    here.insert(cpu);
    for (int other = 0; other < max_cpus; ++other)
        if (other != cpu)
            elsewhere.insert(other);
    auto found = [&](const hog_search &search) {
        return std::count_if(search.candidates().begin(), search.candidates().end(),
                             [&](const hog_candidate &each) { return each.thread.tid == thread.tid(); });
    };
    hog_search search;
    search.list(here, stop);
    REQUIRE(found(search) == 1);
    for (const hog_candidate &each : search.candidates()) {
        CHECK(each.thread.cpu == cpu);
        CHECK(each.thread.tid != gettid());
        if (each.thread.tid == thread.tid()) {
            CHECK(each.pid == getpid());
            CHECK(each.thread.name == "a) S (b"s);
            CHECK(each.thread.policy == 0);
        }
    }
    // Whether it runs now is the scheduler's matter, but in the end it does.
    auto ran = [&] {
        search.measure();
        for (const hog_candidate &each : search.candidates())
            if (each.thread.tid == thread.tid())
                return each.grown_ns > 0;
        return false;
    };
    while (!ran())
        std::this_thread::yield();
    search.list(elsewhere, stop);
    CHECK(found(search) == 0);
    stop = 1;
    search.list(here, stop);
    CHECK(search.candidates().empty());
}
