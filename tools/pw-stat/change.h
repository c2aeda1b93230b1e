// SPDX-License-Identifier: MIT
// What happened between two snapshots, and sums of what was counted for each CPU.
#pragma once

#include "snapshot.h"

#include <vector>

namespace pw::tool {

// `now` with counts and times since `before`. What is a state, such as what runs, stays that of `now`. A
// longest time stays if it is a new one, else it is 0: how long the longest one between the two took is not
// known.
snapshot difference(const snapshot &before, const snapshot &now);

// Those CPUs' counts added up, as of one CPU with the number -1. Without states, but for what is pending, and
// without tallies.
cpu_state total(const std::vector<cpu_state> &cpus);

void add(histogram &to, const histogram &from);

// How many a histogram holds.
uint64_t count_of(const histogram &counted);

// What ran on the CPUs' own workers on behalf of them, and what ran elsewhere, over all functions.
tally_state total(const std::vector<tally_state> &tallies);

// The one of that number among CPUs by rising number; nullptr: there is none.
const cpu_state *find_cpu(const std::vector<cpu_state> &cpus, int number);

} // namespace pw::tool
