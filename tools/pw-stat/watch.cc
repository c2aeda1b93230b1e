// SPDX-License-Identifier: MIT
#include "watch.h"

#include "explain.h"
#include "interval.h"
#include "print.h"
#include "sample.h"
#include "selection.h"
#include "text.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <fmt/format.h>
#include <utility>
#include <vector>

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

// Until that long after `from`, which becomes that moment: looks do not drift. After a pause, as from Ctrl-Z,
// it begins anew.
void sleep_from(timespec &from, uint64_t ns)
{
    uint64_t nsec = static_cast<uint64_t>(from.tv_nsec) + ns;
    from.tv_sec += static_cast<time_t>(nsec / second);
    from.tv_nsec = static_cast<long>(nsec % second);
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &from, nullptr) == EINTR) {
    }
    timespec now = monotonic_now();
    if (now.tv_sec > from.tv_sec)
        from = now;
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

// Prints rows below headings, and those again and again.
class rate_printer {
  public:
    rate_printer(std::vector<int> cpus, const screen &to) : cpus_(std::move(cpus)), to_(to) {}

    void print_rates(const interval &shown)
    {
        bool blocks = cpus_.size() > 1; // each with its own headings
        size_t rows = std::max<size_t>(cpus_.size(), 1);
        std::string text;
        if (blocks && lines_ > 0)
            text = "\n";
        if (blocks || headings_are_due(lines_, rows, to_)) {
            text += interval_headings(!cpus_.empty(), to_);
            lines_ = 0;
        }
        lines_ += rows;
        print(text + interval_rows(shown, cpus_, to_));
    }

  private:
    std::vector<int> cpus_;
    screen to_;
    size_t lines_ = 0; // since the last headings
};

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

int watch(int pid, pace wanted, const std::string &cpus, const screen &to)
{
    timespec looked = monotonic_now();
    process watched = find_process(pid);
    process_sample now = take_sample(watched);
    std::optional<process_sample> before;
    rate_printer printer(cpus.empty() ? std::vector<int>() : chosen_cpus(cpus, now.facts.cpus), to);
    for (uint64_t looks = 1;; ++looks) {
        printer.print_rates({before ? &before->state : nullptr, now.state, now.facts.start_monotonic_ns,
                             static_cast<int64_t>(time(nullptr))});
        if (looks == wanted.count)
            return success;
        sleep_from(looked, wanted.interval_ns);
        before = std::move(now);
        try {
            if (look_again(watched)) {
                complain(fmt::format("{}: its runtime was started anew; the next line is since then", pid));
                before.reset();
            }
            now = take_sample(watched);
        } catch (const cannot_show &error) {
            if (error.kind != obstacle::ended && error.kind != obstacle::not_a_user)
                throw;
            complain(fmt::format("{}: has ended, or its runtime has", pid));
            return has_ended;
        }
    }
}

std::string explain(process &shown, const screen &to)
{
    timespec looked = monotonic_now();
    process_sample first = take_sample(shown);
    sleep_from(looked, second);
    if (look_again(shown))
        throw cannot_show(obstacle::not_a_user, "its runtime was started anew meanwhile: look again");
    return explanation(first, take_sample(shown).state, to);
}

} // namespace pw::tool
