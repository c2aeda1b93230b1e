// SPDX-License-Identifier: MIT
// What pw-stat --explain finds in made-up snapshots, on both sides of each threshold.
#include "view_samples.h"

#include "../tools/pw-stat/explain.h"

using namespace pw::tool;

namespace {

// Two looks a second apart at a process in which nothing happens.
struct looks {
    process_sample first;
    snapshot later;

    explicit looks(const std::string &strategy = "queue") : first(quiet_process(strategy)), later(first.state)
    {
        later.taken_ns += second;
    }
    cpu_state &before(int cpu) { return first.state.cpus[static_cast<size_t>(cpu)]; }
    cpu_state &now(int cpu) { return later.cpus[static_cast<size_t>(cpu)]; }
    // In both.
    template <typename Change>
    void always(int cpu, Change change)
    {
        change(before(cpu));
        change(now(cpu));
    }
};

using finder = void (*)(const evidence &, findings &);

std::vector<std::string> found_by(finder find, const looks &seen)
{
    findings found;
    find(evidence(seen.first.facts, seen.first.state, seen.later), found);
    std::vector<std::string> texts;
    for (const finding &each : found)
        texts.push_back(each.text);
    return texts;
}

std::string only_text(finder find, const looks &seen)
{
    std::vector<std::string> texts = found_by(find, seen);
    REQUIRE(texts.size() == 1);
    return texts[0];
}

} // namespace

TEST_CASE("nothing to report is said")
{
    for (const char *strategy : {"queue", "lock"}) {
        looks seen(strategy);
        if (strategy[0] == 'l') // young: nobody knows yet whether the strategy is used
            seen.first.facts.start_monotonic_ns = seen.later.taken_ns - 5 * second;
        std::string text = explanation(seen.first, seen.later, {});
        CHECK(contains(text, "\nNothing to report: no CPU was disturbed"));
        CHECK(lines_of(text).size() == 3);
    }
}

TEST_CASE("each finding is a paragraph that fits the terminal")
{
    process_sample seen = busy_process("queue");
    snapshot later = seen.state;
    later.taken_ns += second;
    for (size_t columns = least_columns; columns <= 120; columns += 8)
        CHECK(longest_line(explanation(seen, later, terminal(columns))) <= columns);
    std::string text = explanation(seen, later, {});
    CHECK(!contains(text, "Nothing to report"));
    for (size_t i = 2; i < lines_of(text).size(); ++i)
        CHECK((lines_of(text)[i].starts_with("- ") || lines_of(text)[i].starts_with("! ")));
}

TEST_CASE("a function is stuck when it has been running since before the first look")
{
    looks seen;
    seen.now(1).running = "f";
    seen.now(1).running_since_ns = seen.first.state.taken_ns + 1;
    CHECK(found_by(find_stuck_functions, seen).empty());
    seen.now(1).running_since_ns -= 2'200'000'001;
    CHECK(only_text(find_stuck_functions, seen) ==
          "The worker of CPU 1 (thread 1001) has been running f for 3.20s. Nothing waits behind it.");
    seen.now(1).pending = 2;
    CHECK(contains(only_text(find_stuck_functions, seen), " 1 item waits behind it."));
    seen.now(1).pending = 3;
    CHECK(contains(only_text(find_stuck_functions, seen), " 2 items wait behind it."));
}

TEST_CASE("a caller can be stuck, too")
{
    looks seen("lock");
    seen.now(2).caller_running = {{"g", 1, 0}}; // not timed, and first seen now
    CHECK(found_by(find_stuck_functions, seen).empty());
    seen.now(2).caller_running = {{"g", 1, seen.first.state.taken_ns + 1}};
    CHECK(found_by(find_stuck_functions, seen).empty());
    seen.now(2).caller_running[0].since_ns -= 1;
    CHECK(contains(only_text(find_stuck_functions, seen),
                   "A thread that called in has been running g for CPU 2 for 1.00s."));
    seen.now(2).caller_running[0].threads = 3;
    CHECK(
        contains(only_text(find_stuck_functions, seen), "One of 3 threads that called in has been running"));
}

TEST_CASE("a worker is starved when items wait at both looks and none was run")
{
    auto starved = [](auto change) {
        looks seen;
        seen.always(1, [](cpu_state &cpu) { cpu.pending = 2; });
        change(seen);
        return found_by(find_starved_workers, seen);
    };
    auto none = [&](auto change) { return starved(change).empty(); };
    std::vector<std::string> found = starved([](looks &) {});
    REQUIRE(found.size() == 1);
    CHECK(found[0] ==
          "CPU 1: 2 items are pending, and in the last 1.00s none was run. Its worker (thread 1001) was "
          "woken and did not get the CPU: something of higher priority occupies it, or the process is "
          "stopped.");
    CHECK(none([](looks &seen) { seen.before(1).pending = 0; }));
    CHECK(none([](looks &seen) { seen.now(1).pending = 0; }));
    CHECK(none([](looks &seen) { seen.now(1).executed = 1; }));
    CHECK(none([](looks &seen) { seen.now(1).cancelled = 1; }));
    CHECK(none([](looks &seen) { seen.now(1).running = "f"; })); // stuck rather than starved
    CHECK(contains(starved([](looks &seen) { seen.first.facts.strategy = "lock"; })[0],
                   "The threads that are to run them did not get to it"));
    CHECK(
        contains(starved([](looks &seen) { seen.now(1).sleeping = false; })[0], "is awake and did not get"));
}

TEST_CASE("a worker is mis-pinned when it found itself elsewhere, and not before it had a turn")
{
    looks seen;
    seen.now(3).seen_cpu = -1;
    CHECK(found_by(find_mis_pinned, seen).empty());
    seen.now(3).seen_cpu = 0;
    CHECK(contains(only_text(find_mis_pinned, seen),
                   "The worker of CPU 3 (thread 1003) last found itself on CPU 0:"));
}

TEST_CASE("of very many CPUs with the same problem, the first ones are named")
{
    looks seen;
    seen.later.cpus.clear();
    for (int cpu = 0; cpu < 8; ++cpu) {
        seen.later.cpus.push_back(quiet_cpu(cpu));
        seen.later.cpus.back().seen_cpu = 100;
    }
    CHECK(found_by(find_mis_pinned, seen).size() == 8);
    seen.later.cpus.push_back(quiet_cpu(8));
    seen.later.cpus.back().seen_cpu = 100;
    std::vector<std::string> texts = found_by(find_mis_pinned, seen);
    REQUIRE(texts.size() == 9);
    CHECK(texts[8] == "And so 1 more.");
}

TEST_CASE("disturbed CPUs are named with how often, how long and by whom; the isolated ones first")
{
    looks seen;
    CHECK(found_by(find_disturbed, seen).empty());
    seen.always(0, [](cpu_state &cpu) { cpu.tallies = {{"big", "", 10, 5 * second, second, 0, 0, 0}}; });
    seen.before(2).tallies = {{"drain", "urgent", 202, 800, 70, 9, 9, 9}};
    seen.now(2).tallies = {{"drain", "urgent", 202, 800, 70, 9, 9, 9}, {"fold", "", 3, 2'000, 90, 0, 0, 0}};
    std::vector<std::string> texts = found_by(find_disturbed, seen);
    REQUIRE(texts.size() == 2);
    CHECK(texts[0] ==
          "CPU 2, which is isolated, was disturbed 205 times (2.03 a second since the start, 3.00 now), "
          "2.80us in all, 90ns at most. By fold 3 times, 2.00us in all, 90ns at most; drain of workqueue "
          "\"urgent\" 202 times, 800ns in all, 70ns at most.");
    CHECK(texts[1].starts_with("CPU 0 was disturbed 10 times (0.10 a second since the start, 0 now), 5.00s"));
    CHECK(texts[1].ends_with("By big alone."));
}

TEST_CASE("what only others ran disturbs nobody")
{
    looks seen("lock");
    seen.always(2, [](cpu_state &cpu) { cpu.tallies = {{"drain", "", 0, 0, 0, 5, 5, 5}}; });
    CHECK(found_by(find_disturbed, seen).empty());
}

TEST_CASE("of many functions and of many CPUs the worst are named")
{
    looks seen;
    for (cpu_state &cpu : seen.later.cpus)
        for (int i = 0; i < 5; ++i)
            cpu.tallies.push_back({"f" + std::to_string(i), "", 1, static_cast<uint64_t>(i), 1, 0, 0, 0});
    CHECK(contains(found_by(find_disturbed, seen)[0], "By f4 1 time, 4ns in all, 1ns at most; f3 1 time"));
    CHECK(contains(found_by(find_disturbed, seen)[0], "; and 2 functions more."));
    for (int cpu = 4; cpu < 11; ++cpu) {
        seen.later.cpus.push_back(quiet_cpu(cpu));
        seen.later.cpus.back().tallies = {{"f", "", 2, static_cast<uint64_t>(20 - cpu), 3, 0, 0, 0}};
    }
    std::vector<std::string> texts = found_by(find_disturbed, seen);
    REQUIRE(texts.size() == 9);
    CHECK(texts[8] == "CPUs 0-1,10 were disturbed 12 times altogether, 30ns in all, 3ns at most.");
}

TEST_CASE("the lock strategy would have spared items, not calls")
{
    looks seen;
    CHECK(found_by(find_spared, seen).empty());
    seen.now(0).calls = 4;
    seen.now(0).tallies = {{"call", "", 4, 4, 1, 0, 0, 0}};
    CHECK(contains(only_text(find_spared, seen), "would not have changed that: all were calls"));
    seen.now(0).tallies[0].here = 5;
    CHECK(contains(only_text(find_spared, seen), "up to 1 of these 5 disturbances"));
    seen.now(0).tallies[0].here = 14;
    CHECK(contains(only_text(find_spared, seen),
                   "would have spared the CPUs up to 10 of these 14 disturbances"));
    CHECK(contains(only_text(find_spared, seen), "; 4 were calls of pw_on_each_cpu()."));
}

TEST_CASE("what the lock strategy spared, and what disturbs nevertheless")
{
    looks seen("lock");
    CHECK(found_by(find_spared, seen).empty());
    seen.now(0).tallies = {{"f", "", 0, 0, 0, 3, 3'000, 0}};
    CHECK(only_text(find_spared, seen) ==
          "The lock strategy spared the CPUs 3 disturbances, 3.00us in all: items that callers ran.");
    for (cpu_state &cpu : seen.later.cpus)
        cpu.ran_on.assign(5, 1);
    CHECK(contains(only_text(find_spared, seen), "callers ran; 16 of them ran on another CPU"));
    seen.now(0).tallies[0].here = 1;
    std::vector<std::string> texts = found_by(find_spared, seen);
    REQUIRE(texts.size() == 2);
    CHECK(contains(texts[1], "disturbed CPUs nevertheless"));
    seen.first.facts.strategy = "?"; // of a hostile process, or a newer library
    CHECK(found_by(find_spared, seen).empty());
}

TEST_CASE("the lock strategy is unused if less than one item a second ran off its CPU")
{
    looks seen("lock"); // 101 s old
    CHECK(contains(only_text(find_unused_strategy, seen),
                   "In 1m41s that was used not once: nothing ran by a thread"));
    seen.now(1).executed_away = 100;
    CHECK(contains(only_text(find_unused_strategy, seen),
                   "for less than one item a second: 100 items ran by a thread that called in"));
    seen.now(1).executed_away = 101;
    CHECK(found_by(find_unused_strategy, seen).empty());

    // With places: what ran on the CPU that it was for is no use of the strategy.
    for (cpu_state &cpu : seen.later.cpus)
        cpu.ran_on.assign(5, 0);
    seen.now(1).ran_on[1] = 1'000'000;
    CHECK(contains(only_text(find_unused_strategy, seen), "nothing ran on another CPU than its own"));
    seen.now(1).ran_on[4] = 100;
    CHECK(contains(only_text(find_unused_strategy, seen), "100 items ran on another CPU"));
    seen.now(1).ran_on[0] = 1;
    CHECK(found_by(find_unused_strategy, seen).empty());
}

TEST_CASE("whether a strategy is unused is said of the lock strategy, and not too early")
{
    CHECK(found_by(find_unused_strategy, looks("queue")).empty());
    looks seen("lock");
    seen.first.facts.start_monotonic_ns = seen.later.taken_ns - 10 * second;
    CHECK(found_by(find_unused_strategy, seen).size() == 1);
    seen.first.facts.start_monotonic_ns += 1;
    CHECK(found_by(find_unused_strategy, seen).empty());
}

TEST_CASE("contended locks, of CPUs with and without a worker")
{
    looks seen;
    CHECK(found_by(find_contended_locks, seen).empty());
    seen.before(2).locks.contended = 9;
    seen.now(2).locks = {0, 10, 40'000'000, 0};
    CHECK(only_text(find_contended_locks, seen) == "Locks of CPU 2 had to be waited for 10 times (0.10 a "
                                                   "second since the start, 1.00 now), 40.0ms in all, "
                                                   "4.00ms on average.");
    seen.later.elsewhere.contended = 1;
    CHECK(
        contains(found_by(find_contended_locks, seen).at(1), "without a worker had to be waited for 1 time"));
}

TEST_CASE("locks taken remotely, and races lost")
{
    looks seen;
    CHECK(found_by(find_remote_locks, seen).empty());
    seen.now(2).locks.remote = 100;
    seen.later.elsewhere.remote = 1;
    CHECK(contains(only_text(find_remote_locks, seen), "taken from another CPU 101 times (1.00 a second)"));
    seen.now(2).locks.lost_races = 1;
    CHECK(contains(found_by(find_remote_locks, seen).at(1),
                   "1 attempt to take a lock from another CPU was overtaken"));
}

TEST_CASE("ignored options, with what is in force instead and from where")
{
    looks seen;
    CHECK(found_by(find_ignored_options, seen).empty());
    seen.first.facts.source = "isolation";
    seen.first.facts.ignored = {"PWLOCKS: invalid value \"2x\", ignored"};
    seen.first.facts.ignored_count = 1;
    CHECK(only_text(find_ignored_options, seen) ==
          "PWLOCKS: invalid value \"2x\", ignored. In force instead: the queue strategy, from isolation.");
    seen.first.facts.ignored = {"PWLOCKS_OPTIONS: pwlocks: invalid value \"7\", ignored"};
    CHECK(contains(only_text(find_ignored_options, seen), "the queue strategy"));
    seen.first.facts.ignored = {"PWLOCKS_OPTIONS: idle_spin_us: invalid value \"soon\", ignored"};
    CHECK(contains(only_text(find_ignored_options, seen), "what the next source says, or the default."));
    seen.first.facts.ignored_count = 3;
    CHECK(found_by(find_ignored_options, seen).at(1) ==
          "2 more were ignored; the process kept no text of them.");
}

TEST_CASE("inexact counts: shared rows and a full table of functions")
{
    looks seen;
    seen.now(0).tallies = {{"f", "", 1, 1, 1, 1, 1, 1}};
    CHECK(found_by(find_inexact_counts, seen).empty());
    seen.later.callers_unseen = 2;
    CHECK(contains(only_text(find_inexact_counts, seen), "2 threads share one row"));
    seen.now(0).tallies.push_back({"(others)", "", 3, 1, 1, 4, 1, 1});
    CHECK(contains(found_by(find_inexact_counts, seen).at(1), "7 executions are counted as of \"(others)\""));
}
