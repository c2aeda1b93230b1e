// SPDX-License-Identifier: MIT
// pw-bench lock: what an uncontended lock costs under each strategy, beside the least that it could cost and
// beside other locks.
#pragma once

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace pw::bench {

struct lock_options {
    int repetitions = 15;
    long pairs = 200'000;
    std::optional<int> cpu, remote_cpu;
    bool peers = true;
};

// Measures under the strategy of this process. Throws std::runtime_error.
nlohmann::json measure_locks(const lock_options &options);

// What the figures of both runs say of the targets.
nlohmann::json lock_targets(const nlohmann::json &runs);

// As tables.
std::string lock_report(const nlohmann::json &result);

} // namespace pw::bench
