// SPDX-License-Identifier: MIT
// Processes that do not exist, for the tests of what pw-stat shows, and what those ask about text.
#pragma once

#include "catch.h"

#include "../tools/pw-stat/sample.h"
#include "../tools/pw-stat/screen.h"
#include "../tools/pw-stat/text.h"

#include <algorithm>
#include <string>
#include <vector>

inline constexpr uint64_t second = 1'000'000'000;

inline std::vector<std::string> lines_of(const std::string &text)
{
    std::vector<std::string> lines;
    size_t begin = 0;
    for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
        lines.push_back(text.substr(begin, end - begin));
    CHECK(begin == text.size()); // the last line ends, too
    return lines;
}

inline size_t longest_line(const std::string &text)
{
    size_t longest = 0;
    for (const std::string &line : lines_of(text))
        longest = std::max(longest, pw::tool::width(line));
    return longest;
}

inline bool contains(const std::string &text, const std::string &wanted)
{
    return text.find(wanted) != std::string::npos;
}

inline pw::tool::screen terminal(size_t columns)
{
    pw::tool::screen to;
    to.columns = columns;
    to.lines = 24;
    to.unicode = true;
    return to;
}

// An idle CPU.
inline pw::tool::cpu_state quiet_cpu(int number)
{
    pw::tool::cpu_state cpu;
    cpu.cpu = cpu.seen_cpu = number;
    cpu.node = 0;
    cpu.worker_tid = 1000 + number;
    cpu.sleeping = true;
    return cpu;
}

// 100 s after the start, CPUs 0 to 3, of which the last two are isolated. Nothing has happened.
inline pw::tool::process_sample quiet_process(const std::string &strategy)
{
    pw::tool::process_sample seen;
    seen.pid = 4711;
    seen.command = "target";
    seen.command_line = "./target --fast";
    seen.uptime_ns = 100 * second;
    seen.facts.pid = 4711;
    seen.facts.strategy = strategy;
    seen.facts.source = "PWLOCKS";
    seen.facts.lock_method = strategy == "queue" ? "rseq" : "atomic";
    seen.facts.start_monotonic_ns = 1000 * second;
    seen.facts.cpus = {0, 1, 2, 3};
    seen.state.taken_ns = 1100 * second;
    for (int number : seen.facts.cpus) {
        seen.state.cpus.push_back(quiet_cpu(number));
        seen.state.cpus.back().isolated = number >= 2;
    }
    return seen;
}

// The same with something of everything, and long names.
inline pw::tool::process_sample busy_process(const std::string &strategy)
{
    using namespace pw::tool;
    process_sample seen = quiet_process(strategy);
    seen.command_line = "/usr/local/lib/数据库/server --with-a-very-long-option=that does not fit 80 columns";
    seen.facts.full = true;
    seen.facts.ignored = {
        "PWLOCKS: invalid value \"2x\", ignored",
        "/etc/pwlocks.conf:7: unknown key \"a_key_that_is_rather_long_as_keys_go\", ignored"};
    seen.facts.ignored_count = 3;
    seen.state.callers_unseen = 5;
    seen.state.elsewhere = {3, 2, 5'000'000, 1};
    seen.state.system_workqueue = {"", false, 12'000'000, 30 * second, 4'000'000};
    seen.state.workqueues = {{"urgent", true, 3, 1'000'000, 500'000}, {"none", false, 0, 0, 0}};
    for (cpu_state &cpu : seen.state.cpus) {
        cpu.queued = 12'345'678;
        cpu.executed = 12'000'000;
        cpu.executed_away = strategy == "lock" ? 7'000'000 : 0;
        cpu.pending = 345'678;
        cpu.busy_ns = 25 * second;
        cpu.idle_ns = 75 * second;
        cpu.asleep_ns = 50 * second;
        cpu.locks = {10, 20, 40'000'000, 5};
        cpu.tallies = {
            {"shop::cache<std::string>::drain_all_of_it", "", 100, 2 * second, second, 7, 70'000, 20'000},
            {"fold", "urgent", 50, second, 30'000'000, 0, 0, 0}};
        cpu.wait_here.buckets[11] = 50; // 1.02 to 2.05 us
        cpu.wait_here.buckets[14] = 49; // 8.19 to 16.4 us
        cpu.wait_here.buckets[20] = 1;  // 524 us to 1.05 ms
        cpu.lock_wait.buckets[21] = 20;
    }
    seen.state.cpus[1].running = "shop::cache<std::string>::drain_all_of_it";
    seen.state.cpus[1].running_since_ns = seen.state.taken_ns - 3'200'000'000;
    seen.state.cpus[2].seen_cpu = 0;
    seen.state.cpus[3].caller_running = {{"fold", 2, seen.state.taken_ns - 5'000'000}};
    return seen;
}
