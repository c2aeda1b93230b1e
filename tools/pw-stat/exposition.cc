// SPDX-License-Identifier: MIT
#include "exposition.h"

#include "quantity.h"

#include <algorithm>
#include <fmt/format.h>

namespace pw::tool {
namespace {

// Of a label's value. In a help text quotes would stay, but ours have none.
std::string escaped(std::string_view text)
{
    std::string safe;
    for (char each : text) {
        if (each == '\n') {
            safe += "\\n";
            continue;
        }
        if (each == '\\' || each == '"')
            safe += '\\';
        safe += each;
    }
    return safe;
}

std::string head(std::string_view name, const char *type, bool seconds, std::string_view help)
{
    std::string text;
    if (type)
        text += fmt::format("# TYPE {} {}\n", name, type);
    // A unit is the family's suffix; behind an undeclared counter's it would be that of another family.
    if (type && seconds)
        text += fmt::format("# UNIT {} seconds\n", name);
    return text + fmt::format("# HELP {} {}\n", name, help);
}

// Bucket i holds what is at most this.
constexpr uint64_t bound_ns(size_t bucket)
{
    return (uint64_t{1} << bucket) - 1;
}

// Both formats compare bounds as text: the shortest number that reads back the same, without a pad.
std::string bound_text(size_t bucket)
{
    return fmt::format("{}", static_cast<double>(bound_ns(bucket)) / 1e9);
}

double estimated_sum_seconds(const histogram &durations)
{
    double sum = 0;
    for (size_t i = 1; i < durations.buckets.size(); ++i) {
        double middle = static_cast<double>(bound_ns(i - 1) + 1 + bound_ns(i)) / 2;
        sum += static_cast<double>(durations.buckets[i]) * middle / 1e9;
    }
    return sum;
}

} // namespace

labels labels::with(std::string_view name, std::string_view value) const
{
    labels more = *this;
    if (!more.text_.empty())
        more.text_ += ',';
    more.text_ += fmt::format("{}=\"{}\"", name, escaped(value));
    return more;
}

std::string seconds_text(uint64_t ns)
{
    std::string text = fmt::format("{}.{:09}", ns / 1'000'000'000, ns % 1'000'000'000);
    text.resize(text.find_last_not_of('0') + 1);
    if (text.back() == '.')
        text.pop_back();
    return text;
}

uint64_t &metric_family::value_of(const labels &series)
{
    auto [place, fresh] = places_.emplace(series.text(), series_.size());
    if (fresh)
        series_.emplace_back(series.text(), 0);
    return series_[place->second].second;
}

void metric_family::add(const labels &to, uint64_t value)
{
    uint64_t &there = value_of(to);
    there = sum(there, value);
}

void metric_family::raise(const labels &to, uint64_t value)
{
    uint64_t &there = value_of(to);
    there = std::max(there, value);
}

std::string metric_family::text(dialect wanted) const
{
    if (series_.empty())
        return {};
    const char *type = type_ == metric_type::gauge     ? "gauge"
                       : wanted == dialect::prometheus ? "counter"
                                                       : nullptr;
    std::string text = head(name_, type, unit_ == metric_unit::ns && type_ == metric_type::gauge, help_);
    for (const auto &[series, value] : series_)
        text += fmt::format("{}{{{}}} {}\n", name_, series,
                            unit_ == metric_unit::ns ? seconds_text(value) : std::to_string(value));
    return text;
}

void histogram_family::add(const labels &to, const histogram &durations, uint64_t sum_ns)
{
    add_text(to, durations, seconds_text(sum_ns));
}

void histogram_family::add(const labels &to, const histogram &durations)
{
    add_text(to, durations, fmt::format("{}", estimated_sum_seconds(durations)));
}

void histogram_family::add_text(const labels &to, const histogram &durations, const std::string &sum_text)
{
    uint64_t count = 0;
    for (size_t i = 0; i < durations.buckets.size(); ++i) {
        count = sum(count, durations.buckets[i]);
        if (i >= 8 && i <= 34 && i % 2 == 0)
            series_ += fmt::format("{}_bucket{{{}}} {}\n", name_, to.with("le", bound_text(i)).text(), count);
    }
    series_ += fmt::format("{}_bucket{{{}}} {}\n", name_, to.with("le", "+Inf").text(), count);
    series_ += fmt::format("{}_count{{{}}} {}\n", name_, to.text(), count);
    series_ += fmt::format("{}_sum{{{}}} {}\n", name_, to.text(), sum_text);
}

std::string histogram_family::text() const
{
    return series_.empty() ? "" : head(name_, "histogram", true, help_) + series_;
}

} // namespace pw::tool
