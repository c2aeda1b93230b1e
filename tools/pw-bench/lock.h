// SPDX-License-Identifier: MIT
// pw-bench lock: what an uncontended lock costs under each strategy, beside the least that it could cost and
// beside other locks.
#pragma once

#include "measure.h"

#include <nlohmann/json.hpp>

#include <string>

namespace pw::bench {

struct lock_options : bench_options { // the other CPU is the one whose lock is taken from afar
    long pairs = 200'000;
};

// Measures under the strategy of this process. Throws std::runtime_error.
nlohmann::json measure_locks(const lock_options &options);

// What the figures of both runs say of the targets.
nlohmann::json lock_targets(const nlohmann::json &runs);

// As tables.
std::string lock_report(const nlohmann::json &result);

} // namespace pw::bench
