// SPDX-License-Identifier: MIT
// One look at a process, whole: what the formats for other programs show. Plain values, like snapshot.h.
#pragma once

#include "processes.h"
#include "snapshot.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pw::tool {

struct process_sample {
    int pid = 0; // as we see it
    std::string command;
    std::string command_line;
    segment_facts facts;
    uint64_t uptime_ns = 0; // since the runtime's start, suspended time included
    snapshot state;
};

// The worker's last turn began on another CPU than the one that it is bound to.
inline bool is_mispinned(const cpu_state &cpu)
{
    return cpu.seen_cpu >= 0 && cpu.seen_cpu != cpu.cpu;
}

// Throws bad_segment.
process_sample take_sample(const process &from);

struct sample_set {
    std::vector<process_sample> processes; // by rising pid
    std::vector<std::string> problems;     // "1234: why": what could not be read
    int denied = 0;                        // processes that are not ours to read
};

// Of every process that uses the runtime. One that ends meanwhile is left out. Throws cannot_show.
sample_set take_samples();

} // namespace pw::tool
