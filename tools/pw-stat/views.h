// SPDX-License-Identifier: MIT
// What a person gets to see, each a function of what was read and of the terminal.
#pragma once

#include "sample.h"
#include "screen.h"

#include <string>
#include <vector>

namespace pw::tool {

// One line per process, below headings.
std::string process_list(const survey &found, const screen &to);

// What the process is set to, its CPUs, its workqueues, and what its functions did to which CPU.
std::string process_report(const process_sample &seen, const screen &to);

// Histograms as bars: of those CPUs together, or of each by itself.
std::string histogram_report(const process_sample &seen, const std::vector<int> &cpus, bool each_cpu,
                             const screen &to);

// What each worker and each caller runs, and what waits behind it.
std::string running_report(const process_sample &seen, const screen &to);

// The process in one line: what stands above a view that is not the report.
std::string headline(const process_sample &seen, const screen &to);

// How long ago; never negative.
uint64_t time_since(uint64_t moment_ns, const snapshot &now);

// Items or calls ran on its worker.
bool disturbed(const cpu_state &cpu);

} // namespace pw::tool
