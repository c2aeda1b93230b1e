// SPDX-License-Identifier: MIT
#include "commands.h"

#include "chosen.h"
#include "help.h"
#include "json.h"
#include "machine_report.h"
#include "print.h"
#include "processes.h"
#include "publish.h"
#include "screen.h"
#include "selection.h"
#include "top.h"
#include "views.h"
#include "watch.h"

#include <fmt/format.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <unistd.h>
#include <vector>

namespace pw::tool {
namespace {

screen output_screen(const request &asked)
{
    screen to = screen_of(STDOUT_FILENO);
    if (asked.color != "auto")
        to.colours = asked.color == "always";
    return to;
}

// Shows each process that is asked for. What cannot be shown is complained of, and the status.
int show_each(const request &asked, const std::function<void(process &)> &show)
{
    std::vector<int> pids = pids_of(asked.who);
    int status = success;
    for (int pid : pids) {
        try {
            if (pid != pids.front())
                print("\n");
            process found = find_process(pid);
            show(found);
        } catch (const misuse &) {
            throw;
        } catch (const std::runtime_error &error) {
            complain(fmt::format("{}: {}", pid, error.what()));
            status = failure;
        }
    }
    return status;
}

// The same for what shows one process, and all if there is none.
int for_one(std::optional<int> pid, const std::function<int()> &show)
{
    try {
        return show();
    } catch (const misuse &) {
        throw;
    } catch (const std::runtime_error &error) {
        if (!pid)
            throw;
        complain(fmt::format("{}: {}", *pid, error.what()));
        return failure;
    }
}

int list(const request &asked)
{
    if (is_for_programs(asked))
        return publish(asked);
    survey found = complained_of(find_processes());
    if (found.processes.empty())
        complain("no process uses the pwlocks runtime" + unseen(found));
    else
        print(process_list(found, output_screen(asked)));
    return success;
}

int top(const request &asked)
{
    std::optional<int> only;
    if (!asked.who.empty())
        only = only_pid_of(asked.who);
    return for_one(only, [&] { return show_top(only, output_screen(asked).colours); });
}

int topology(const request &asked)
{
    machine found = read_this_machine();
    if (asked.json)
        print(document_text(machine_document(found), false));
    else
        print(machine_report(found, output_screen(asked)));
    return success;
}

int completion(const request &asked)
{
    print(asked.shell == "bash" ? bash_completion(asked.offered) : zsh_completion(asked.offered));
    return success;
}

int show(const request &asked)
{
    if (is_for_programs(asked))
        return publish(asked);
    if (asked.who.empty())
        return list(asked);
    screen to = output_screen(asked);
    if (asked.explain && (!asked.interval.empty() || !asked.cpus.empty()))
        throw misuse("--explain: not together with an interval or -P");
    if (asked.explain)
        return show_each(asked, [&](process &shown) { print(explain(shown, to)); });
    if (!asked.interval.empty() || !asked.cpus.empty()) {
        pace wanted = parse_pace(asked);
        int pid = only_pid_of(asked.who);
        return for_one(pid, [&] { return watch(pid, wanted, asked.cpus, to); });
    }
    return show_each(asked, [&](const process &shown) { print(process_report(take_sample(shown), to)); });
}

int hist(const request &asked)
{
    screen to = output_screen(asked);
    return show_each(asked, [&](const process &shown) {
        process_sample seen = take_sample(shown);
        bool each = !asked.cpus.empty();
        print(histogram_report(seen, chosen_cpus(each ? asked.cpus : "ALL", seen.facts.cpus), each, to));
    });
}

int running(const request &asked)
{
    screen to = output_screen(asked);
    return show_each(asked, [&](const process &shown) { print(running_report(take_sample(shown), to)); });
}

constexpr command table[] = {
    {nullptr, "Shows the processes that use the pwlocks runtime, or what it does in one of them.",
     process_help, subject::optional, option_color | option_cpus | option_interval | option_explain | option_json | option_metrics |
         option_watch_file,
     show},
    {"list", "List the processes that use the runtime", list_help, subject::none,
     option_color | option_json | option_metrics, list},
    {"hist", "Draw the histograms of one", hist_help, subject::required, option_color | option_cpus, hist},
    {"running", "Show what its workers and callers run now", running_help, subject::required, option_color,
     running},
    {"top", "Show them, or one, on the full screen", top_help, subject::optional, option_color, top},
    {"topology", "Show the machine's CPUs, and which would get a worker", topology_help, subject::none,
     option_color | option_json, topology},
    {"completion", "Print a script by which a shell completes command lines", completion_help, subject::none,
     option_shell, completion},
};

} // namespace

std::span<const command> commands()
{
    return table;
}

} // namespace pw::tool
