// SPDX-License-Identifier: MIT
// What runs now.
#include "quantity.h"
#include "table.h"
#include "views.h"

#include <fmt/format.h>

namespace pw::tool {
namespace {

constexpr uint64_t second = 1'000'000'000;

// Colours what has run for longer than a person would expect of an item.
cell age_of(uint64_t since_ns, const snapshot &now)
{
    if (since_ns == 0)
        return "-";
    uint64_t ns = time_since(since_ns, now);
    return {time_text(ns), ns >= second ? tone::notice : tone::plain};
}

cell worker_state(const cpu_state &cpu, bool only_workers_run)
{
    if (!cpu.running.empty())
        return cpu.running;
    if (!cpu.sleeping)
        return "(awake)";
    if (only_workers_run && cpu.pending > 0)
        return {"(waking, not on its CPU yet)", tone::notice};
    return "(idle)";
}

} // namespace

std::string running_report(const process_sample &seen, const screen &to)
{
    using enum side;
    table rows({{"CPU", ""},
                {"ISOLATED", "", left, 3},
                {"WORKER", "tid", right, 1},
                {"PENDING", "items", right, 0},
                {"FOR", "time"},
                {"BY", "", left},
                {"RUNNING", "", left}});
    for (const cpu_state &cpu : seen.state.cpus) {
        std::string by = "worker";
        if (is_mispinned(cpu))
            by += fmt::format(" on CPU {}", cpu.seen_cpu);
        rows.add({std::to_string(cpu.cpu),
                  cpu.isolated ? "yes" : "no",
                  cpu.worker_tid == 0 ? "-" : std::to_string(cpu.worker_tid),
                  count_text(cpu.pending, to),
                  cpu.running.empty() ? "-" : age_of(cpu.running_since_ns, seen.state),
                  {by, is_mispinned(cpu) ? tone::alarm : tone::plain},
                  worker_state(cpu, seen.facts.strategy == "queue")});
        for (const running_function &each : cpu.caller_running)
            rows.add({"", "", "", "", age_of(each.since_ns, seen.state),
                      counted(each.threads, "caller", "callers"), each.name});
    }
    std::string text = headline(seen, to) + '\n' + rows.text(to);
    if (seen.facts.pid != seen.pid)
        text +=
            '\n' + paragraph("",
                             fmt::format("Thread ids are as the process sees them, which calls itself {}.",
                                         seen.facts.pid),
                             0, to);
    return text;
}

} // namespace pw::tool
