// SPDX-License-Identifier: MIT
// Looking at one process more than once.
#pragma once

#include "commands.h"
#include "processes.h"
#include "screen.h"

#include <cstdint>
#include <optional>
#include <string>

namespace pw::tool {

struct pace {
    uint64_t interval_ns;
    std::optional<uint64_t> count; // of looks; none: for ever
};

// Of the interval and the count that were given; one look if there is no interval. Throws misuse.
pace parse_pace(const request &asked);

// Prints rates until the count is reached or the process ends; of the CPUs in that list, or without one of
// all together. Returns the exit status. Throws cannot_show if there is nothing to see from the start, and
// misuse.
int watch(int pid, pace wanted, const std::string &cpus, const screen &to);

// What the process does, from looks a second apart. Throws cannot_show.
std::string explain(process &shown, const screen &to);

} // namespace pw::tool
