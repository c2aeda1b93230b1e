// SPDX-License-Identifier: MIT
#include "interval.h"

#include "change.h"
#include "quantity.h"
#include "table.h"

#include <algorithm>
#include <ctime>

namespace pw::tool {
namespace {

constexpr size_t lines_of_headings = 2;
constexpr size_t lines_in_a_file = 24;

// The widths hold for any numbers: rates take at most six characters, percentages five.
table columns(bool each_cpu)
{
    using enum side;
    return table({{"TIME", "", left, 9, 8},           {"CPU", "", right, each_cpu ? 0 : 12, 4},
                  {"QUEUED", "items/s", right, 0, 7}, {"COALESCED", "calls/s", right, 7},
                  {"EXECUTED", "items/s", right, 0},  {"AWAY", "items/s", right, 2},
                  {"CANCELLED", "items/s", right, 8}, {"PENDING", "items", right, 0},
                  {"RUNNING", "threads", right, 3},   {"OLDEST", "time", right, 3},
                  {"BUSY", "%", right, 1, 5},         {"ASLEEP", "%", right, 6},
                  {"SPARED", "%", right, 5},          {"BATCHES", "times/s", right, 6},
                  {"WAKEUPS", "times/s", right, 2},   {"WAKES", "sent/s", right, 10},
                  {"REMOTE", "locks/s", right, 4},    {"CONTENDED", "locks/s", right, 4},
                  {"WAITED", "us/s", right, 5},       {"LOST", "races/s", right, 9}});
}

std::string clock_text(int64_t at)
{
    time_t seconds = static_cast<time_t>(at);
    tm local = {};
    localtime_r(&seconds, &local);
    char text[16];
    return {text, strftime(text, sizeof text, "%H:%M:%S", &local)};
}

// What runs at this moment for a CPU, on its worker or in callers.
struct activity {
    uint64_t functions = 0;
    uint64_t oldest_ns = 0; // moment, as far as any is known

    void add(const cpu_state &cpu)
    {
        if (!cpu.running.empty()) {
            ++functions;
            note(cpu.running_since_ns);
        }
        for (const running_function &each : cpu.caller_running) {
            functions = sum(functions, each.threads);
            note(each.since_ns);
        }
    }
    void note(uint64_t since_ns)
    {
        if (since_ns != 0 && (oldest_ns == 0 || since_ns < oldest_ns))
            oldest_ns = since_ns;
    }
};

struct row {
    std::string cpu;
    cpu_state change;
    activity runs;
    uint64_t spared_ns = 0; // callers ran for it
    uint64_t worker_ns = 0; // that passed for its worker, or for all workers together
    bool grew = false;      // more is pending than before
};

void add(table &to_table, const row &shown, uint64_t ns, const interval &from, const screen &to)
{
    const cpu_state &change = shown.change;
    auto rate = [&](uint64_t count) { return rate_text(count, ns); };
    std::string oldest =
        shown.runs.oldest_ns != 0 ? time_text(since(shown.runs.oldest_ns, from.now.taken_ns)) : "-";
    to_table.add({clock_text(from.at),
                  shown.cpu,
                  rate(change.queued),
                  rate(change.coalesced),
                  rate(change.executed),
                  rate(change.executed_away),
                  rate(change.cancelled),
                  {count_text(change.pending, to), shown.grew ? tone::notice : tone::plain},
                  count_text(shown.runs.functions, to),
                  oldest,
                  percent_text(change.busy_ns, shown.worker_ns),
                  percent_text(change.asleep_ns, shown.worker_ns),
                  percent_text(shown.spared_ns, shown.worker_ns),
                  rate(change.batches),
                  rate(change.wakeups),
                  rate(change.wakes_sent),
                  rate(change.locks.remote),
                  rate(change.locks.contended),
                  rate(change.locks.waited_ns / 1000),
                  rate(change.locks.lost_races)});
}

} // namespace

std::string interval_headings(bool each_cpu, const screen &to)
{
    return columns(each_cpu).headings(to);
}

std::string interval_rows(const interval &shown, const std::vector<int> &cpus, const screen &to)
{
    uint64_t ns = since(shown.before ? shown.before->taken_ns : shown.start_ns, shown.now.taken_ns);
    snapshot change = shown.before ? difference(*shown.before, shown.now) : shown.now;
    auto row_of = [&](const cpu_state &cpu) {
        const cpu_state *then = shown.before ? find_cpu(shown.before->cpus, cpu.cpu) : nullptr;
        row one{std::to_string(cpu.cpu), cpu, {}, total(cpu.tallies).away_ns, ns, false};
        one.runs.add(cpu);
        one.grew = then && cpu.pending > then->pending;
        return one;
    };

    table rows = columns(!cpus.empty());
    for (int number : cpus)
        if (const cpu_state *cpu = find_cpu(change.cpus, number))
            add(rows, row_of(*cpu), ns, shown, to);
    if (cpus.empty()) {
        row all{"all", total(change.cpus), {}, 0, 0, false};
        uint64_t pending_before = 0;
        for (const cpu_state &cpu : change.cpus) {
            row one = row_of(cpu);
            all.runs.add(cpu);
            all.spared_ns = sum(all.spared_ns, one.spared_ns);
            all.worker_ns = sum(all.worker_ns, ns);
        }
        if (shown.before)
            pending_before = total(shown.before->cpus).pending;
        all.grew = shown.before && all.change.pending > pending_before;
        add(rows, all, ns, shown, to);
    }
    return rows.rows(to);
}

bool headings_are_due(size_t lines, size_t rows, const screen &to)
{
    size_t room = to.lines > 0 ? to.lines : lines_in_a_file;
    return lines == 0 || lines + rows + lines_of_headings >= room;
}

} // namespace pw::tool
