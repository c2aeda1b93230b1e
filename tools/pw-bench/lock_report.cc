// SPDX-License-Identifier: MIT
#include "lock.h"
#include "measure.h"
#include "report.h"

#include <fmt/format.h>

#include <iterator>

namespace pw::bench {
namespace {

using nlohmann::json;

struct target {
    std::string strategy, what, than;
    double limit;
    bool least = false; // the ratio must be at least the limit, and not at most
};

json judged_in(const json &run, const target &each)
{
    const json &rows = run["rows"], *what = find_by(rows, "name", each.what);
    bool fastest = each.than == "the fastest peer";
    const json *than = fastest ? fastest_peer(rows, "cycles_median") : find_by(rows, "name", each.than);
    json result = {{"strategy", each.strategy}, {"what", each.what}, {"than", each.than}};
    if (than && fastest)
        result["than"] = "the fastest peer, " + (*than)["name"].get<std::string>();
    double ratio = each.least ? ratio_of(than, what) : ratio_of(what, than);
    return judged(std::move(result), ratio, each.limit, each.least);
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
        if (const json *run = find_by(runs, "strategy", each.strategy))
            results.push_back(judged_in(*run, each));
    return results;
}

std::string lock_report(const json &result)
{
    std::string text = report_head(
        result,
        fmt::format(
            "a lock and unlock around one increment, the increment taken away; medians of {} repetitions",
            result["repetitions"].get<int>()));
    for (const json &run : result["runs"])
        add_rows(text, run);
    return text + report_targets(result["targets"], [](const json &each) {
               return fmt::format(
                   "{}: {} {} {}", each["strategy"].get<std::string>(), each["what"].get<std::string>(),
                   each["least"].get<bool>() ? "faster than" : "to", each["than"].get<std::string>());
           });
}

} // namespace pw::bench
