// SPDX-License-Identifier: MIT
// pw-bench call: how long one item takes from pw_queue_on() until its effects are there, beside the least
// that it could take and beside other packages' calls to another thread.
#pragma once

#include "measure.h"

#include <nlohmann/json.hpp>

#include <functional>
#include <string>
#include <vector>

namespace pw::bench {

struct call_options : bench_options { // the other CPU is the worker's
    long calls = 10'000;
};

// One way to call.
struct call_way {
    std::string name;
    std::string group; // "own", "reference" or "peer"
    // So many calls on these CPUs, by a thread that is on the caller's; returns the cycles of each.
    std::function<std::vector<double>(two_cpus cpus, long calls)> run;
};

// Between two calls of a sleeper: long enough for it to fall asleep.
void let_sleep();

// Calls to a thread that sleeps.
std::vector<call_way> standard_call_peers();
std::vector<call_way> asio_call_peers();
std::vector<std::string> missing_call_peers();

// How the workers are: each needs a process of its own.
enum class call_run { awake, asleep, lock };

// Measures in this process; null if the library is without the lock strategy. Throws std::runtime_error.
nlohmann::json measure_calls(const call_options &options, call_run which);

// What the figures of all runs say of the targets.
nlohmann::json call_targets(const nlohmann::json &runs);

// As tables.
std::string call_report(const nlohmann::json &result);

} // namespace pw::bench
