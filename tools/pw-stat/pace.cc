// SPDX-License-Identifier: MIT
#include "pace.h"

#include "print.h"
#include "text.h"

#include <cerrno>
#include <charconv>
#include <fmt/format.h>
#include <string>

namespace pw::tool {
namespace {

constexpr uint64_t second = 1'000'000'000;
constexpr double shortest_s = 0.01, longest_s = 86'400;

timespec monotonic_now()
{
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now;
}

template <typename Number>
std::optional<Number> parse(const std::string &text)
{
    Number number = {};
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size())
        return std::nullopt;
    return number;
}

} // namespace

pace parse_pace(const request &asked)
{
    if (asked.interval.empty())
        return {0, 1};
    std::optional<double> seconds = parse<double>(asked.interval);
    if (!seconds || !(*seconds >= shortest_s && *seconds <= longest_s))
        throw misuse(fmt::format("\"{}\": not an interval in seconds, from {} to {}",
                                 printable(asked.interval), shortest_s, longest_s));
    pace wanted = {static_cast<uint64_t>(*seconds * second), {}};
    if (asked.count.empty())
        return wanted;
    wanted.count = parse<uint64_t>(asked.count);
    if (wanted.count.value_or(0) == 0)
        throw misuse(fmt::format("\"{}\": not a number of lines", printable(asked.count)));
    return wanted;
}

ticker::ticker(uint64_t interval_ns) : interval_ns_(interval_ns), last_(monotonic_now()) {}

void ticker::wait()
{
    uint64_t nsec = static_cast<uint64_t>(last_.tv_nsec) + interval_ns_;
    last_.tv_sec += static_cast<time_t>(nsec / second);
    last_.tv_nsec = static_cast<long>(nsec % second);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &last_, nullptr) == EINTR) {
    }
    timespec now = monotonic_now();
    if (now.tv_sec > last_.tv_sec)
        last_ = now;
}

bool has_gone(const cannot_show &error)
{
    return error.kind == obstacle::ended || error.kind == obstacle::not_a_user;
}

} // namespace pw::tool
