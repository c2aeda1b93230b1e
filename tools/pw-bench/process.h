// SPDX-License-Identifier: MIT
// Measuring in processes of their own: a process has one strategy for its whole life.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace pw::bench {

// Runs this program with these arguments under PWLOCKS=`strategy`; it writes JSON to its standard output.
// Throws std::runtime_error.
nlohmann::json measured_under(const char *strategy, const std::vector<std::string> &arguments);

// What a document says of where it was made.
nlohmann::json this_machine();

} // namespace pw::bench
