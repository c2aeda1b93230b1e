// SPDX-License-Identifier: MIT
#include "publish.h"

#include "chosen.h"
#include "json.h"
#include "openmetrics.h"
#include "pace.h"
#include "print.h"
#include "sample.h"
#include "textfile.h"
#include "views.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

namespace pw::tool {
namespace {

bool has_format(const request &asked)
{
    return asked.json || asked.openmetrics || !asked.textfile.empty();
}

// Of one process or of all; what cannot be shown is among the problems.
sample_set find_samples(const request &asked)
{
    if (asked.who.empty())
        return take_samples();
    sample_set found;
    std::vector<int> pids;
    try {
        pids = pids_of(asked.who);
    } catch (const cannot_show &error) {
        found.problems.push_back(error.what());
    }
    for (int pid : pids)
        try {
            found.processes.push_back(take_sample(find_process(pid)));
        } catch (const std::runtime_error &error) {
            found.problems.push_back(fmt::format("{}: {}", pid, error.what()));
        }
    return found;
}

void write_out(const request &asked, const sample_set &samples, bool in_one_line)
{
    if (!asked.textfile.empty())
        return write_textfile(asked.textfile, metrics_text(samples.processes, dialect::prometheus));
    std::string text;
    if (asked.json)
        text = document_text(process_document(samples), in_one_line);
    else if (asked.openmetrics)
        text = metrics_text(samples.processes, dialect::openmetrics);
    else
        text = process_report(samples.processes.front(), screen());
    if (asked.watch_file.empty())
        print(text);
    else
        replace_file(asked.watch_file, text);
}

int publish_once(const request &asked)
{
    sample_set samples = find_samples(asked);
    for (const std::string &problem : samples.problems)
        complain(problem);
    bool nothing = samples.processes.empty() && !asked.who.empty();
    if (!nothing)
        write_out(asked, samples, false);
    // In the list of all, what cannot be read is no failure: nobody asked for it.
    return !asked.who.empty() && !samples.problems.empty() ? failure : success;
}

// Throws cannot_show.
int publish_again_and_again(const request &asked, int pid, pace wanted)
{
    process shown = find_process(pid);
    ticker looks_at(wanted.interval_ns);
    for (uint64_t looks = 1;; ++looks) {
        write_out(asked, {{take_sample(shown)}, {}, 0}, asked.watch_file.empty());
        if (looks == wanted.count)
            return success;
        looks_at.wait();
        try {
            if (look_again(shown))
                complain(fmt::format("{}: its runtime was started anew", pid));
        } catch (const cannot_show &error) {
            if (!has_gone(error))
                throw;
            complain(fmt::format("{}: has ended, or its runtime has", pid));
            return has_ended;
        }
    }
}

} // namespace

bool is_for_programs(const request &asked)
{
    if (asked.json + asked.openmetrics + !asked.textfile.empty() > 1)
        throw misuse("--json, --openmetrics, --textfile: only one of them");
    bool wanted = has_format(asked) || !asked.watch_file.empty();
    if (wanted && (asked.explain || !asked.cpus.empty()))
        throw misuse("-P, --explain: not together with output for other programs");
    if (!asked.watch_file.empty() && !asked.textfile.empty())
        throw misuse("--watch-file: not together with --textfile, which is written at each interval, too");
    if (!asked.watch_file.empty() && asked.interval.empty())
        throw misuse("--watch-file: needs an interval");
    if (asked.openmetrics && !asked.interval.empty() && asked.watch_file.empty())
        throw misuse("--openmetrics: with an interval only together with --watch-file");
    return wanted;
}

int publish(const request &asked)
{
    if (asked.interval.empty())
        return publish_once(asked);
    pace wanted = parse_pace(asked);
    int pid = only_pid_of(asked.who);
    try {
        return publish_again_and_again(asked, pid, wanted);
    } catch (const cannot_show &error) {
        complain(fmt::format("{}: {}", pid, error.what()));
        return failure;
    }
}

} // namespace pw::tool
