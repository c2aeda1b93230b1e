// SPDX-License-Identifier: MIT
// Stat segments as the tests need them: a writer with some CPUs, and the descriptors that this process holds.
#pragma once

#include "stat.h"

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

// What a started runtime would give to stat_segment::create().
struct sample_facts {
    std::vector<pw::detail::worker_cpu> cpus = {{3, 0, false}, {40, 1, true}, {41, -1, false}};
    pw::detail::ignored_options ignored = {};
    const char *source = "PWLOCKS";
    pw_strategy_t strategy = PW_STRATEGY_LOCK;

    operator pw::detail::stat_facts() const
    {
        return {strategy, source, pw::stat::method_rseq, &ignored, cpus};
    }
};

// The descriptors of this process that are stat segments.
inline std::vector<int> segment_descriptors()
{
    std::vector<int> found;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code closed; // the iterator's own
        auto link = std::filesystem::read_symlink(entry.path(), closed).string();
        if (link.starts_with(std::string("/memfd:") + pw::stat::segment_name))
            found.push_back(std::stoi(entry.path().filename()));
    }
    return found;
}

inline size_t descriptor_count()
{
    auto all = std::filesystem::directory_iterator("/proc/self/fd");
    return static_cast<size_t>(std::distance(begin(all), end(all)));
}

// Pages of address space, and of memory, that this process has.
struct memory_use {
    size_t total = 0;
    size_t resident = 0;
    memory_use() { std::ifstream("/proc/self/statm") >> total >> resident; }
};
