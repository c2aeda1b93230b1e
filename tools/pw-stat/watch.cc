// SPDX-License-Identifier: MIT
#include "watch.h"

#include "explain.h"
#include "interval.h"
#include "print.h"
#include "sample.h"
#include "selection.h"

#include <algorithm>
#include <ctime>
#include <fmt/format.h>
#include <utility>
#include <vector>

namespace pw::tool {
namespace {

constexpr uint64_t second = 1'000'000'000;

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

int watch(int pid, pace wanted, const std::string &cpus, const screen &to)
{
    ticker looks_at(wanted.interval_ns);
    process watched = find_process(pid);
    process_sample now = take_sample(watched);
    std::optional<process_sample> before;
    rate_printer printer(cpus.empty() ? std::vector<int>() : chosen_cpus(cpus, now.facts.cpus), to);
    for (uint64_t looks = 1;; ++looks) {
        printer.print_rates({before ? &before->state : nullptr, now.state, now.facts.start_monotonic_ns,
                             static_cast<int64_t>(time(nullptr))});
        if (looks == wanted.count)
            return success;
        looks_at.wait();
        before = std::move(now);
        try {
            if (look_again(watched)) {
                complain(fmt::format("{}: its runtime was started anew; the next line is since then", pid));
                before.reset();
            }
            now = take_sample(watched);
        } catch (const cannot_show &error) {
            if (!has_gone(error))
                throw;
            complain(fmt::format("{}: has ended, or its runtime has", pid));
            return has_ended;
        }
    }
}

std::string explain(process &shown, const screen &to)
{
    ticker later_by(second);
    process_sample first = take_sample(shown);
    later_by.wait();
    if (look_again(shown))
        throw cannot_show(obstacle::not_a_user, "its runtime was started anew meanwhile: look again");
    return explanation(first, take_sample(shown).state, to);
}

} // namespace pw::tool
