// SPDX-License-Identifier: MIT
// Which CPUs were disturbed by whom, and what the strategy has to do with it.
#include "explain.h"

#include "change.h"
#include "quantity.h"
#include "text.h"

#include <algorithm>
#include <fmt/format.h>

namespace pw::tool {
namespace {

constexpr uint64_t second = 1'000'000'000;
constexpr uint64_t old_enough_ns = 10 * second; // to speak of how often something happens
constexpr size_t most_cpus_told = 8;
constexpr size_t most_functions_told = 3;

std::string times(uint64_t count)
{
    return counted(count, "time", "times");
}

std::string name_of(const tally_state &each)
{
    return each.workqueue.empty() ? each.function
                                  : fmt::format("{} of workqueue \"{}\"", each.function, each.workqueue);
}

std::string function_text(const tally_state &each)
{
    return fmt::format("{} {}, {} in all, {} at most", name_of(each), times(each.here),
                       time_text(each.here_ns), time_text(each.here_longest_ns));
}

// The functions that took most of a CPU's time there.
std::string culprits(const cpu_state &cpu)
{
    std::vector<tally_state> functions = cpu.tallies;
    std::erase_if(functions, [](const tally_state &each) { return each.here == 0; });
    std::stable_sort(functions.begin(), functions.end(),
                     [](const tally_state &a, const tally_state &b) { return a.here_ns > b.here_ns; });
    if (functions.size() == 1)
        return name_of(functions[0]) + " alone";
    std::string text;
    for (size_t i = 0; i < std::min(functions.size(), most_functions_told); ++i)
        text += (i > 0 ? "; " : "") + function_text(functions[i]);
    if (functions.size() > most_functions_told)
        text += fmt::format("; and {} more",
                            counted(functions.size() - most_functions_told, "function", "functions"));
    return text;
}

std::string disturbance(const cpu_state &cpu, const evidence &seen)
{
    tally_state all = total(cpu.tallies), recent;
    if (const cpu_state *change = find_cpu(seen.change.cpus, cpu.cpu))
        recent = total(change->tallies);
    return fmt::format(
        "CPU {}{} was disturbed {} ({} a second since the start, {} now), {} in all, {} at most. "
        "By {}.",
        cpu.cpu, cpu.isolated ? ", which is isolated," : "", times(all.here),
        rate_text(all.here, seen.age_ns),
        rate_text(recent.here, since(seen.before.taken_ns, seen.now.taken_ns)), time_text(all.here_ns),
        time_text(all.here_longest_ns), culprits(cpu));
}

// By falling time that its worker took, the isolated ones first.
std::vector<const cpu_state *> disturbed_cpus(const snapshot &now)
{
    std::vector<std::pair<uint64_t, const cpu_state *>> order;
    for (const cpu_state &cpu : now.cpus)
        if (tally_state all = total(cpu.tallies); all.here > 0)
            order.emplace_back(all.here_ns, &cpu);
    std::stable_sort(order.begin(), order.end(), [](const auto &a, const auto &b) {
        if (a.second->isolated != b.second->isolated)
            return a.second->isolated;
        return a.first > b.first;
    });
    std::vector<const cpu_state *> cpus;
    for (const auto &each : order)
        cpus.push_back(each.second);
    return cpus;
}

// How often work for a CPU ran somewhere else than on it. Not known if the process does not count places.
struct reached_over {
    bool known = true;
    uint64_t count = 0;
};

reached_over remote_executions(const snapshot &now)
{
    reached_over found;
    for (size_t i = 0; i < now.cpus.size(); ++i) {
        const cpu_state &cpu = now.cpus[i];
        if (cpu.ran_on.size() != now.cpus.size() + 1) {
            found.known = false;
            found.count = sum(found.count, cpu.executed_away);
            continue;
        }
        for (size_t where = 0; where < cpu.ran_on.size(); ++where)
            if (where != i)
                found.count = sum(found.count, cpu.ran_on[where]);
    }
    return found;
}

} // namespace

void find_disturbed(const evidence &seen, findings &found)
{
    std::vector<const cpu_state *> cpus = disturbed_cpus(seen.now);
    std::vector<int> others;
    tally_state rest;
    for (size_t i = 0; i < cpus.size(); ++i) {
        if (i < most_cpus_told) {
            found.push_back({cpus[i]->isolated ? tone::notice : tone::plain, disturbance(*cpus[i], seen)});
            continue;
        }
        others.push_back(cpus[i]->cpu);
        rest = total({rest, total(cpus[i]->tallies)});
    }
    std::sort(others.begin(), others.end());
    if (!others.empty())
        found.push_back(
            {tone::plain,
             fmt::format("CPUs {} were disturbed {} altogether, {} in all, {} at most.", cpu_list(others),
                         times(rest.here), time_text(rest.here_ns), time_text(rest.here_longest_ns))});
}

void find_spared(const evidence &seen, findings &found)
{
    uint64_t here = 0, calls = 0, away = 0, away_ns = 0;
    for (const cpu_state &cpu : seen.now.cpus) {
        tally_state all = total(cpu.tallies);
        here = sum(here, all.here);
        away = sum(away, all.away);
        away_ns = sum(away_ns, all.away_ns);
        calls = sum(calls, cpu.calls);
    }
    std::string disturbances = counted(here, "disturbance", "disturbances");
    if (seen.facts.strategy == "queue" && here > calls) {
        std::string of_calls = calls > 0 ? fmt::format("; {} were calls of pw_on_each_cpu()", calls) : "";
        found.push_back(
            {tone::plain,
             fmt::format("The lock strategy would have spared the CPUs up to {} of these {}{}. Under it, "
                         "callers run items of pw_queue_on() themselves; items of pw_queue_work_on() run "
                         "on the CPU's worker under either strategy, and are counted with the others.",
                         here - calls, disturbances, of_calls)});
    } else if (seen.facts.strategy == "queue" && here > 0) {
        found.push_back({tone::plain,
                         "The lock strategy would not have changed that: all were calls of "
                         "pw_on_each_cpu(), which run on the CPU's worker under either strategy."});
    }
    if (seen.facts.strategy != "lock")
        return;
    reached_over over = remote_executions(seen.now);
    std::string elsewhere =
        over.known ? fmt::format("; {} of them ran on another CPU than that which they were for", over.count)
                   : "";
    if (away > 0)
        found.push_back(
            {tone::plain,
             fmt::format("The lock strategy spared the CPUs {}, {} in all: items that callers ran{}.",
                         counted(away, "disturbance", "disturbances"), time_text(away_ns), elsewhere)});
    if (here > 0)
        found.push_back({tone::plain,
                         "Items of pw_queue_work_on() and calls of pw_on_each_cpu() run on the CPU's worker "
                         "under either strategy: that is what disturbed CPUs nevertheless."});
}

// Local acquisitions are not counted, so what they cost cannot be said, only that they bought little.
void find_unused_strategy(const evidence &seen, findings &found)
{
    if (seen.facts.strategy != "lock" || seen.age_ns < old_enough_ns)
        return;
    reached_over over = remote_executions(seen.now);
    uint64_t seconds = seen.age_ns / second;
    if (over.count >= seconds)
        return;
    std::string what = over.known ? "on another CPU than its own" : "by a thread that called in";
    found.push_back(
        {tone::notice,
         fmt::format(
             "The lock strategy makes each local acquisition an atomic operation, so that work can run "
             "elsewhere without disturbing its CPU. In {} that was used {}: {} ran {}. How often locks were "
             "taken locally is not counted; \"pw-bench lock\" shows what one costs under either strategy.",
             duration(seconds), over.count == 0 ? "not once" : "for less than one item a second",
             over.count == 0 ? "nothing" : counted(over.count, "item", "items"), what)});
}

} // namespace pw::tool
