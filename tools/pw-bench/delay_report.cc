// SPDX-License-Identifier: MIT
#include "delay.h"
#include "report.h"

#include <fmt/format.h>

#include <iterator>

namespace pw::bench {
namespace {

using nlohmann::json;

struct column {
    const char *title, *key;
};

template <size_t count>
void add_table(std::string &text, const char *what, const json &rows, const column (&columns)[count])
{
    auto out = std::back_inserter(text);
    fmt::format_to(out, "  {:<24}", what);
    for (const column &each : columns)
        fmt::format_to(out, " {:>11}", each.title);
    text += '\n';
    for (const json &row : rows) {
        fmt::format_to(out, "  {:<24}", row["name"].get<std::string>());
        for (const column &each : columns)
            fmt::format_to(out, " {:>11.0f}", row[each.key].get<double>());
        text += '\n';
    }
}

} // namespace

long early_starts(const json &runs)
{
    long all = 0;
    for (const json &run : runs)
        for (const json &row : run["lateness"])
            if (row["group"] == "own")
                all += row["early"].get<long>();
    return all;
}

std::string delay_report(const json &result)
{
    std::string text = report_head(result, "ns that delayed work starts late, 1 ms ahead; ns of each call");
    auto out = std::back_inserter(text);
    for (const json &run : result["runs"]) {
        fmt::format_to(out, "strategy {}, caller on CPU {}, worker's CPU {}, functions run on CPU {}\n",
                       run["strategy"].get<std::string>(), run["caller_cpu"].get<int>(),
                       run["worker_cpu"].get<int>(), run["runner_cpu"].get<int>());
        add_table(text, "lateness", run["lateness"],
                  {{"beside", "armed"},
                   {"p50", "ns_p50"},
                   {"p99", "ns_p99"},
                   {"p99.9", "ns_p999"},
                   {"max", "ns_max"},
                   {"times", "times"},
                   {"early", "early"}});
        add_table(text, "cost", run["costs"],
                  {{"armed", "armed"}, {"median", "ns_median"}, {"p25", "ns_p25"}, {"p75", "ns_p75"}});
        text += '\n';
    }
    long early = result["early"];
    return text + (early == 0 ? std::string("never early: holds\n")
                              : fmt::format("never early: does not hold, {} started early\n", early));
}

} // namespace pw::bench
