// SPDX-License-Identifier: MIT
// What the full screen's tables hold: processes, or the CPUs and the functions of one, with what happened
// between two looks at them.
#pragma once

#include "pane.h"
#include "sample.h"

#include <string>
#include <vector>

namespace pw::tool {

std::vector<column> process_columns();
std::vector<column> cpu_columns();
std::vector<column> function_columns();
inline constexpr size_t busy_processes = 4, busy_cpus = 3, busy_functions = 1; // columns to sort by at first

// Rates are over the time between the two, which are of one start of the runtime.
pane_row process_row(const snapshot &before, const process_sample &now);
std::vector<pane_row> cpu_rows(const snapshot &before, const process_sample &now);
std::vector<pane_row> function_rows(const snapshot &before, const snapshot &now);

// Nothing has happened yet: the rates behind it are averages since the start.
snapshot at_start(const segment_facts &facts);

} // namespace pw::tool
