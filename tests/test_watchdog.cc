// SPDX-License-Identifier: MIT
// The watchdog: what it concludes from a sequence of looks at a worker, and what it says then.
#include "time_limit.h"

#include "catch.h"
#include "hog_candidates.h"
#include "watchdog.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

using namespace pw::detail;
using namespace std::string_literals;

namespace {

constexpr uint64_t limit = 100 * ms;

// A worker's life on a clock of ours: what is set holds until it is set otherwise.
class life {
  public:
    watched_worker worker{3, 1234, false, false, 0, 0};
    thread_sample thread{'S', 5 * ms};

    // Looks once, that much later.
    watch_finding after(uint64_t elapsed_ms)
    {
        thread_sample seen = case_.goes_on(worker) ? thread : thread_sample{};
        return case_.look(worker, seen, elapsed_ms * ms, limit);
    }

    // Looks that many times, 25 ms apart, the thread running so much between two; what was found, in order.
    std::vector<watch_finding> looks(int count, uint64_t running_ms = 0)
    {
        std::vector<watch_finding> all;
        for (int i = 0; i < count; ++i) {
            thread.on_cpu_ns += running_ms * ms;
            if (watch_finding found = after(25); found.verdict != watch_verdict::nothing)
                all.push_back(found);
        }
        return all;
    }

    void starts(uint64_t function)
    {
        worker.running = function;
        worker.sleeping = false;
        ++worker.progress;
    }
    void ends()
    {
        worker.running = 0;
        ++worker.progress;
    }

  private:
    watch_case case_ = {};
};

bool is(const std::vector<watch_finding> &found, watch_verdict verdict, uint64_t at_least, uint64_t at_most)
{
    return found.size() == 1 && found[0].verdict == verdict && found[0].lasted_ns >= at_least &&
           found[0].lasted_ns <= at_most;
}

} // namespace

TEST_CASE("a function that runs for too long is found once, and its next execution anew")
{
    life of;
    of.starts(0x1000);
    of.thread.state = GENERATE('R', 'S', 'D');
    uint64_t running = of.thread.state == 'R' ? 25 : 0;
    CHECK(of.looks(4, running).empty()); // the first one only sees it start
    CHECK(is(of.looks(1, running), watch_verdict::long_run, limit, limit));
    CHECK(of.looks(1000, running).empty());
    of.starts(0x1000); // the same function again, with nothing seen in between
    CHECK(of.looks(4, running).empty());
    CHECK(is(of.looks(100, running), watch_verdict::long_run, limit, limit));
    of.ends();
    CHECK(of.looks(100, running).empty());
}

TEST_CASE("functions that each end in time are never found, however many")
{
    life of;
    of.worker.has_work = true;
    of.thread.state = 'R';
    for (int i = 0; i < 1000; ++i) {
        of.starts(0x1000);
        CHECK(of.looks(4, 20).empty());
    }
}

TEST_CASE("a worker with nothing to do is never found, asleep or awake")
{
    life of;
    of.worker.sleeping = GENERATE(true, false);
    of.thread.state = GENERATE('R', 'S', 'D', 'T');
    CHECK(of.looks(1000).empty());
    // Nor is that time held against what it does next.
    of.worker.has_work = true;
    CHECK(of.looks(4).empty());
}

TEST_CASE("a worker that waits for its CPU with something queued is starved, once until there is progress")
{
    life of;
    of.worker.has_work = true;
    of.worker.sleeping = GENERATE(true, false); // woken, but it has not said so yet
    of.thread.state = 'R';
    // One look to see what there is to do, one to see the thread, then the time.
    CHECK(of.looks(5).empty());
    CHECK(is(of.looks(1), watch_verdict::starved, limit, limit));
    CHECK(of.looks(1000).empty());
    // A moment on the CPU in which nothing was started, as real-time throttling gives: still the same case.
    of.thread.on_cpu_ns += 50 * ms;
    CHECK(of.looks(1000).empty());
    ++of.worker.progress;
    of.thread.on_cpu_ns += 1;
    CHECK(of.looks(5).empty());
    CHECK(is(of.looks(1), watch_verdict::starved, limit, limit));
}

TEST_CASE("a worker that gets its CPU now and then within the limit is not starved")
{
    life of;
    of.worker.has_work = true;
    of.thread.state = 'R';
    for (int i = 0; i < 1000; ++i) {
        of.thread.on_cpu_ns += 1;
        ++of.worker.progress;
        CHECK(of.looks(4).empty());
    }
    // Nor one that blocks in between: it had the CPU for that.
    life blocked;
    blocked.starts(0x1000);
    for (int i = 0; i < 3; ++i) {
        blocked.thread.state = i % 2 ? 'S' : 'R';
        CHECK(blocked.after(30).verdict == watch_verdict::nothing);
    }
}

TEST_CASE("a worker whose thread never ran is starved")
{
    life of;
    of.worker = {3, 0, true, false, 0, 0};
    of.thread = {'R', 0};
    CHECK(is(of.looks(1000), watch_verdict::starved, limit, limit));
}

TEST_CASE("a function's time does not run while its worker waits for the CPU")
{
    life of;
    of.starts(0x1000);
    of.thread.state = 'R';
    CHECK(is(of.looks(1000), watch_verdict::starved, limit, limit));
    CHECK(of.looks(2, 10).empty()); // it had waited for 25 s, all but the beginning of them known
    CHECK(is(of.looks(1000, 10), watch_verdict::long_run, limit, limit));
    CHECK(of.looks(1000, 10).empty());
    CHECK(of.looks(1000).empty()); // starved again in the same execution: told already
}

TEST_CASE("a worker that does not start what is queued, though it could, is stuck")
{
    life of;
    of.worker.has_work = true;
    of.thread.state = GENERATE('S', 'T', 'D');
    CHECK(of.looks(5).empty());
    CHECK(is(of.looks(1), watch_verdict::stuck, limit, limit));
    CHECK(of.looks(1000).empty());
    ++of.worker.progress;
    of.worker.sleeping = true; // to be woken: that is its producer's part
    CHECK(of.looks(1000).empty());
}

TEST_CASE("where nothing is known of the thread, only functions are found")
{
    life of;
    of.worker.has_work = true;
    of.thread = {};
    CHECK(of.looks(1000).empty());
    of.starts(0x1000);
    CHECK(is(of.looks(1000), watch_verdict::long_run, limit, limit));
}

TEST_CASE("a row that another thread took over is another case")
{
    life of;
    of.thread = {};
    of.starts(0x1000);
    CHECK(of.looks(4).empty());
    of.worker.cpu = 4; // the same function, for another CPU
    CHECK(of.looks(4).empty());
    CHECK(is(of.looks(1), watch_verdict::long_run, limit, limit));
}

TEST_CASE(
    "random lives: nothing is found before the limit, and each thing once between two steps of progress")
{
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        life of;
        uint64_t since_progress = 0;
        int found[4] = {};
        for (int step = 0; step < 500; ++step) {
            uint64_t elapsed = random() % 60;
            if (random() % 16 == 0) {
                ++of.worker.progress;
                of.worker.running = random() % 2 * 0x1000;
                since_progress = 0;
                std::fill(std::begin(found), std::end(found), 0);
            } else {
                since_progress += elapsed;
            }
            of.worker.has_work = random() % 4 != 0;
            of.worker.sleeping = random() % 4 == 0;
            of.thread.state = "RRRS"[random() % 4];
            of.thread.on_cpu_ns += random() % 4 == 0;
            watch_finding what = of.after(elapsed);
            if (!of.worker.has_work && !of.worker.running) // the case ends, and with it what was told
                std::fill(std::begin(found), std::end(found), 0);
            if (what.verdict == watch_verdict::nothing)
                continue;
            bool right = what.lasted_ns >= limit && what.lasted_ns <= since_progress * ms &&
                         ++found[static_cast<int>(what.verdict)] == 1;
            if (!right) {
                CAPTURE(round, step, since_progress, what.lasted_ns);
                REQUIRE(right);
            }
        }
    }
}

TEST_CASE("time in which the process was stopped does not count, time without a CPU does")
{
    CHECK(stopped_ns(25 * ms, 25 * ms, 0) == 0);
    CHECK(stopped_ns(1, 25 * ms, 0) == 0);
    CHECK(stopped_ns(35 * ms, 25 * ms, 0) == 0); // late, as sleeps are
    CHECK(stopped_ns(5025 * ms, 25 * ms, 0) == 5000 * ms);
    CHECK(stopped_ns(5025 * ms, 25 * ms, 5000 * ms) == 0);
    CHECK(stopped_ns(5025 * ms, 25 * ms, 3000 * ms) == 2000 * ms);
    CHECK(stopped_ns(5025 * ms, 25 * ms, 9000 * ms) == 0);
}

TEST_CASE("the watchdog looks four times within the limit, within bounds")
{
    CHECK(watch_period_ns(1) == 1 * ms);
    CHECK(watch_period_ns(3) == 1 * ms);
    CHECK(watch_period_ns(100) == 25 * ms);
    CHECK(watch_period_ns(4000) == 1000 * ms);
    CHECK(watch_period_ns(3'600'000) == 1000 * ms);
}

TEST_CASE("lines name the CPU, the function, the time, the thread and the remedy")
{
    hog_candidate hog = candidate(1234, 1, 20, fifo, 10);
    auto starved = [&](const hog_candidate *who, pid_t own, bool lock) {
        return std::string(watch_line::starved(1, 254 * ms + 999'999, nullptr, who, own, lock).text());
    };
    const std::string late = "watchdog: cpu 1: worker has not got its CPU for 254 ms: ";
    CHECK(watch_line::long_run(1, 254 * ms, "drain_cache", 0).text() ==
          "watchdog: cpu 1: work function drain_cache has been running for 254 ms"s);
    CHECK(watch_line::long_run(1, 254 * ms, "drain_cache", 77).text() ==
          "watchdog: cpu 1: work function drain_cache has been running for 254 ms on thread 77"s);
    CHECK(watch_line::stuck(1, 254 * ms, {1, 55, true, false, 0, 0}, 'T').text() ==
          "watchdog: cpu 1: worker has not started what is queued for 254 ms: its thread 55 is in state T"s);
    CHECK(starved(&hog, 1000, false) == late + "thread 1234 \"loop\" (fifo 10) keeps it: raise the workers' "
                                               "priority (sched=fifo:11 or more) or use "
                                               "the lock strategy (PWLOCKS=1)");
    CHECK(starved(&hog, 1000, true) ==
          late +
              "thread 1234 \"loop\" (fifo 10) keeps it: raise the workers' priority (sched=fifo:11 or more)");
    CHECK(starved(&hog, 1001, true) ==
          late + "thread 1234 \"loop\" of process 1000 (fifo 10) keeps it: raise the "
                 "workers' priority (sched=fifo:11 or more)");
    CHECK(watch_line::starved(1, 254 * ms, "drain_cache", &hog, 1000, true).text() ==
          "watchdog: cpu 1: worker has not got its CPU for 254 ms, in work function drain_cache: thread 1234 "
          "\"loop\" "
          "(fifo 10) keeps it: raise the workers' priority (sched=fifo:11 or more)"s);
    CHECK(starved(nullptr, 1000, false) == late + "the thread that keeps it cannot be seen in /proc: raise "
                                                  "the workers' priority (sched=fifo:N) or use "
                                                  "the lock strategy (PWLOCKS=1)");
    hog.thread.rt_priority = 99;
    CHECK(starved(&hog, 1000, false) ==
          late + "thread 1234 \"loop\" (fifo 99) keeps it: use the lock strategy (PWLOCKS=1)");
    CHECK(starved(&hog, 1000, true) == late + "thread 1234 \"loop\" (fifo 99) keeps it: lower its priority");
    for (const auto &[policy, nice, words] :
         {std::tuple(deadline, 0, "(deadline) keeps it: use"s),
          {0, 0, "(other) keeps it: raise"s},
          {0, -20, "(nice -20) keeps it: raise the workers' priority (sched=fifo:1 or more)"s},
          {batch, 0, "(policy 3) keeps it: raise"s}}) {
        hog.thread.policy = policy;
        hog.thread.rt_priority = 0;
        hog.thread.nice = nice;
        CHECK(starved(&hog, 1000, false).find(words) != std::string::npos);
    }
}

TEST_CASE("a hostile thread name stays harmless, and the remedy stays on the line")
{
    hog_candidate hog = candidate(4194303, 8191, 20, fifo, 10);
    memset(hog.thread.name, '\x1b', thread_facts::longest_name);
    std::string line =
        watch_line::starved(8191, 3'600'000 * ms, std::string(247, 'f').c_str(), &hog, 1, false).text();
    std::string shown;
    for (size_t i = 0; i < thread_facts::longest_name; ++i)
        shown += "\\x1b";
    CHECK(line.find("\""s + shown + "\"") != line.npos);
    CHECK(line.size() < 500); // what report() takes, with its prefix
    CHECK(line.ends_with("use the lock strategy (PWLOCKS=1)"));
    strcpy(hog.thread.name, "a\"b\n%s\x7f\xff");
    CHECK(std::string(watch_line::starved(1, limit, nullptr, &hog, 1, false).text())
              .find("\"a\\x22b\\x0a%s\\x7f\\xff\"") != std::string::npos);
}
