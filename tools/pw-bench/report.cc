// SPDX-License-Identifier: MIT
#include "report.h"

#include "measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

namespace pw::bench {

using nlohmann::json;

const json *find_by(const json &array, const char *key, const std::string &value)
{
    for (const json &each : array)
        if (each[key] == value)
            return &each;
    return nullptr;
}

const json *fastest_peer(const json &rows, const char *figure)
{
    const json *fastest = nullptr;
    for (const json &row : rows)
        if (row["group"] == "peer" && (!fastest || row[figure] < (*fastest)[figure]))
            fastest = &row;
    return fastest;
}

double ratio_of(const json *over, const json *under)
{
    if (!over || !under)
        return NAN;
    const json &a = (*over)["samples"], &b = (*under)["samples"];
    std::vector<double> ratios;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
        if (b[i].get<double>() > 0)
            ratios.push_back(a[i].get<double>() / b[i].get<double>());
    return summarize(std::move(ratios)).median;
}

json judged(json target, double ratio, double limit, bool least)
{
    target["limit"] = limit;
    target["least"] = least;
    target["ratio_median"] = std::isnan(ratio) ? json() : json(ratio);
    bool reached = least ? ratio >= limit : ratio <= limit;
    target["verdict"] = std::isnan(ratio) ? "not measured" : reached ? "reached" : "missed";
    return target;
}

void erase_samples(json &result)
{
    if (result.is_object())
        result.erase("samples");
    if (result.is_structured())
        for (json &each : result)
            erase_samples(each);
}

std::string report_head(const json &result, const std::string &figures)
{
    std::string text;
    auto out = std::back_inserter(text);
    const json &machine = result["machine"];
    fmt::format_to(out, "{}, {}, {:.2f} cycles of the counter a ns; built with {}\n{}\n",
                   machine["processor"].get<std::string>(), machine["kernel"].get<std::string>(),
                   machine["cycles_per_ns"].get<double>(), machine["compiler"].get<std::string>(), figures);
    for (const json &peer : result["peers_not_built_in"])
        fmt::format_to(out, "not built in: {}\n", peer.get<std::string>());
    return text + '\n';
}

std::string report_targets(const json &targets, const std::function<std::string(const json &)> &what)
{
    std::string text = "targets, by medians of the repetitions' ratios\n";
    for (const json &each : targets) {
        std::string ratio = "-";
        if (!each["ratio_median"].is_null())
            ratio = fmt::format("{:.2f}", each["ratio_median"].get<double>());
        std::string limit = fmt::format("{} {:.2f}", each["least"].get<bool>() ? "at least" : "at most",
                                        each["limit"].get<double>());
        fmt::format_to(std::back_inserter(text), "  {:<72} {:>6} {:<14} {}\n", what(each), ratio, limit,
                       each["verdict"].get<std::string>());
    }
    return text;
}

} // namespace pw::bench
