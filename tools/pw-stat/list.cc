// SPDX-License-Identifier: MIT
// The list of processes, and what all views say about one.
#include "quantity.h"
#include "table.h"
#include "text.h"
#include "views.h"

#include <ctime>
#include <fmt/format.h>

namespace pw::tool {
namespace {

uint64_t uptime_s(const segment_facts &facts)
{
    timespec now = {};
    clock_gettime(CLOCK_BOOTTIME, &now);
    auto now_ns = static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
    return since(facts.start_ns, now_ns) / 1'000'000'000;
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
                  cpu_list(each.facts.cpus), duration(uptime_s(each.facts))});
    return list.text(to);
}

std::string headline(const process_sample &seen, const screen &to)
{
    std::string facts =
        fmt::format("{} strategy, stats={}, up {}: ", seen.facts.strategy, seen.facts.full ? "full" : "on",
                    duration(seen.uptime_ns / 1'000'000'000));
    std::string text = fmt::format("{}: {}{}", seen.pid, facts, seen.command_line);
    return toned(to.columns > 0 ? fitted(text, to.columns, to) : text, tone::heading, to) + '\n';
}

uint64_t time_since(uint64_t moment_ns, const snapshot &now)
{
    return since(moment_ns, now.taken_ns);
}

bool disturbed(const cpu_state &cpu)
{
    return cpu.executed > cpu.executed_away || cpu.calls > 0;
}

} // namespace pw::tool
