// SPDX-License-Identifier: MIT
#include "quantity.h"

#include "text.h"

#include <fmt/format.h>

namespace pw::tool {
namespace {

constexpr uint64_t second = 1'000'000'000;

// Three digits, and never "1000" because of rounding: what would be that belongs to the next larger unit.
std::string three_digits(double number)
{
    if (number < 9.995)
        return fmt::format("{:.2f}", number);
    if (number < 99.95)
        return fmt::format("{:.1f}", number);
    return fmt::format("{:.0f}", number);
}

// With the largest unit of which there is at least one.
std::string compact(double number)
{
    for (const char *unit : {"", "k", "M", "G", "T", "P"}) {
        if (number < 999.5 && *unit)
            return three_digits(number) + unit;
        if (number < 999999.5 && !*unit)
            return fmt::format("{:.0f}", number);
        number /= 1000;
    }
    return three_digits(number) + "E";
}

} // namespace

std::string time_text(uint64_t ns)
{
    if (ns < 1000)
        return fmt::format("{}ns", ns);
    if (ns >= 60 * second)
        return duration(ns / second);
    auto amount = static_cast<double>(ns) / 1000;
    if (amount < 999.5)
        return three_digits(amount) + "us";
    amount /= 1000;
    if (amount < 999.5)
        return three_digits(amount) + "ms";
    return three_digits(amount / 1000) + "s";
}

std::string count_text(uint64_t count, const screen &to)
{
    if (to.columns == 0 || count < 1'000'000)
        return std::to_string(count);
    return compact(static_cast<double>(count));
}

std::string rate_text(uint64_t count, uint64_t ns)
{
    if (ns == 0)
        return "-";
    if (count == 0)
        return "0";
    double rate = static_cast<double>(count) * static_cast<double>(second) / static_cast<double>(ns);
    if (rate < 0.005)
        return "<0.01";
    return rate < 99.95 ? three_digits(rate) : compact(rate);
}

std::string percent_text(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return "-";
    if (part >= whole)
        return "100";
    double percent = 100 * static_cast<double>(part) / static_cast<double>(whole);
    return percent >= 99.95 ? "100" : fmt::format("{:.1f}", percent);
}

std::string counted(uint64_t count, const char *one, const char *many)
{
    return fmt::format("{} {}", count, count == 1 ? one : many);
}

} // namespace pw::tool
