// SPDX-License-Identifier: MIT
// pw-bench queue: what an item costs from pw_queue_on() until it has run, where many are queued at once,
// beside the least that it could cost and beside other queues.
#pragma once

#include "measure.h"

#include <nlohmann/json.hpp>

#include <string>

namespace pw::bench {

struct queue_options : bench_options { // the other CPU is the worker's
    long items = 100'000;
    int producers = 4;
};

// Measures under the strategy of this process. Throws std::runtime_error.
nlohmann::json measure_queues(const queue_options &options);

// What the figures of both runs say of the targets.
nlohmann::json queue_targets(const nlohmann::json &runs);

// As tables.
std::string queue_report(const nlohmann::json &result);

} // namespace pw::bench
