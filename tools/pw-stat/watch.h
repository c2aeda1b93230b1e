// SPDX-License-Identifier: MIT
// Looking at one process more than once.
#pragma once

#include "pace.h"
#include "processes.h"
#include "screen.h"

#include <string>

namespace pw::tool {

// Prints rates until the count is reached or the process ends; of the CPUs in that list, or without one of
// all together. Returns the exit status. Throws cannot_show if there is nothing to see from the start, and
// misuse.
int watch(int pid, pace wanted, const std::string &cpus, const screen &to);

// What the process does, from looks a second apart. Throws cannot_show.
std::string explain(process &shown, const screen &to);

} // namespace pw::tool
