// SPDX-License-Identifier: MIT
#include "output.h"

#include "table.h"
#include "text.h"

#include <ctime>
#include <fmt/format.h>
#include <iterator>

namespace pw::tool {
namespace {

std::string uptime(const segment_facts &facts)
{
    timespec now = {};
    clock_gettime(CLOCK_BOOTTIME, &now);
    auto now_ns = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
    return duration(now_ns > facts.start_ns ? (now_ns - facts.start_ns) / 1'000'000'000 : 0);
}

std::string state_of(const cpu_state &cpu, bool only_workers_run)
{
    std::string state = "awake";
    if (!cpu.running.empty())
        state = "running " + cpu.running;
    else if (cpu.sleeping)
        state = only_workers_run && cpu.pending > 0 ? "waking" : "idle";
    const char *separator = "; callers run ";
    for (const running_function &each : cpu.caller_running) {
        state += separator + each.name;
        if (each.threads > 1)
            state += fmt::format(" x{}", each.threads);
        separator = ", ";
    }
    return state;
}

} // namespace

std::string process_list(const survey &found, const screen &to)
{
    using enum side;
    table list({{"PID", ""},
                {"COMMAND", "", left},
                {"STRATEGY", "", left},
                {"SOURCE", "", left, 2},
                {"CPUS", "", left, 1},
                {"UPTIME", ""}});
    for (const listed_process &each : found.processes)
        list.add({std::to_string(each.pid), each.command, each.facts.strategy, each.facts.source,
                  cpu_list(each.facts.cpus), uptime(each.facts)});
    return list.text(to);
}

std::string process_report(const process &shown, const screen &to)
{
    const segment_facts &facts = shown.stat.facts();
    const snapshot seen = shown.stat.read();
    std::string text;
    auto out = std::back_inserter(text);
    fmt::format_to(out, "pid          {}\n", shown.pid);
    fmt::format_to(out, "command      {}\n", shown.command_line);
    fmt::format_to(out, "strategy     {} (from {})\n", facts.strategy, facts.source);
    fmt::format_to(out, "lock method  {}\n", facts.lock_method);
    fmt::format_to(out, "cpus         {}\n", cpu_list(facts.cpus));
    fmt::format_to(out, "uptime       {}\n", uptime(facts));
    if (facts.ignored_count > 0) {
        fmt::format_to(out, "ignored      {}\n", facts.ignored_count);
        for (const std::string &each : facts.ignored)
            fmt::format_to(out, "             {}\n", each);
    }
    if (facts.callers_unseen > 0)
        fmt::format_to(out, "inexact      {} threads share one row of counters: counts may be too low\n",
                       facts.callers_unseen);
    if (const lock_counts &other = seen.elsewhere; other.remote + other.contended > 0)
        fmt::format_to(out, "other cpus   locks of CPUs without a worker: {} taken remotely, {} contended\n",
                       other.remote, other.contended);
    text += '\n';

    using enum side;
    table rows({{"CPU", ""},
                {"NODE", "", right, 5},
                {"ISOLATED", "", left, 2},
                {"QUEUED", "items", right, 1},
                {"EXECUTED", "items", right, 1},
                {"CANCELLED", "items", right, 4},
                {"PENDING", "items"},
                {"BATCHES", "times", right, 4},
                {"WAKEUPS", "times", right, 3},
                {"REMOTE", "locks", right, 2},
                {"CONTENDED", "locks", right, 2},
                {"STATE", "", left}});
    for (const cpu_state &each : seen.cpus)
        rows.add({std::to_string(each.cpu), each.node < 0 ? "-" : std::to_string(each.node),
                  each.isolated ? "yes" : "no", std::to_string(each.queued), std::to_string(each.executed),
                  std::to_string(each.cancelled), std::to_string(each.pending), std::to_string(each.batches),
                  std::to_string(each.wakeups), std::to_string(each.locks.remote),
                  std::to_string(each.locks.contended), state_of(each, facts.strategy == "queue")});
    text += rows.text(to);

    if (!seen.workqueues.empty()) {
        table named({{"WORKQUEUE", "", left}, {"PRIORITY", "", left}});
        for (const workqueue_state &each : seen.workqueues)
            named.add({each.name, each.high ? "high" : "normal"});
        text += '\n' + named.text(to);
    }
    return text;
}

} // namespace pw::tool
