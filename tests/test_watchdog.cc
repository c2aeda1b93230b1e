// SPDX-License-Identifier: MIT
// The watchdog: what it concludes from a sequence of looks, whom it names, what it says; and its thread.
#include "time_limit.h"

#include "capture.h"
#include "catch.h"
#include "in_child.h"
#include "on_cpu.h"
#include "this_process.h"
#include "watchdog.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <random>
#include <string>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <thread>
#include <vector>

using namespace pw::detail;
using namespace std::string_literals;

namespace {

constexpr uint64_t ms = 1'000'000;
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

// A stat line as the kernel writes it.
std::string stat_line(const std::string &name, const std::string &state = "R", const std::string &cpu = "7",
                      const std::string &priority = "0", const std::string &policy = "0",
                      const std::string &nice = "-5")
{
    return "4711 ("s + name + ") " + state + " 1 2 3 0 -1 4194304 106 0 0 0 250 17 0 0 20 " + nice +
           " 3 0 115007 3133440 416 18446744073709551615 1 2 3 0 0 0 0 0 0 0 0 0 17 " + cpu + " " + priority +
           " " + policy + " 0 0 0 1 2 3 4 5 6 7 0\n";
}

hog_candidate candidate(pid_t tid, int cpu, uint64_t grown_ms, int policy = 0, int priority = 0)
{
    hog_candidate made = {};
    made.pid = 1000;
    made.thread.tid = tid;
    strcpy(made.thread.name, "loop");
    made.thread.state = 'R';
    made.thread.ticks = 1;
    made.thread.cpu = cpu;
    made.thread.policy = policy;
    made.thread.rt_priority = priority;
    made.grown_ns = grown_ms * ms;
    return made;
}

constexpr int fifo = 1, round_robin = 2, batch = 3, deadline = 6;

pid_t chosen(const std::vector<hog_candidate> &candidates, int cpu = 1, pid_t worker = 99)
{
    const hog_candidate *hog = choose_hog(candidates, cpu, worker);
    return hog ? hog->thread.tid : 0;
}

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

size_t count_of(const std::string &text, const std::string &part)
{
    size_t count = 0;
    for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1))
        ++count;
    return count;
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
