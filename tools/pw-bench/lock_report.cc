// SPDX-License-Identifier: MIT
#include "lock.h"
#include "measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <vector>

namespace pw::bench {
namespace {

using nlohmann::json;

const json *row_of(const json &run, const std::string &name)
{
    for (const json &row : run["rows"])
        if (row["name"] == name)
            return &row;
    return nullptr;
}

const json *run_of(const json &runs, const std::string &strategy)
{
    for (const json &run : runs)
        if (run["strategy"] == strategy)
            return &run;
    return nullptr;
}

// The median of the repetitions' ratios: what disturbs a repetition disturbs both sides of it. NAN if a row
// is missing.
double ratio_of(const json *over, const json *under)
{
    if (!over || !under)
        return NAN;
    const json &a = (*over)["samples_cycles"], &b = (*under)["samples_cycles"];
    std::vector<double> ratios;
    for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
        if (b[i].get<double>() > 0)
            ratios.push_back(a[i].get<double>() / b[i].get<double>());
    return summarize(std::move(ratios)).median;
}

const json *fastest_peer(const json &run)
{
    const json *fastest = nullptr;
    for (const json &row : run["rows"])
        if (row["group"] == "peer" && (!fastest || row["cycles_median"] < (*fastest)["cycles_median"]))
            fastest = &row;
    return fastest;
}

struct target {
    std::string strategy, what, than;
    double limit;
    bool least = false; // the ratio must be at least the limit, and not at most
};

json judged(const json &run, const target &each)
{
    const json *than = each.than == "the fastest peer" ? fastest_peer(run) : row_of(run, each.than);
    double ratio =
        each.least ? ratio_of(than, row_of(run, each.what)) : ratio_of(row_of(run, each.what), than);
    json result = {{"strategy", each.strategy}, {"what", each.what},   {"than", each.than},
                   {"limit", each.limit},       {"least", each.least}, {"ratio_median", nullptr}};
    if (than && each.than == "the fastest peer")
        result["than"] = "the fastest peer, " + (*than)["name"].get<std::string>();
    if (std::isnan(ratio))
        result["verdict"] = "not measured";
    else {
        result["ratio_median"] = ratio;
        result["verdict"] = (each.least ? ratio >= each.limit : ratio <= each.limit) ? "reached" : "missed";
    }
    return result;
}

void add_rows(std::string &text, const json &run)
{
    auto out = std::back_inserter(text);
    fmt::format_to(out, "strategy {}, lock method {}, on CPU {}", run["strategy"].get<std::string>(),
                   run["lock_method"].get<std::string>(), run["cpu"].get<int>());
    if (run["remote_cpu"].is_null())
        fmt::format_to(out, "; one CPU only, so nothing was measured from another\n");
    else
        fmt::format_to(out, ", remote CPU {}\n", run["remote_cpu"].get<int>());
    fmt::format_to(out, "  {:<40} {:>10} {:>10} {:>10} {:>10}\n", "", "cycles", "25 %", "75 %", "ns");
    for (const char *group : {"own", "reference", "peer"})
        for (const json &row : run["rows"])
            if (row["group"] == group)
                fmt::format_to(out, "  {:<40} {:>10.1f} {:>10.1f} {:>10.1f} {:>10.2f}\n",
                               row["name"].get<std::string>(), row["cycles_median"].get<double>(),
                               row["cycles_p25"].get<double>(), row["cycles_p75"].get<double>(),
                               row["ns_median"].get<double>());
    text += '\n';
}

} // namespace

json lock_targets(const json &runs)
{
    const target targets[] = {
        {"queue", "pw_lock_local", "rseq by hand", 1.15},
        {"queue", "pw_lock_local", "rseq by hand, that can be waited for", 1.15},
        {"queue", "pw_lock_local", "pthread_spinlock_t", 2.5, true},
        {"lock", "pw_lock_local", "exchange and store, CPU looked up", 1.10},
        {"lock", "pw_lock", "exchange and store", 1.10},
        {"lock", "pw_lock_local", "the fastest peer", 1.02}, // no slower; 2 % are noise
        {"lock", "remote: pw_lock", "remote: exchange and store", 1.15},
        {"lock", "pw_lock_local_irqsave", "two rt_sigprocmask", 1.05},
        {"queue", "pw_lock_local_irqsave", "two rt_sigprocmask", 1.05},
    };
    json results = json::array();
    for (const target &each : targets)
        if (const json *run = run_of(runs, each.strategy))
            results.push_back(judged(*run, each));
    return results;
}

std::string lock_report(const json &result)
{
    std::string text;
    auto out = std::back_inserter(text);
    const json &machine = result["machine"];
    fmt::format_to(out, "{}, {}, {:.2f} cycles of the counter a ns; built with {}\n",
                   machine["processor"].get<std::string>(), machine["kernel"].get<std::string>(),
                   machine["cycles_per_ns"].get<double>(), machine["compiler"].get<std::string>());
    fmt::format_to(
        out, "a lock and unlock around one increment, the increment taken away; medians of {} repetitions\n",
        result["repetitions"].get<int>());
    for (const json &peer : result["peers_not_built_in"])
        fmt::format_to(out, "not built in: {}\n", peer.get<std::string>());
    text += '\n';
    for (const json &run : result["runs"])
        add_rows(text, run);
    text += "targets, by medians of the repetitions' ratios\n";
    for (const json &each : result["targets"]) {
        std::string what =
            fmt::format("{}: {} {} {}", each["strategy"].get<std::string>(), each["what"].get<std::string>(),
                        each["least"].get<bool>() ? "faster than" : "to", each["than"].get<std::string>());
        std::string limit = fmt::format("{} {:.2f}", each["least"].get<bool>() ? "at least" : "at most",
                                        each["limit"].get<double>());
        if (each["ratio_median"].is_null())
            fmt::format_to(out, "  {:<72} {:>6} {:<14} {}\n", what, "-", limit,
                           each["verdict"].get<std::string>());
        else
            fmt::format_to(out, "  {:<72} {:>6.2f} {:<14} {}\n", what, each["ratio_median"].get<double>(),
                           limit, each["verdict"].get<std::string>());
    }
    return text;
}

} // namespace pw::bench
