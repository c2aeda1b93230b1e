// SPDX-License-Identifier: MIT
// What the reports of all subcommands have in common.
#pragma once

#include <nlohmann/json.hpp>

#include <functional>
#include <string>

namespace pw::bench {

// The element of an array whose `key` is that; null if there is none.
const nlohmann::json *find_by(const nlohmann::json &array, const char *key, const std::string &value);

// The peer of the smallest `figure`; null if there is none.
const nlohmann::json *fastest_peer(const nlohmann::json &rows, const char *figure);

// The median of the repetitions' ratios: what disturbs a repetition disturbs both sides of it. NAN if a row
// is missing. Rows have "samples", one for each repetition.
double ratio_of(const nlohmann::json *over, const nlohmann::json *under);

// A target: "what" against "than". `least`: the ratio must be at least the limit, and not at most.
nlohmann::json judged(nlohmann::json target, double ratio, double limit, bool least = false);

// Takes the samples away from everything below.
void erase_samples(nlohmann::json &result);

// Processor, kernel and compiler; what the figures are; what is not there.
std::string report_head(const nlohmann::json &result, const std::string &figures);

// "targets ..." and a line for each, whose text `what` makes.
std::string report_targets(const nlohmann::json &targets,
                           const std::function<std::string(const nlohmann::json &)> &what);

} // namespace pw::bench
