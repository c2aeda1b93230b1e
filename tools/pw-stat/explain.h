// SPDX-License-Identifier: MIT
// What the numbers mean, in sentences. Says what they carry and no more.
#pragma once

#include "views.h"

#include <string>
#include <vector>

namespace pw::tool {

// What there is to go by: two looks at one process, some time apart.
struct evidence {
    const segment_facts &facts;
    const snapshot &before;
    const snapshot &now;
    snapshot change; // between the two
    uint64_t age_ns; // of the runtime

    evidence(const segment_facts &known, const snapshot &earlier, const snapshot &later);
};

struct finding {
    tone how;
    std::string text;
};
using findings = std::vector<finding>;

// Each adds what it finds, or nothing.
void find_stuck_functions(const evidence &seen, findings &found); // running since before the first look
void find_starved_workers(const evidence &seen, findings &found); // items wait, nothing runs
void find_mis_pinned(const evidence &seen, findings &found);
void find_disturbed(const evidence &seen, findings &found);       // by whom; isolated CPUs first
void find_spared(const evidence &seen, findings &found);          // what the lock strategy did, or would do
void find_unused_strategy(const evidence &seen, findings &found); // lock strategy, and nobody reaches over
void find_contended_locks(const evidence &seen, findings &found);
void find_remote_locks(const evidence &seen, findings &found); // with membarrier, and races lost to it
void find_ignored_options(const evidence &seen, findings &found);
void find_inexact_counts(const evidence &seen, findings &found);

// All of them, in this order.
findings find_all(const evidence &seen);

// `first` is what the process was when `later` was not yet read.
std::string explanation(const process_sample &first, const snapshot &later, const screen &to);

} // namespace pw::tool
