// SPDX-License-Identifier: MIT
#include "commands.h"

#include "chosen.h"
#include "json.h"
#include "machine_report.h"
#include "output.h"
#include "print.h"
#include "processes.h"
#include "screen.h"
#include "text.h"
#include "top.h"

#include <fmt/format.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <unistd.h>
#include <vector>

namespace pw::tool {
namespace {

constexpr char list_help[] = R"(One line per process:
  CPUS      CPUs that have a worker
  UPTIME    since the runtime started)";

constexpr char process_help[] =
    R"(Without a process: the list, as "pw-stat list". A process is named by its id or by its exact name; of several
of that name, each is shown. One that is named like a subcommand stands behind "--": pw-stat -- list

What the process is set to, then one line per CPU. Counts are since the runtime started.
  NODE      NUMA node
  ISOLATED  whether the CPU is isolated (isolcpus, nohz_full)
  QUEUED    items accepted for this CPU, whoever ran them
  EXECUTED  items run to the end, by the CPU's worker or by callers
  CANCELLED items taken back before they started
  PENDING   items queued and neither executed nor cancelled yet, now
  BATCHES   times the worker took everything that was queued
  WAKEUPS   times the worker was woken from sleep
  REMOTE    times a lock of this CPU was taken from another CPU with membarrier (queue strategy)
  CONTENDED times somebody had to wait for a lock of this CPU
  STATE     of the worker: idle (asleep), waking (it has work, but did not get its CPU yet), awake, or running
            and the function; under the lock strategy also what callers run for this CPU
Then one line per workqueue, if the program created any.
  PRIORITY  normal, or high: served before normal ones)";

constexpr char top_help[] =
    R"(Keys: q ends; < > choose the column to sort by, r reverses; arrows and pages select a row; Enter opens a
process, Esc goes back, Tab goes to the other table; + - change how often it looks, d asks for the seconds.

Processes, then the CPUs and the functions of one; rates are over the time between two looks.
  BUSY      what workers ran, in percent of one CPU's time
  QUEUED    items accepted
  HERE      items and calls of pw_on_each_cpu that CPUs' own workers ran, which disturbs these CPUs
  AWAY      items that callers ran for CPUs under the lock strategy, which spares these CPUs
  PENDING   items queued and neither executed nor cancelled yet, now
  WAKEUPS   times workers were woken from sleep
  REMOTE    locks taken from another CPU with membarrier (queue strategy)
  CONTENDED locks that somebody had to wait for
  WAITED    the time that they waited, in percent of one CPU's
  FOR       how long what runs now has been running
  STATE     of the worker, or what it and callers run; RUNNING: what runs for longest in the process
  LONGEST   run of the function since the start, on its CPU or away
  CPUS      those whose workers ran the function; of a process, how many have a worker)";

constexpr char topology_help[] =
    R"(Which CPUs a program would use that is started from here, with this environment and affinity, unless it
chooses CPUs or a strategy by itself. One line per CPU that is present:
  NODE      NUMA node
  PACKAGE   socket
  CORE, L1D, L2, L3
            the CPUs with which it shares its core and its data caches
  ISOLATED  isolcpus, or an isolated cpuset
  NOHZ_FULL without a tick while one thread runs; counts as isolated, too
  WORKER    whether it would get one, and WHY
Then one line per kind of cache, with how many there are and how many CPUs share one at most, and per node.)";

constexpr char completion_help[] =
    R"help(An installed pw-stat has put it where shells look. Else, for this shell:
  eval "$(pw-stat completion bash)")help";

screen output_screen(const request &asked)
{
    screen to = screen_of(STDOUT_FILENO);
    if (asked.color != "auto")
        to.colours = asked.color == "always";
    return to;
}

// Shows each process that is asked for. What cannot be shown is complained of, and the status.
int show_each(const request &asked, const std::function<void(const process &)> &show)
{
    std::vector<int> pids = pids_of(asked.who);
    int status = success;
    for (int pid : pids) {
        try {
            if (pid != pids.front())
                print("\n");
            show(find_process(pid));
        } catch (const std::runtime_error &error) {
            complain(fmt::format("{}: {}", pid, error.what()));
            status = failure;
        }
    }
    return status;
}

int list(const request &asked)
{
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
    try {
        return show_top(only, output_screen(asked).colours);
    } catch (const misuse &) {
        throw;
    } catch (const std::runtime_error &error) {
        if (!only)
            throw;
        complain(fmt::format("{}: {}", *only, error.what()));
        return failure;
    }
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
    if (asked.who.empty())
        return list(asked);
    screen to = output_screen(asked);
    return show_each(asked, [&](const process &shown) { print(process_report(shown, to)); });
}

constexpr command table[] = {
    {nullptr, "Shows the processes that use the pwlocks runtime, or what it does in one of them.",
     process_help, subject::optional, option_color, show},
    {"list", "List the processes that use the runtime", list_help, subject::none, option_color, list},
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
