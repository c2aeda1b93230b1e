// SPDX-License-Identifier: MIT
// One process in full.
#include "change.h"
#include "quantity.h"
#include "table.h"
#include "text.h"
#include "views.h"

#include <algorithm>
#include <fmt/format.h>

namespace pw::tool {
namespace {

constexpr size_t label_width = 13; // of the head

std::string labelled(std::string_view label, std::string_view text, const screen &to)
{
    return paragraph(fmt::format("{:<{}}", label, label_width), text, label_width, to);
}

std::string head(const process_sample &seen, const screen &to)
{
    const segment_facts &facts = seen.facts;
    std::string text;
    text += labelled("pid", std::to_string(seen.pid), to);
    text += labelled("command", seen.command_line, to);
    text += labelled("strategy", fmt::format("{} (from {})", facts.strategy, facts.source), to);
    text += labelled("lock method", facts.lock_method, to);
    text += labelled("statistics",
                     facts.full ? "full (each item timed by itself, with histograms)"
                                : "on (short items that ran in one go share their time by number)",
                     to);
    text += labelled("cpus", cpu_list(facts.cpus), to);
    text += labelled("uptime", duration(seen.uptime_ns / 1'000'000'000), to);
    if (facts.ignored_count > 0) {
        text += labelled("ignored", counted(facts.ignored_count, "option", "options"), to);
        for (const std::string &each : facts.ignored)
            text += labelled("", each, to);
    }
    if (seen.state.callers_unseen > 0)
        text += labelled("inexact",
                         fmt::format("{} threads share one row of counters: counts may be too low",
                                     seen.state.callers_unseen),
                         to);
    if (const lock_counts &other = seen.state.elsewhere; other.remote > 0 || other.contended > 0)
        text += labelled(
            "other cpus",
            fmt::format("locks of CPUs without a worker: {} taken remotely, {} waited for, {} in all",
                        other.remote, other.contended, time_text(other.waited_ns)),
            to);
    return text;
}

std::string running_text(const std::string &function, uint64_t since_ns, const snapshot &now)
{
    if (since_ns == 0)
        return function;
    return fmt::format("{} for {}", function, time_text(time_since(since_ns, now)));
}

cell state_of(const cpu_state &cpu, const snapshot &now, bool only_workers_run)
{
    cell state("awake");
    if (!cpu.running.empty())
        state.text = "running " + running_text(cpu.running, cpu.running_since_ns, now);
    else if (cpu.sleeping && only_workers_run && cpu.pending > 0)
        state = {"waking", tone::notice};
    else if (cpu.sleeping)
        state.text = "idle";
    if (is_mispinned(cpu)) {
        state.text = fmt::format("mis-pinned, on CPU {}; ", cpu.seen_cpu) + state.text;
        state.how = tone::alarm;
    }
    const char *separator = "; callers run ";
    for (const running_function &each : cpu.caller_running) {
        state.text += separator + running_text(each.name, each.since_ns, now);
        if (each.threads > 1)
            state.text += fmt::format(" (x{})", each.threads);
        separator = ", ";
    }
    return state;
}

std::string cpu_table(const process_sample &seen, const screen &to)
{
    using enum side;
    table rows({{"CPU", ""},
                {"NODE", "", right, 9},
                {"ISOLATED", "", left, 3},
                {"TID", "worker", right, 10},
                {"QUEUED", "items", right, 1},
                {"COALESCED", "calls", right, 7},
                {"EXECUTED", "items", right, 1},
                {"AWAY", "items", right, 2},
                {"CANCELLED", "items", right, 6},
                {"PENDING", "items"},
                {"CALLS", "each CPU", right, 8},
                {"BATCHES", "times", right, 7},
                {"WAKEUPS", "times", right, 5},
                {"WAKES", "sent", right, 10},
                {"BUSY", "time", right, 5},
                {"BUSY", "%", right, 2},
                {"ASLEEP", "%", right, 8},
                {"REMOTE", "locks", right, 5},
                {"CONTENDED", "locks", right, 4},
                {"WAITED", "time", right, 5},
                {"LOST", "races", right, 9},
                {"STATE", "", left}});
    for (const cpu_state &each : seen.state.cpus) {
        auto count = [&](uint64_t number) { return count_text(number, to); };
        uint64_t known_ns = sum(each.busy_ns, each.idle_ns);
        rows.add({std::to_string(each.cpu),
                  each.node < 0 ? "-" : std::to_string(each.node),
                  !each.isolated    ? cell("no")
                  : disturbed(each) ? cell("yes", tone::notice)
                                    : cell("yes"),
                  each.worker_tid == 0 ? "-" : std::to_string(each.worker_tid),
                  count(each.queued),
                  count(each.coalesced),
                  count(each.executed),
                  count(each.executed_away),
                  count(each.cancelled),
                  count(each.pending),
                  count(each.calls),
                  count(each.batches),
                  count(each.wakeups),
                  count(each.wakes_sent),
                  time_text(each.busy_ns),
                  percent_text(each.busy_ns, known_ns),
                  percent_text(each.asleep_ns, known_ns),
                  count(each.locks.remote),
                  count(each.locks.contended),
                  time_text(each.locks.waited_ns),
                  count(each.locks.lost_races),
                  state_of(each, seen.state, seen.facts.strategy == "queue")});
    }
    return rows.text(to);
}

void add_workqueue(table &rows, const std::string &name, const workqueue_state &each, const screen &to)
{
    rows.add({count_text(each.count, to), time_text(each.total_ns),
              each.count > 0 ? time_text(each.total_ns / each.count) : "-", time_text(each.longest_ns),
              each.high ? "high" : "normal", name});
}

std::string workqueue_table(const snapshot &now, const screen &to)
{
    using enum side;
    table rows({{"EXECUTED", "items"},
                {"TOTAL", "time"},
                {"MEAN", "time", right, 1},
                {"LONGEST", "time", right, 2},
                {"PRIORITY", "", left, 3},
                {"WORKQUEUE", "", left}});
    if (now.workqueues.empty() && now.system_workqueue.count == 0)
        return "";
    add_workqueue(rows, "(system)", now.system_workqueue, to);
    for (const workqueue_state &each : now.workqueues)
        add_workqueue(rows, each.name, each, to);
    return '\n' + rows.text(to);
}

cell time_or_none(uint64_t count, uint64_t ns, tone how = tone::plain)
{
    return count > 0 ? cell(time_text(ns), how) : cell("-");
}

// The ledger of interference.
std::string function_table(const snapshot &now, const screen &to)
{
    using enum side;
    table rows({{"CPU", ""},
                {"DISTURBED", "times"},
                {"DISTURBED", "time"},
                {"DISTURBED", "mean", right, 5},
                {"DISTURBED", "longest", right, 1},
                {"SPARED", "times", right, 2},
                {"SPARED", "time", right, 3},
                {"SPARED", "mean", right, 5},
                {"SPARED", "longest", right, 4},
                {"WORKQUEUE", "", left, 3},
                {"FUNCTION", "", left}});
    for (const cpu_state &cpu : now.cpus) {
        tone how = cpu.isolated ? tone::notice : tone::plain;
        for (const tally_state &each : cpu.tallies)
            rows.add({std::to_string(cpu.cpu),
                      {count_text(each.here, to), each.here > 0 ? how : tone::plain},
                      time_or_none(each.here, each.here_ns),
                      time_or_none(each.here, each.here > 0 ? each.here_ns / each.here : 0),
                      time_or_none(each.here, each.here_longest_ns),
                      count_text(each.away, to),
                      time_or_none(each.away, each.away_ns),
                      time_or_none(each.away, each.away > 0 ? each.away_ns / each.away : 0),
                      time_or_none(each.away, each.away_longest_ns),
                      each.workqueue.empty() ? "(system)" : each.workqueue,
                      each.function});
    }
    return rows.empty() ? "" : '\n' + rows.text(to);
}

} // namespace

std::string process_report(const process_sample &seen, const screen &to)
{
    return head(seen, to) + '\n' + cpu_table(seen, to) + workqueue_table(seen.state, to) +
           function_table(seen.state, to);
}

} // namespace pw::tool
