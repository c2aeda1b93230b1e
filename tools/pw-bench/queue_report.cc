// SPDX-License-Identifier: MIT
#include "queue.h"
#include "report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace pw::bench {
namespace {

using nlohmann::json;

const json *row_of(const json &scene, const std::string &name)
{
    return find_by(scene["rows"], "name", name);
}

// Reached also by what takes no longer than `enough_ns`.
json against_reference(const json &scene, const char *than, double limit, double enough_ns)
{
    const json *what = row_of(scene, "pw_queue_on"), *reference = row_of(scene, than);
    json result =
        judged({{"scene", scene["scene"]}, {"what", "pw_queue_on"}, {"than", than}, {"enough_ns", enough_ns}},
               ratio_of(what, reference), limit);
    if (what && (*what)["ns_median"] <= enough_ns)
        result["verdict"] = "reached";
    return result;
}

json against_peers(const json &scene)
{
    const json *peer = fastest_peer(scene["rows"], "ns_median");
    std::string than = "the fastest peer";
    if (peer)
        than += ", " + (*peer)["name"].get<std::string>();
    return judged(
        {{"scene", scene["scene"]}, {"what", "pw_queue_on"}, {"than", than}, {"enough_ns", nullptr}},
        ratio_of(row_of(scene, "pw_queue_on"), peer), 1);
}

std::string heading(const json &scene)
{
    if (scene["scene"] == "recycled")
        return fmt::format("{} items recycled", scene["items"].get<long>());
    int producers = scene["producers"];
    return fmt::format("{} producer{}, each item once", producers, producers == 1 ? "" : "s");
}

void add_rows(std::string &text, const json &run)
{
    auto out = std::back_inserter(text);
    fmt::format_to(out, "strategy {}, producer on CPU {}, worker on CPU {}\n  {:<38}",
                   run["strategy"].get<std::string>(), run["producer_cpu"].get<int>(),
                   run["worker_cpu"].get<int>(), "");
    for (const json &scene : run["scenes"])
        fmt::format_to(out, " {:^26}", heading(scene));
    fmt::format_to(out, "\n  {:<38}", "");
    for (size_t i = 0; i < run["scenes"].size(); ++i)
        fmt::format_to(out, " {:>8} {:>8} {:>8}", "ns", "25 %", "75 %");
    text += "  bytes\n";
    for (const char *group : {"own", "reference", "peer"})
        for (const json &any : run["scenes"][0]["rows"]) {
            if (any["group"] != group)
                continue;
            std::string name = any["name"];
            fmt::format_to(out, "  {:<38}", name);
            for (const json &scene : run["scenes"]) {
                const json &row = *row_of(scene, name);
                fmt::format_to(out, " {:>8.1f} {:>8.1f} {:>8.1f}", row["ns_median"].get<double>(),
                               row["ns_p25"].get<double>(), row["ns_p75"].get<double>());
            }
            const json &bytes = (*find_by(run["bytes_an_item"], "name", name))["bytes"];
            text += bytes.is_null() ? "\n" : fmt::format(" {:>6.0f}\n", bytes.get<double>());
        }
    text += '\n';
}

} // namespace

json queue_targets(const json &runs)
{
    json results = json::array();
    const json *run = find_by(runs, "strategy", "queue");
    if (!run)
        return results;
    const json *distinct = find_by((*run)["scenes"], "scene", "distinct");
    results.push_back(against_reference(*distinct, "wfcqueue", 1.6, 12));
    results.push_back(against_peers(*distinct));
    results.push_back(against_peers(*find_by((*run)["scenes"], "scene", "several producers")));
    return results;
}

std::string queue_report(const json &result)
{
    std::string text = report_head(
        result,
        fmt::format("ns an item, from the first one's queueing until the last one has run, {} each time; "
                    "medians of {} repetitions",
                    result["items"].get<long>(), result["repetitions"].get<int>()));
    for (const json &run : result["runs"])
        add_rows(text, run);
    return text + report_targets(result["targets"], [](const json &each) {
               std::string enough;
               if (!each["enough_ns"].is_null())
                   enough = fmt::format(", or {:g} ns", each["enough_ns"].get<double>());
               return fmt::format("{}: {} to {}{}", each["scene"].get<std::string>(),
                                  each["what"].get<std::string>(), each["than"].get<std::string>(), enough);
           });
}

} // namespace pw::bench
