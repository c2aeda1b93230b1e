// SPDX-License-Identifier: MIT
#include "machine_report.h"

#include "json.h"
#include "table.h"
#include "text.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

namespace pw::tool {
namespace {

using json = nlohmann::ordered_json;

std::string number_or_dash(int number)
{
    return number < 0 ? "-" : std::to_string(number);
}

std::string list_or_dash(const std::vector<int> &numbers)
{
    return numbers.empty() ? "-" : cpu_list(numbers);
}

// Those with which the CPU shares its data cache of that level.
std::string sharing(const machine &shown, int level, int cpu)
{
    for (const machine_cache &each : shown.caches)
        if (each.level == level && each.type != "Instruction" &&
            std::binary_search(each.cpus.begin(), each.cpus.end(), cpu))
            return cpu_list(each.cpus);
    return "-";
}

std::string bytes_text(uint64_t bytes)
{
    if (bytes == 0)
        return "-";
    return bytes % (1 << 20) == 0 ? fmt::format("{} MiB", bytes >> 20) : fmt::format("{} KiB", bytes >> 10);
}

std::string kind_of(const machine_cache &cache)
{
    return fmt::format("L{}{}", cache.level,
                       cache.type == "Data"          ? "d"
                       : cache.type == "Instruction" ? "i"
                                                     : "");
}

table cpu_table(const machine &shown)
{
    using enum side;
    table cpus({{"CPU", ""},
                {"NODE", "", right, 3},
                {"PACKAGE", "", right, 8},
                {"CORE", "CPUs", left, 7},
                {"L1D", "CPUs", left, 9},
                {"L2", "CPUs", left, 6},
                {"L3", "CPUs", left, 5},
                {"ISOLATED", "", left, 2},
                {"NOHZ_FULL", "", left, 4},
                {"WORKER", "", left},
                {"WHY", "", left, 1}});
    for (const machine_cpu &each : shown.cpus) {
        bool chosen = each.reason == worker_reason::chosen;
        cpus.add({std::to_string(each.cpu), number_or_dash(each.node), number_or_dash(each.package),
                  list_or_dash(each.core), sharing(shown, 1, each.cpu), sharing(shown, 2, each.cpu),
                  sharing(shown, 3, each.cpu), each.isolated ? "yes" : "no", each.nohz_full ? "yes" : "no",
                  chosen ? "yes" : "no", reason_text(shown, each)});
    }
    return cpus;
}

// Caches of one kind and size in a line.
table cache_table(const machine &shown)
{
    using enum side;
    struct alike {
        size_t number = 0, most_cpus = 0;
    };
    std::map<std::tuple<int, std::string, uint64_t>, std::pair<const machine_cache *, alike>> kinds;
    for (const machine_cache &each : shown.caches) {
        auto &[first, of] =
            kinds.try_emplace({each.level, each.type, each.bytes}, &each, alike{}).first->second;
        ++of.number;
        of.most_cpus = std::max(of.most_cpus, each.cpus.size());
    }
    table caches({{"CACHE", "", left}, {"SIZE", ""}, {"NUMBER", ""}, {"SHARED", "CPUs at most"}});
    for (const auto &[key, kind] : kinds)
        caches.add({kind_of(*kind.first), bytes_text(kind.first->bytes), std::to_string(kind.second.number),
                    std::to_string(kind.second.most_cpus)});
    return caches;
}

const char *code_of(worker_reason reason)
{
    switch (reason) {
    case worker_reason::offline:
        return "offline";
    case worker_reason::cpuset:
        return "cpuset";
    case worker_reason::affinity:
        return "affinity";
    case worker_reason::cpus_option:
        return "cpus_option";
    case worker_reason::chosen:
        break;
    }
    return "chosen";
}

json number_or_null(int number)
{
    return number < 0 ? json() : json(number);
}

} // namespace

std::string machine_report(const machine &shown, const screen &to)
{
    std::string text;
    auto out = std::back_inserter(text);
    std::vector<int> workers;
    for (const machine_cpu &each : shown.cpus)
        if (each.reason == worker_reason::chosen)
            workers.push_back(each.cpu);
    fmt::format_to(out, "A program that is started from here, unless it chooses by itself:\n");
    fmt::format_to(out, "strategy     {} (from {})\n", shown.strategy, shown.source);
    fmt::format_to(out, "workers      {}\n", cpu_list(workers));
    if (!shown.cpus_source.empty())
        fmt::format_to(out, "cpus         {} (from {}){}\n", shown.cpus_option, shown.cpus_source,
                       shown.cpus_ignored ? ": none of these CPUs is ours, ignored" : "");
    if (shown.ignored_count > 0) {
        fmt::format_to(out, "ignored      {}\n", shown.ignored_count);
        for (const std::string &each : shown.ignored)
            fmt::format_to(out, "             {}\n", each);
    }
    text += '\n' + cpu_table(shown).text(to);
    if (!shown.caches.empty())
        text += '\n' + cache_table(shown).text(to);
    if (!shown.nodes.empty()) {
        table nodes({{"NODE", ""}, {"CPUS", "", side::left}});
        for (const machine_node &each : shown.nodes)
            nodes.add({std::to_string(each.node), list_or_dash(each.cpus)});
        text += '\n' + nodes.text(to);
    }
    return text;
}

json machine_document(const machine &shown)
{
    json cpus = json::array(), caches = json::array(), nodes = json::array();
    for (const machine_cpu &each : shown.cpus)
        cpus.push_back({{"cpu", each.cpu},
                        {"online", each.online},
                        {"node", number_or_null(each.node)},
                        {"package", number_or_null(each.package)},
                        {"core_cpus", each.core},
                        {"isolated", each.isolated},
                        {"nohz_full", each.nohz_full},
                        {"worker", each.reason == worker_reason::chosen},
                        {"reason", code_of(each.reason)},
                        {"why", reason_text(shown, each)}});
    for (const machine_cache &each : shown.caches)
        caches.push_back(
            {{"level", each.level}, {"type", each.type}, {"bytes", each.bytes}, {"cpus", each.cpus}});
    for (const machine_node &each : shown.nodes)
        nodes.push_back({{"node", each.node}, {"cpus", each.cpus}});
    json document = document_head();
    document["topology"] = {{"strategy", shown.strategy},
                            {"source", shown.source},
                            {"cpus_option", shown.cpus_option},
                            {"cpus_source", shown.cpus_source.empty() ? json() : json(shown.cpus_source)},
                            {"cpus_ignored", shown.cpus_ignored},
                            {"ignored_count", shown.ignored_count},
                            {"ignored", shown.ignored},
                            {"cpus", std::move(cpus)},
                            {"nodes", std::move(nodes)},
                            {"caches", std::move(caches)}};
    return document;
}

} // namespace pw::tool
