// SPDX-License-Identifier: MIT
#include "call.h"
#include "report.h"

#include <fmt/format.h>

#include <iterator>

namespace pw::bench {
namespace {

using nlohmann::json;

const json *run_of(const json &runs, const std::string &strategy, const std::string &worker)
{
    for (const json &run : runs)
        if (run["strategy"] == strategy && run["worker"] == worker)
            return &run;
    return nullptr;
}

std::string title(const json &run)
{
    std::string strategy = run["strategy"];
    return strategy == "lock" ? strategy : strategy + ", worker " + run["worker"].get<std::string>();
}

void add_rows(std::string &text, const json &run)
{
    auto out = std::back_inserter(text);
    fmt::format_to(out, "strategy {}, caller on CPU {}, worker's CPU {}\n  {:<36}", title(run),
                   run["caller_cpu"].get<int>(), run["worker_cpu"].get<int>(), "");
    for (const char *column : {"p50", "p99", "p99.9", "max", "calls"})
        fmt::format_to(out, " {:>11}", column);
    text += '\n';
    for (const char *group : {"own", "reference", "peer"})
        for (const json &row : run["rows"]) {
            if (row["group"] != group)
                continue;
            fmt::format_to(out, "  {:<36}", row["name"].get<std::string>());
            for (const char *column : {"ns_p50", "ns_p99", "ns_p999", "ns_max", "calls"})
                fmt::format_to(out, " {:>11.0f}", row[column].get<double>());
            text += '\n';
        }
    text += '\n';
}

} // namespace

json call_targets(const json &runs)
{
    const struct {
        const char *strategy, *worker, *what, *than;
        double limit;
    } targets[] = {
        {"queue", "awake", "pw_queue_on and pw_flush", "one line there and back", 2.5},
        {"queue", "asleep", "pw_queue_on and pw_flush", "futex there and back", 1.15},
        {"lock", "asleep", "remote: pw_queue_on", "remote: exchange and store", 1.3},
    };
    json results = json::array();
    for (const auto &each : targets)
        if (const json *run = run_of(runs, each.strategy, each.worker)) {
            const json &rows = (*run)["rows"];
            results.push_back(judged(
                {{"run", title(*run)}, {"what", each.what}, {"than", each.than}},
                ratio_of(find_by(rows, "name", each.what), find_by(rows, "name", each.than)), each.limit));
        }
    return results;
}

std::string call_report(const json &result)
{
    std::string text = report_head(
        result, fmt::format("ns of a call to another CPU and back; all calls of {} repetitions together",
                            result["repetitions"].get<int>()));
    for (const json &run : result["runs"])
        add_rows(text, run);
    return text + report_targets(result["targets"], [](const json &each) {
               return fmt::format("{}: {} to {}", each["run"].get<std::string>(),
                                  each["what"].get<std::string>(), each["than"].get<std::string>());
           });
}

} // namespace pw::bench
