// SPDX-License-Identifier: MIT
#include "top_rows.h"

#include "change.h"
#include "quantity.h"
#include "text.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <utility>

namespace pw::tool {
namespace {

constexpr screen terminal{80, 24, false, false}; // for count_text(): short numbers

pane_cell text_cell(std::string text)
{
    return {std::move(text), 0};
}

pane_cell count_cell(uint64_t count)
{
    return {count_text(count, terminal), static_cast<double>(count)};
}

pane_cell number_cell(int number)
{
    return {number < 0 ? "-" : std::to_string(number), static_cast<double>(number)};
}

pane_cell rate_cell(uint64_t count, uint64_t elapsed_ns)
{
    return {rate_text(count, elapsed_ns), static_cast<double>(count)};
}

pane_cell time_cell(uint64_t ns)
{
    return {ns == 0 ? "-" : time_text(ns), static_cast<double>(ns)};
}

// Of one CPU's time; several CPUs together may have more than 100.
pane_cell share_cell(uint64_t part_ns, uint64_t elapsed_ns)
{
    if (elapsed_ns == 0)
        return {"-", 0};
    double percent = 100 * static_cast<double>(part_ns) / static_cast<double>(elapsed_ns);
    return {percent < 999.95 ? fmt::format("{:.1f}", percent)
                             : fmt::format("{:.0f}", std::min(percent, 999999.0)),
            percent};
}

// What runs for a CPU now, and for how long the oldest of it has; empty if nothing does.
struct what_runs {
    std::string text;
    uint64_t for_ns = 0;
};

// 0 for what has no known start.
uint64_t age_ns(uint64_t since_ns, uint64_t now_ns)
{
    return since_ns == 0 ? 0 : since(since_ns, now_ns);
}

what_runs running_of(const cpu_state &cpu, uint64_t now_ns)
{
    what_runs found;
    if (!cpu.running.empty())
        found = {"running " + cpu.running, age_ns(cpu.running_since_ns, now_ns)};
    const char *separator = found.text.empty() ? "callers run " : "; callers run ";
    for (const running_function &each : cpu.caller_running) {
        found.text += separator + each.name;
        if (each.threads > 1)
            found.text += fmt::format(" x{}", each.threads);
        separator = ", ";
        found.for_ns = std::max(found.for_ns, age_ns(each.since_ns, now_ns));
    }
    return found;
}

std::string state_of(const cpu_state &cpu, bool only_workers_run)
{
    if (!cpu.sleeping)
        return "awake";
    return only_workers_run && cpu.pending > 0 ? "waking" : "idle";
}

// How often the CPU's own worker ran something: items and calls.
uint64_t turns_here(const cpu_state &cpu)
{
    return sum(since(cpu.executed_away, cpu.executed), cpu.calls);
}

// One function's in one workqueue, over all CPUs.
struct work_of_function {
    uint64_t here = 0, here_ns = 0, away = 0, away_ns = 0, longest_ns = 0;
    std::vector<int> cpus; // where it ran in the interval; rising
};

} // namespace

snapshot at_start(const segment_facts &facts)
{
    snapshot nothing;
    nothing.taken_ns = facts.start_monotonic_ns;
    return nothing;
}

std::vector<column> process_columns()
{
    using enum side;
    return {{"PID", ""},
            {"COMMAND", "", left},
            {"STRATEGY", "", left, 4},
            {"CPUS", "", right, 6},
            {"BUSY", "% of CPU", right, 1},
            {"QUEUED", "items/s", right, 2, 7},
            {"AWAY", "items/s", right, 5, 7},
            {"PENDING", "items", right, 2, 7},
            {"WAKEUPS", "1/s", right, 6, 7},
            {"REMOTE", "locks/s", right, 7, 7},
            {"CONTENDED", "locks/s", right, 6},
            {"FOR", "", right, 3, 6},
            {"RUNNING", "", left, 3}};
}

pane_row process_row(const snapshot &before, const process_sample &now)
{
    uint64_t elapsed = since(before.taken_ns, now.state.taken_ns);
    snapshot change = difference(before, now.state);
    cpu_state all = total(change.cpus);
    what_runs running;
    for (const cpu_state &cpu : now.state.cpus) {
        what_runs here = running_of(cpu, now.state.taken_ns);
        if (!here.text.empty() && (running.text.empty() || here.for_ns > running.for_ns))
            running = {fmt::format("CPU {}: {}", cpu.cpu, here.text), here.for_ns};
    }
    return {fmt::format("{:10}", now.pid),
            {number_cell(now.pid), text_cell(now.command), text_cell(now.facts.strategy),
             count_cell(now.state.cpus.size()), share_cell(all.busy_ns, elapsed),
             rate_cell(all.queued, elapsed), rate_cell(all.executed_away, elapsed), count_cell(all.pending),
             rate_cell(all.wakeups, elapsed),
             rate_cell(sum(all.locks.remote, change.elsewhere.remote), elapsed),
             rate_cell(sum(all.locks.contended, change.elsewhere.contended), elapsed),
             time_cell(running.for_ns), text_cell(running.text)}};
}

std::vector<column> cpu_columns()
{
    using enum side;
    return {{"CPU", ""},
            {"NODE", "", right, 7},
            {"ISOLATED", "", left, 4},
            {"BUSY", "%", right, 0, 5},
            {"QUEUED", "items/s", right, 2, 7},
            {"HERE", "items/s", right, 1, 7},
            {"AWAY", "items/s", right, 3, 7},
            {"PENDING", "items", right, 2, 7},
            {"WAKEUPS", "1/s", right, 5, 7},
            {"REMOTE", "locks/s", right, 6, 7},
            {"CONTENDED", "locks/s", right, 5},
            {"WAITED", "%", right, 7},
            {"FOR", "", right, 2, 6},
            {"STATE", "", left, 1}};
}

std::vector<pane_row> cpu_rows(const snapshot &before, const process_sample &now)
{
    uint64_t elapsed = since(before.taken_ns, now.state.taken_ns);
    std::vector<pane_row> rows;
    for (const cpu_state &cpu : difference(before, now.state).cpus) {
        what_runs running = running_of(cpu, now.state.taken_ns);
        std::string state =
            running.text.empty() ? state_of(cpu, now.facts.strategy == "queue") : running.text;
        if (is_mispinned(cpu))
            state = fmt::format("mis-pinned, on CPU {}; {}", cpu.seen_cpu, state);
        pane_row row{fmt::format("{:5}", cpu.cpu),
                     {number_cell(cpu.cpu), number_cell(cpu.node), text_cell(cpu.isolated ? "yes" : "no"),
                      share_cell(cpu.busy_ns, elapsed), rate_cell(cpu.queued, elapsed),
                      rate_cell(turns_here(cpu), elapsed), rate_cell(cpu.executed_away, elapsed),
                      count_cell(cpu.pending), rate_cell(cpu.wakeups, elapsed),
                      rate_cell(cpu.locks.remote, elapsed), rate_cell(cpu.locks.contended, elapsed),
                      share_cell(cpu.locks.waited_ns, elapsed), time_cell(running.for_ns), text_cell(state)}};
        if (is_mispinned(cpu))
            row.how = tone::alarm;
        else if (cpu.isolated && turns_here(cpu) > 0)
            row.how = tone::notice;
        rows.push_back(std::move(row));
    }
    return rows;
}

std::vector<column> function_columns()
{
    using enum side;
    return {{"HERE", "items/s", right, 1, 7}, {"HERE", "% of CPU", right, 0, 5},
            {"AWAY", "items/s", right, 2, 7}, {"AWAY", "% of CPU", right, 3, 5},
            {"LONGEST", "", right, 2, 7},     {"CPUS", "", left, 4, 4},
            {"WORKQUEUE", "", left, 5},       {"FUNCTION", "", left}};
}

std::vector<pane_row> function_rows(const snapshot &before, const snapshot &now)
{
    uint64_t elapsed = since(before.taken_ns, now.taken_ns);
    std::map<std::pair<std::string, std::string>, work_of_function> functions; // by function and workqueue
    for (const cpu_state &cpu : now.cpus)
        for (const tally_state &each : cpu.tallies) {
            work_of_function &all = functions[{each.function, each.workqueue}];
            all.longest_ns = std::max({all.longest_ns, each.here_longest_ns, each.away_longest_ns});
        }
    for (const cpu_state &cpu : difference(before, now).cpus)
        for (const tally_state &each : cpu.tallies) {
            work_of_function &all = functions[{each.function, each.workqueue}];
            all.here = sum(all.here, each.here);
            all.here_ns = sum(all.here_ns, each.here_ns);
            all.away = sum(all.away, each.away);
            all.away_ns = sum(all.away_ns, each.away_ns);
            if (each.here > 0 && (all.cpus.empty() || all.cpus.back() < cpu.cpu))
                all.cpus.push_back(cpu.cpu);
        }
    std::vector<pane_row> rows;
    for (const auto &[name, all] : functions)
        rows.push_back({name.first + '\n' + name.second,
                        {rate_cell(all.here, elapsed), share_cell(all.here_ns, elapsed),
                         rate_cell(all.away, elapsed), share_cell(all.away_ns, elapsed),
                         time_cell(all.longest_ns), text_cell(all.cpus.empty() ? "-" : cpu_list(all.cpus)),
                         text_cell(name.second.empty() ? "-" : name.second), text_cell(name.first)}});
    return rows;
}

} // namespace pw::tool
