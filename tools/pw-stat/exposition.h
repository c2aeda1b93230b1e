// SPDX-License-Identifier: MIT
// Metric families with labelled values, as text for monitoring systems.
//
// Two dialects. OpenMetrics 1.0 declares a counter without the suffix _total that its samples have, the
// Prometheus text format (0.0.4) with it, and either refuses the other's declaration. So that one text serves
// the parsers of both, our OpenMetrics declares no type for counters; all other types are written alike.
#pragma once

#include "snapshot.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace pw::tool {

enum class dialect { openmetrics, prometheus };

// Labels of one value, in the order in which they were given. Any text can be a label's value.
class labels {
  public:
    labels with(std::string_view name, std::string_view value) const;
    labels with(std::string_view name, int64_t value) const { return with(name, std::to_string(value)); }
    const std::string &text() const { return text_; } // without braces

  private:
    std::string text_;
};

// "12.345678901": exact.
std::string seconds_text(uint64_t ns);

enum class metric_type { counter, gauge };
enum class metric_unit { none, ns }; // ns are shown as seconds

// A series appears once, however often its labels come: several functions may have one name.
class metric_family {
  public:
    // A counter's name ends in _total; that of what is counted in ns in _seconds or _seconds_total.
    metric_family(const char *name, metric_type type, metric_unit unit, const char *help)
        : name_(name), help_(help), type_(type), unit_(unit)
    {
    }

    void add(const labels &to, uint64_t value);   // to what is there, at most up to 2^64 - 1
    void raise(const labels &to, uint64_t value); // what is there to this, if it is less

    // Empty without a series.
    std::string text(dialect wanted) const;

  private:
    uint64_t &value_of(const labels &series);

    const char *name_;
    const char *help_;
    metric_type type_;
    metric_unit unit_;
    std::vector<std::pair<std::string, uint64_t>> series_;
    std::unordered_map<std::string, size_t> places_;
};

// Of durations. The same bounds in every text, each four times the one before: from 255 ns to 17 s.
class histogram_family {
  public:
    histogram_family(const char *name, const char *help) : name_(name), help_(help) {}

    // Their sum is known, or is estimated from the buckets' middles.
    void add(const labels &to, const histogram &durations, uint64_t sum_ns);
    void add(const labels &to, const histogram &durations);

    std::string text() const; // in either dialect

  private:
    void add_text(const labels &to, const histogram &durations, const std::string &sum);

    const char *name_;
    const char *help_;
    std::string series_;
};

} // namespace pw::tool
