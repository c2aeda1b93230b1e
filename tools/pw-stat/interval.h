// SPDX-License-Identifier: MIT
// What happens in each interval, a line for the process or one for each CPU.
#pragma once

#include "screen.h"
#include "snapshot.h"

#include <cstdint>
#include <string>
#include <vector>

namespace pw::tool {

// Per second between two snapshots, and what is so at the second. With `cpus`, a row for each of those;
// without, one for all CPUs together. `at`: the time of day in seconds since the epoch.
struct interval {
    const snapshot *before; // nullptr: since the runtime started, at `start_ns` of CLOCK_MONOTONIC
    const snapshot &now;
    uint64_t start_ns;
    int64_t at;
};

std::string interval_headings(bool each_cpu, const screen &to);
std::string interval_rows(const interval &shown, const std::vector<int> &cpus, const screen &to);

// Whether headings are due again before rows that take so many lines: `lines` were written since the last.
bool headings_are_due(size_t lines, size_t rows, const screen &to);

} // namespace pw::tool
