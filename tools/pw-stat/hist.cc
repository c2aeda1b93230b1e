// SPDX-License-Identifier: MIT
// Histograms as bars.
#include "change.h"
#include "quantity.h"
#include "text.h"
#include "views.h"

#include <algorithm>
#include <fmt/format.h>

namespace pw::tool {
namespace {

constexpr size_t longest_bar = 60;

struct kind {
    histogram cpu_state::*counts;
    const char *title;
    const char *one;
    const char *what; // several
};
constexpr kind kinds[] = {
    {&cpu_state::wait_here, "queued to started, on the CPU's worker", "item", "items"},
    {&cpu_state::run_here, "run time, on the CPU's worker", "item", "items"},
    {&cpu_state::wait_away, "queued to started, by callers (the CPU was spared)", "item", "items"},
    {&cpu_state::run_away, "run time, by callers (the CPU was spared)", "item", "items"},
    {&cpu_state::lock_wait, "waited for locks", "lock", "locks"},
};

// A bucket's least time, and the first that is too long for it.
uint64_t from_ns(size_t bucket)
{
    return bucket == 0 ? 0 : uint64_t{1} << (bucket - 1);
}

uint64_t to_ns(size_t bucket)
{
    return uint64_t{1} << bucket;
}

bool is_last(size_t bucket)
{
    return bucket + 1 == std::tuple_size_v<decltype(histogram::buckets)>;
}

// "< 2.05us": all of that bucket is below its end. In the first one are zeros.
std::string below(size_t bucket)
{
    if (bucket == 0)
        return time_text(0);
    return is_last(bucket) ? time_text(from_ns(bucket)) + " or more" : "< " + time_text(to_ns(bucket));
}

// The bucket in which the smallest number of events is complete that makes this many of a hundred.
size_t percentile(const histogram &shown, uint64_t percent)
{
    uint64_t all = count_of(shown), seen = 0;
    // Rounded up, and without overflow.
    uint64_t wanted = all / 100 * percent + (all % 100 * percent + 99) / 100;
    for (size_t i = 0; i < shown.buckets.size(); ++i)
        if (seen = sum(seen, shown.buckets[i]); seen >= wanted && shown.buckets[i] > 0)
            return i;
    return shown.buckets.size() - 1;
}

std::string bar(uint64_t count, uint64_t largest, size_t room, const screen &to)
{
    double columns = static_cast<double>(count) / static_cast<double>(largest) * static_cast<double>(room);
    if (!to.unicode)
        return std::string(std::max<size_t>(count > 0, static_cast<size_t>(columns + 0.5)), '#');
    constexpr const char *parts[] = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    size_t eighths = std::max<size_t>(count > 0, static_cast<size_t>(columns * 8 + 0.5));
    std::string text;
    for (size_t i = 0; i < eighths / 8; ++i)
        text += "█";
    return text + parts[eighths % 8];
}

std::string draw(const histogram &shown, const kind &which, const screen &to)
{
    auto is_counted = [](uint64_t count) { return count > 0; };
    const auto &buckets = shown.buckets;
    auto first =
        static_cast<size_t>(std::find_if(buckets.begin(), buckets.end(), is_counted) - buckets.begin());
    auto end =
        static_cast<size_t>(buckets.rend() - std::find_if(buckets.rbegin(), buckets.rend(), is_counted));
    uint64_t all = count_of(shown), largest = *std::max_element(buckets.begin(), buckets.end());

    std::string summary = fmt::format("{} {}: p50 {}, p99 {}, longest {}", count_text(all, to),
                                      all == 1 ? which.one : which.what, below(percentile(shown, 50)),
                                      below(percentile(shown, 99)), below(end - 1));
    std::string text = paragraph("  ", summary, 2, to);
    size_t count_width = std::string_view(which.what).size();
    for (size_t i = first; i < end; ++i)
        count_width = std::max(count_width, count_text(buckets[i], to).size());
    std::string head = fmt::format("  {:>6}  {:>6}  {:>{}}      %", "from", "below", which.what, count_width);
    text += head + '\n';
    size_t used = head.size() + 2;
    size_t room = to.columns > 0 ? std::min(to.columns - used, longest_bar) : longest_bar;
    for (size_t i = first; i < end; ++i)
        text += fmt::format("  {:>6}  {:>6}  {:>{}}  {:>5}{}{}\n", time_text(from_ns(i)),
                            is_last(i) ? "" : time_text(to_ns(i)), count_text(buckets[i], to), count_width,
                            percent_text(buckets[i], all), buckets[i] > 0 ? "  " : "",
                            bar(buckets[i], largest, room, to));
    return text;
}

// Those of one CPU, or of several together, that hold anything.
std::string draw_all(const cpu_state &shown, const std::string &whose, const screen &to)
{
    std::string text;
    for (const kind &each : kinds) {
        const histogram &counts = shown.*each.counts;
        if (count_of(counts) == 0)
            continue;
        std::string title = fmt::format("{}: {}", whose, each.title);
        text += '\n' + paragraph("", title, 2, to) + draw(counts, each, to);
    }
    return text;
}

} // namespace

std::string histogram_report(const process_sample &seen, const std::vector<int> &cpus, bool each_cpu,
                             const screen &to)
{
    std::string text = headline(seen, to);
    std::vector<cpu_state> chosen;
    for (int number : cpus)
        if (const cpu_state *found = find_cpu(seen.state.cpus, number))
            chosen.push_back(*found);

    std::string drawn;
    if (each_cpu)
        for (const cpu_state &each : chosen)
            drawn += draw_all(each, fmt::format("CPU {}", each.cpu), to);
    else
        drawn = draw_all(total(chosen), cpus.size() == 1 ? fmt::format("CPU {}", cpus[0]) : "all CPUs", to);

    if (!seen.facts.full)
        text += '\n' +
                paragraph(
                    "", "Histograms of items are kept with stats=full only; this process runs with stats=on.",
                    0, to);
    if (drawn.empty())
        text += '\n' + paragraph("",
                                 seen.facts.full ? "No item has run, and no lock was waited for."
                                                 : "No lock was waited for.",
                                 0, to);
    return text + drawn;
}

} // namespace pw::tool
