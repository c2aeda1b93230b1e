// SPDX-License-Identifier: MIT
#include "json.h"

#include <nlohmann/json.hpp>

namespace pw::tool {
namespace {

using json = nlohmann::ordered_json;

// Where the C++ side has a number that cannot occur.
json or_null(int number)
{
    return number < 0 ? json(nullptr) : json(number);
}

json histogram_json(const histogram &durations)
{
    json buckets = json::array();
    for (size_t i = 0; i < durations.buckets.size(); ++i) {
        if (durations.buckets[i] == 0)
            continue;
        bool is_last = i + 1 == durations.buckets.size();
        buckets.push_back({{"le_ns", is_last ? json(nullptr) : json((uint64_t{1} << i) - 1)},
                           {"count", durations.buckets[i]}});
    }
    return buckets;
}

json locks_json(const lock_counts &locks)
{
    return {{"remote", locks.remote},
            {"contended", locks.contended},
            {"waited_ns", locks.waited_ns},
            {"lost_races", locks.lost_races}};
}

json runs_json(uint64_t count, uint64_t total_ns, uint64_t longest_ns)
{
    return {{"count", count}, {"total_ns", total_ns}, {"longest_ns", longest_ns}};
}

json running_json(const std::string &function, uint64_t since_ns, uint64_t now)
{
    if (since_ns == 0)
        return {{"function", function}, {"since_ns", nullptr}, {"for_ns", nullptr}};
    return {{"function", function}, {"since_ns", since_ns}, {"for_ns", since(since_ns, now)}};
}

json callers_json(const cpu_state &cpu, uint64_t now)
{
    json callers = json::array();
    for (const running_function &each : cpu.caller_running) {
        json running = running_json(each.name, each.since_ns, now);
        running["threads"] = each.threads;
        callers.push_back(std::move(running));
    }
    return callers;
}

json places_json(const cpu_state &cpu, const snapshot &state)
{
    json places = json::array();
    for (size_t i = 0; i < cpu.ran_on.size() && i <= state.cpus.size(); ++i)
        if (cpu.ran_on[i] > 0)
            places.push_back({{"cpu", i < state.cpus.size() ? json(state.cpus[i].cpu) : json(nullptr)},
                              {"count", cpu.ran_on[i]}});
    return places;
}

json functions_json(const cpu_state &cpu)
{
    json functions = json::array();
    for (const tally_state &each : cpu.tallies)
        functions.push_back({{"function", each.function},
                             {"workqueue", each.workqueue.empty() ? json(nullptr) : json(each.workqueue)},
                             {"here", runs_json(each.here, each.here_ns, each.here_longest_ns)},
                             {"away", runs_json(each.away, each.away_ns, each.away_longest_ns)}});
    return functions;
}

json histograms_json(const cpu_state &cpu, bool of_items)
{
    json histograms = json::object();
    if (of_items) {
        histograms["wait_here"] = histogram_json(cpu.wait_here);
        histograms["run_here"] = histogram_json(cpu.run_here);
        histograms["wait_away"] = histogram_json(cpu.wait_away);
        histograms["run_away"] = histogram_json(cpu.run_away);
    }
    histograms["lock_wait"] = histogram_json(cpu.lock_wait);
    return histograms;
}

json cpu_json(const cpu_state &cpu, const process_sample &process)
{
    uint64_t now = process.state.taken_ns;
    json running = cpu.running.empty() ? json(nullptr) : running_json(cpu.running, cpu.running_since_ns, now);
    return {{"cpu", cpu.cpu},
            {"node", or_null(cpu.node)},
            {"isolated", cpu.isolated},
            {"worker_tid", cpu.worker_tid > 0 ? json(cpu.worker_tid) : json(nullptr)},
            {"seen_cpu", or_null(cpu.seen_cpu)},
            {"mispinned", is_mispinned(cpu)},
            {"queued", cpu.queued},
            {"coalesced", cpu.coalesced},
            {"executed", cpu.executed},
            {"executed_away", cpu.executed_away},
            {"cancelled", cpu.cancelled},
            {"pending", cpu.pending},
            {"calls", cpu.calls},
            {"batches", cpu.batches},
            {"wakeups", cpu.wakeups},
            {"wakes_sent", cpu.wakes_sent},
            {"busy_ns", cpu.busy_ns},
            {"idle_ns", cpu.idle_ns},
            {"asleep_ns", cpu.asleep_ns},
            {"locks", locks_json(cpu.locks)},
            {"sleeping", cpu.sleeping},
            {"running", std::move(running)},
            {"callers_running", callers_json(cpu, now)},
            {"ran_on", places_json(cpu, process.state)},
            {"functions", functions_json(cpu)},
            {"histograms", histograms_json(cpu, process.facts.full)}};
}

json workqueue_json(const workqueue_state &workqueue, bool is_system)
{
    return {{"name", is_system ? json(nullptr) : json(workqueue.name)},
            {"priority", workqueue.high ? "high" : "normal"},
            {"runs", runs_json(workqueue.count, workqueue.total_ns, workqueue.longest_ns)}};
}

json process_json(const process_sample &process)
{
    const segment_facts &facts = process.facts;
    json workqueues = json::array();
    workqueues.push_back(workqueue_json(process.state.system_workqueue, true));
    for (const workqueue_state &each : process.state.workqueues)
        workqueues.push_back(workqueue_json(each, false));
    json cpus = json::array();
    for (const cpu_state &each : process.state.cpus)
        cpus.push_back(cpu_json(each, process));
    return {{"pid", process.pid},
            {"namespace_pid", facts.pid},
            {"command", process.command},
            {"command_line", process.command_line},
            {"strategy", facts.strategy},
            {"source", facts.source},
            {"lock_method", facts.lock_method},
            {"stats", facts.full ? "full" : "on"},
            {"start_ns", facts.start_monotonic_ns},
            {"start_boottime_ns", facts.start_ns},
            {"uptime_ns", process.uptime_ns},
            {"taken_ns", process.state.taken_ns},
            {"ignored_count", facts.ignored_count},
            {"ignored", facts.ignored},
            {"callers_unseen", process.state.callers_unseen},
            {"cpu_numbers", facts.cpus},
            {"other_locks", locks_json(process.state.elsewhere)},
            {"workqueues", std::move(workqueues)},
            {"cpus", std::move(cpus)}};
}

} // namespace

json document_head()
{
    return {{"schema", json_schema}, {"generator", "pw-stat " PWLOCKS_VERSION}};
}

json process_document(const sample_set &samples)
{
    json document = document_head();
    json processes = json::array();
    for (const process_sample &each : samples.processes)
        processes.push_back(process_json(each));
    document["processes"] = std::move(processes);
    document["problems"] = samples.problems;
    document["denied"] = samples.denied;
    return document;
}

std::string document_text(const json &document, bool in_one_line)
{
    return document.dump(in_one_line ? -1 : 2, ' ', false, json::error_handler_t::replace) + '\n';
}

} // namespace pw::tool
