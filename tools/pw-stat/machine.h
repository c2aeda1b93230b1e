// SPDX-License-Identifier: MIT
// The machine's CPUs, and which of them a program that is started from here would give a worker, and why.
#pragma once

#include "strategy.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pw::tool {

// Why a CPU has a worker, or none.
enum class worker_reason {
    chosen, // it is ours, and cpus= does not leave it out
    offline,
    cpuset,      // the cgroup does not grant it
    affinity,    // the shell's affinity does not, which programs inherit
    cpus_option, // cpus= leaves it out
};

struct machine_cpu {
    int cpu = -1;
    bool online = false;
    int node = -1, package = -1; // -1: unknown
    std::vector<int> core;       // the CPUs that share its core, itself included; rising
    bool isolated = false;       // isolcpus, or an isolated cpuset partition
    bool nohz_full = false;
    worker_reason reason = worker_reason::chosen;
};

struct machine_node {
    int node;
    std::vector<int> cpus; // rising
};

struct machine_cache {
    int level;
    std::string type;      // "Data", "Instruction", "Unified"
    uint64_t bytes;        // 0: unknown
    std::vector<int> cpus; // that share it; rising
};

struct machine {
    std::string strategy, source;
    std::string cpus_option = "allowed", cpus_source; // no source: nobody has set it
    bool cpus_ignored = false;                        // none of the CPUs that it asks for is ours
    uint64_t ignored_count = 0;       // of the operator's options; may exceed the texts that were kept
    std::vector<std::string> ignored; // printable
    std::vector<machine_cpu> cpus;    // that are present, by rising number
    std::vector<machine_node> nodes;
    std::vector<machine_cache> caches; // by level, type, first CPU
};

// What we and the programs that we start may run on.
struct granted_cpus {
    detail::cpu_mask existing; // online, and the cgroup grants it
    detail::cpu_mask affinity;
};

// From the files under `roots` and the environment's texts.
machine read_machine(const detail::system_roots &roots, const detail::operator_texts &texts,
                     const granted_cpus &granted);

// Of this machine and this environment.
machine read_this_machine();

std::string reason_text(const machine &of, const machine_cpu &cpu);

} // namespace pw::tool
