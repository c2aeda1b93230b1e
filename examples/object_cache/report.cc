// SPDX-License-Identifier: MIT
#include "report.h"

#include <algorithm>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <vector>

namespace object_cache {
namespace {

[[gnu::format(printf, 1, 2)]] std::string text(const char *format, ...)
{
    char buffer[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    return buffer;
}

// 1234567 as "1,234,567".
std::string grouped(uint64_t value)
{
    std::string digits = std::to_string(value);
    for (size_t at = digits.size(); at > 3;) {
        at -= 3;
        digits.insert(at, 1, ',');
    }
    return digits;
}

std::string microseconds(uint64_t ns)
{
    return ns < 100'000 ? text("%.1f", static_cast<double>(ns) / 1e3) : grouped(ns / 1000);
}

std::string quoted(const std::string &raw)
{
    std::string json = "\"";
    for (unsigned char c : raw) {
        if (c < 0x20)
            json += text("\\u%04x", c);
        else if (c == '"' || c == '\\')
            json += {'\\', static_cast<char>(c)};
        else
            json += static_cast<char>(c);
    }
    return json + '"';
}

// Without blanks, for the result line.
std::string unbroken(std::string value)
{
    std::replace(value.begin(), value.end(), ' ', '_');
    return value;
}

struct figure {
    const char *key;
    std::string value;
    bool is_text = false;
};

uint64_t per_second(uint64_t count, const run_result &result)
{
    return static_cast<uint64_t>(static_cast<double>(count) / result.seconds);
}

void add_histogram(std::vector<figure> &figures, const char *const (&keys)[5], const histogram &samples)
{
    auto in_us = [](uint64_t ns) { return text("%.3f", static_cast<double>(ns) / 1e3); };
    figures.push_back({keys[0], std::to_string(samples.count())});
    figures.push_back({keys[1], in_us(samples.mean())});
    figures.push_back({keys[2], in_us(samples.quantile(0.5))});
    figures.push_back({keys[3], in_us(samples.quantile(0.99))});
    figures.push_back({keys[4], in_us(samples.max())});
}

std::vector<figure> figures_of(const run_result &result, bool balanced)
{
    uint64_t drains = result.loop_drains.count() + result.other_drains.count();
    uint64_t operations = result.users.allocated + result.users.freed;
    std::vector<figure> figures = {
        {"strategy", pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue", true},
        {"seconds", text("%.3f", result.seconds)},
        {"cpus", std::to_string(result.cpus)},
        {"loop_cpu", std::to_string(result.loop_cpu)},
        {"loop_class", result.ordinary.empty() ? text("fifo:%d", loop_priority) : "other", true},
        {"loop_ordinary_because", result.ordinary.empty() ? "-" : result.ordinary, true},
        {"local_ops", std::to_string(operations)},
        {"local_ops_per_s", std::to_string(per_second(operations, result))},
        {"drains", std::to_string(drains)},
        {"drains_per_s", std::to_string(per_second(drains, result))},
    };
    add_histogram(
        figures,
        {"loop_drains", "loop_drain_mean_us", "loop_drain_p50_us", "loop_drain_p99_us", "loop_drain_max_us"},
        result.loop_drains);
    add_histogram(figures,
                  {"other_drains", "other_drain_mean_us", "other_drain_p50_us", "other_drain_p99_us",
                   "other_drain_max_us"},
                  result.other_drains);
    std::vector<figure> rest = {
        {"loop_iterations", std::to_string(result.loop.iterations)},
        {"loop_involuntary", std::to_string(result.loop.involuntary)},
        {"loop_voluntary", std::to_string(result.loop.voluntary)},
        {"loop_gaps_20us", std::to_string(result.loop.gaps_20us)},
        {"loop_gaps_100us", std::to_string(result.loop.gaps_100us)},
        {"loop_gap_max_us", text("%.3f", static_cast<double>(result.loop.gap_max_ns) / 1e3)},
        {"allocated", std::to_string(result.before.issued)},
        {"freed", std::to_string(result.before.returned)},
        {"cached", std::to_string(result.users.cached)},
        {"carved", std::to_string(result.after.carved)},
        {"found", std::to_string(result.after.stored)},
        {"balanced", balanced ? "1" : "0"},
    };
    figures.insert(figures.end(), rest.begin(), rest.end());
    return figures;
}

void print_drains(const char *what, const histogram &samples)
{
    if (samples.count() == 0)
        return;
    printf("  %-26s p50 %s, p99 %s, max %s us (%s drains)\n", what,
           microseconds(samples.quantile(0.5)).c_str(), microseconds(samples.quantile(0.99)).c_str(),
           microseconds(samples.max()).c_str(), grouped(samples.count()).c_str());
}

} // namespace

bool check_balance(const run_result &result)
{
    bool balanced = true;
    auto expect = [&](const char *what, uint64_t is, const char *of, uint64_t should) {
        if (is == should)
            return;
        fprintf(stderr, "object_cache: objects do not add up: %s %" PRIu64 ", %s %" PRIu64 "\n", what, is, of,
                should);
        balanced = false;
    };
    expect("freed by users", result.users.freed, "allocated by users", result.users.allocated);
    expect("given back to the depot and cached", result.before.returned + result.users.cached,
           "taken from the depot", result.before.issued);
    expect("given back to the depot after the last drains", result.after.returned, "taken from the depot",
           result.after.issued);
    expect("found in the depot", result.after.stored, "ever made", result.after.carved);
    expect("left in magazines after the last drains", result.left, "expected", 0);
    expect("handed out while in use", result.misused, "expected", 0);
    return balanced;
}

void print_text(const run_result &result, bool balanced)
{
    uint64_t operations = result.users.allocated + result.users.freed;
    uint64_t drains = result.loop_drains.count() + result.other_drains.count();
    std::string loop_class = result.ordinary.empty() ? text("real-time, SCHED_FIFO %d", loop_priority)
                                                     : "not real-time: " + result.ordinary;
    std::string drainer = result.drainer_cpu < 0 ? "anywhere" : text("on cpu %d", result.drainer_cpu);

    printf("object cache, strategy %s (from %s), %.1f s\n",
           pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue", pw_strategy_source(), result.seconds);
    printf("  %-26s %d, the loop on cpu %d, drains come from a thread %s\n", "cpus with a user", result.cpus,
           result.loop_cpu, drainer.c_str());
    printf("  %-26s %s\n", "the loop is", loop_class.c_str());
    printf("  %-26s %s/s (%s refills, %s spills)\n", "local operations",
           grouped(per_second(operations, result)).c_str(), grouped(result.users.refills).c_str(),
           grouped(result.users.spills).c_str());
    printf("  %-26s %s/s of %s/s wanted\n", "drains", grouped(per_second(drains, result)).c_str(),
           grouped(1'000'000'000 / drain_period_ns * static_cast<uint64_t>(result.cpus)).c_str());
    print_drains("drain of the loop's cpu", result.loop_drains);
    print_drains("drain of the other cpus", result.other_drains);
    printf("  %-26s %s involuntary, %s voluntary\n", "loop's context switches",
           grouped(static_cast<uint64_t>(result.loop.involuntary)).c_str(),
           grouped(static_cast<uint64_t>(result.loop.voluntary)).c_str());
    printf("  %-26s %s over 20 us, %s over 100 us, longest %s us, in %s iterations\n", "loop's gaps",
           grouped(result.loop.gaps_20us).c_str(), grouped(result.loop.gaps_100us).c_str(),
           microseconds(result.loop.gap_max_ns).c_str(), grouped(result.loop.iterations).c_str());
    printf("  %-26s %s allocated %s %s freed + %s cached; %s made, %s found at the end\n",
           "objects, at the depot", grouped(result.before.issued).c_str(), balanced ? "=" : "<>",
           grouped(result.before.returned).c_str(), grouped(result.users.cached).c_str(),
           grouped(result.after.carved).c_str(), grouped(result.after.stored).c_str());

    printf("result");
    for (const figure &each : figures_of(result, balanced))
        printf(" %s=%s", each.key, unbroken(each.value).c_str());
    printf("\n");
}

void print_json(const run_result &result, bool balanced)
{
    printf("{\"source\": %s", quoted(pw_strategy_source()).c_str());
    for (const figure &each : figures_of(result, balanced))
        printf(", \"%s\": %s", each.key, each.is_text ? quoted(each.value).c_str() : each.value.c_str());
    printf("}\n");
}

} // namespace object_cache
