// SPDX-License-Identifier: MIT
#include "machine.h"

#include "text.h"
#include "topology.h"

#include "small_file.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fmt/format.h>
#include <tuple>

namespace pw::tool {
namespace {

using namespace pw::detail;

constexpr size_t longest_file = 4096;
constexpr int most_caches = 16; // of one CPU
constexpr int most_nodes = 1024;

std::vector<int> numbers_of(const cpu_mask &cpus)
{
    std::vector<int> numbers;
    for (int cpu = cpus.next(-1); cpu >= 0; cpu = cpus.next(cpu))
        numbers.push_back(cpu);
    return numbers;
}

// A list of CPUs or nodes; empty where there is none.
cpu_mask list_in(const system_roots &roots, const std::string &file)
{
    cpu_mask found;
    read_cpu_list(roots, file.c_str(), found);
    return found;
}

// The first line of a file; empty where there is none.
std::string line_in(const system_roots &roots, const std::string &file)
{
    small_file read;
    if (read.read((roots.sys + file).c_str(), longest_file) != 0)
        return "";
    return printable(read.text().substr(0, read.text().find('\n')));
}

int number_in(const system_roots &roots, const std::string &file)
{
    std::string text = line_in(roots, file);
    int number = -1;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() ? number : -1;
}

// "32K", as the kernel writes it.
uint64_t bytes_in(const system_roots &roots, const std::string &file)
{
    std::string text = line_in(roots, file);
    uint64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
    unsigned shift = unit == "K" ? 10 : unit == "M" ? 20 : unit == "G" ? 30 : 0;
    return error == std::errc() && number < uint64_t{1} << 30 ? number << shift : 0;
}

// Those of which this CPU is the first one that shares them.
void read_caches(const system_roots &roots, const std::string &folder, int cpu,
                 std::vector<machine_cache> &caches)
{
    for (int index = 0; index < most_caches; ++index) {
        std::string place = fmt::format("{}/cache/index{}/", folder, index);
        cpu_mask shared;
        if (!read_cpu_list(roots, (place + "shared_cpu_list").c_str(), shared))
            return;
        int level = number_in(roots, place + "level");
        if (level > 0 && shared.next(-1) == cpu)
            caches.push_back(
                {level, line_in(roots, place + "type"), bytes_in(roots, place + "size"), numbers_of(shared)});
    }
}

std::string name_of(const option_set &options)
{
    switch (options.cpus) {
    case cpus_choice::housekeeping:
        return "housekeeping";
    case cpus_choice::isolated:
        return "isolated";
    case cpus_choice::list:
        return cpu_list(numbers_of(options.cpu_list));
    case cpus_choice::unset:
    case cpus_choice::allowed:
        break;
    }
    return "allowed";
}

// As the runtime chooses them: what the operator got wrong never stops a program.
cpu_mask choose_workers(const resolution &found, const cpu_mask &ours, const cpu_mask &isolated,
                        machine &into)
{
    into.cpus_option = name_of(found.options);
    if (found.options.cpus != cpus_choice::unset)
        into.cpus_source = printable(found.cpus_source);
    cpu_mask chosen;
    if (plan_cpus(ours, isolated, found.options, nullptr, chosen))
        return chosen;
    into.cpus_ignored = true;
    return ours;
}

} // namespace

machine read_machine(const system_roots &roots, const operator_texts &texts, const granted_cpus &granted)
{
    const std::string folder = "/devices/system/";
    resolution found;
    resolve(texts, roots, granted.affinity, found);
    machine result;
    result.strategy = found.strategy == PW_STRATEGY_LOCK ? "lock" : "queue";
    result.source = printable(found.source);
    result.ignored_count = static_cast<uint64_t>(found.ignored.count);
    for (int i = 0; i < std::min(found.ignored.count, ignored_options::capacity); ++i)
        result.ignored.push_back(printable(found.ignored.text[i]));

    cpu_mask ours = usable_cpus(granted.existing, granted.affinity, granted.affinity);
    cpu_mask workers = choose_workers(found, ours, read_isolated(roots), result);
    cpu_mask online = list_in(roots, folder + "cpu/online"),
             isolated = list_in(roots, folder + "cpu/isolated");
    cpu_mask nohz_full = list_in(roots, folder + "cpu/nohz_full"),
             present = list_in(roots, folder + "cpu/present");
    for (int cpu = ours.next(-1); cpu >= 0; cpu = ours.next(cpu)) {
        present.insert(cpu); // whatever the files say
        online.insert(cpu);
    }
    cpu_mask nodes = list_in(roots, folder + "node/online");
    for (int node = nodes.next(-1); node >= 0 && node < most_nodes; node = nodes.next(node))
        result.nodes.push_back(
            {node, numbers_of(list_in(roots, fmt::format("{}node/node{}/cpulist", folder, node)))});

    for (int cpu = present.next(-1); cpu >= 0; cpu = present.next(cpu)) {
        std::string place = fmt::format("{}cpu/cpu{}", folder, cpu);
        machine_cpu each;
        each.cpu = cpu;
        each.online = online.contains(cpu);
        for (const machine_node &node : result.nodes)
            if (std::binary_search(node.cpus.begin(), node.cpus.end(), cpu))
                each.node = node.node;
        each.package = number_in(roots, place + "/topology/physical_package_id");
        each.core = numbers_of(list_in(roots, place + "/topology/thread_siblings_list"));
        each.isolated = isolated.contains(cpu);
        each.nohz_full = nohz_full.contains(cpu);
        each.reason = !each.online                     ? worker_reason::offline
                      : workers.contains(cpu)          ? worker_reason::chosen
                      : ours.contains(cpu)             ? worker_reason::cpus_option
                      : granted.existing.contains(cpu) ? worker_reason::affinity
                                                       : worker_reason::cpuset;
        if (each.online)
            read_caches(roots, place, cpu, result.caches);
        result.cpus.push_back(std::move(each));
    }
    std::stable_sort(result.caches.begin(), result.caches.end(),
                     [](const machine_cache &one, const machine_cache &other) {
                         return std::tie(one.level, one.type) < std::tie(other.level, other.type);
                     });
    return result;
}

machine read_this_machine()
{
    operator_texts texts = {getenv("PWLOCKS"), getenv("PWLOCKS_OPTIONS"), getenv("PWLOCKS_CONF")};
    return read_machine({}, texts, {topology().existing(), launch_affinity()});
}

std::string reason_text(const machine &of, const machine_cpu &cpu)
{
    switch (cpu.reason) {
    case worker_reason::offline:
        return "offline";
    case worker_reason::cpuset:
        return "the cgroup's cpuset does not grant it";
    case worker_reason::affinity:
        return "not in the affinity that programs inherit";
    case worker_reason::cpus_option:
        return fmt::format("left out by cpus={} ({})", of.cpus_option, of.cpus_source);
    case worker_reason::chosen:
        break;
    }
    if (of.cpus_source.empty() || of.cpus_ignored)
        return "all that are ours";
    return fmt::format("cpus={} ({})", of.cpus_option, of.cpus_source);
}

} // namespace pw::tool
