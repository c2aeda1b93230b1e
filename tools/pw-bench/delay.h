// SPDX-License-Identifier: MIT
// pw-bench delay: how late delayed work runs, beside a thread that sleeps by itself, and what it costs to
// arm, to arm anew and to disarm where many items are armed.
#pragma once

#include "measure.h"

#include <nlohmann/json.hpp>

#include <string>

namespace pw::bench {

struct delay_options : bench_options { // the other CPU is the worker's
    long samples = 2000;
    long armed = 1'000'000;
};

// Measures in this process. Throws std::runtime_error.
nlohmann::json measure_delays(const delay_options &options);

// How many of all runs' items started early.
long early_starts(const nlohmann::json &runs);

// As tables.
std::string delay_report(const nlohmann::json &result);

} // namespace pw::bench
