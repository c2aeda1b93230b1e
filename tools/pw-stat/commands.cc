// SPDX-License-Identifier: MIT
#include "commands.h"

#include "output.h"
#include "print.h"
#include "processes.h"
#include "text.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <functional>
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

// Empty if the text is no process id.
std::optional<int> parse_pid(std::string_view text)
{
    int pid = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (error != std::errc() || end != text.data() + text.size() || pid <= 0)
        return std::nullopt;
    return pid;
}

survey look_around()
{
    survey found = find_processes();
    for (const std::string &problem : found.problems)
        complain(problem);
    return found;
}

// What to add where a process was not found, since it may be among those.
std::string unseen(const survey &found)
{
    if (found.denied == 0)
        return "";
    return fmt::format(" ({} could not be looked into{})", found.denied,
                       geteuid() == 0 ? "" : ": try as root");
}

// By rising pid, one or more. Throws misuse or cannot_show.
std::vector<int> pids_of(const std::string &who)
{
    if (std::optional<int> pid = parse_pid(who))
        return {*pid};
    // Digits and a sign are a mistaken id rather than a name.
    if (who.find_first_not_of("+-0123456789") == std::string::npos)
        throw misuse(fmt::format("\"{}\": not a process id", printable(who)));
    constexpr size_t longest = 15; // the kernel keeps no more of a name
    survey found = look_around();
    std::string name = printable(who.substr(0, longest));
    std::vector<int> pids;
    for (const listed_process &each : found.processes)
        if (each.command == name)
            pids.push_back(each.pid);
    if (pids.empty())
        throw cannot_show(obstacle::no_process,
                          fmt::format("no process of that name uses the pwlocks runtime{}", unseen(found)));
    return pids;
}

// Shows each process that is asked for. What cannot be shown is complained of, and the status.
int show_each(const request &asked, const std::function<void(const process &)> &show)
{
    std::vector<int> pids;
    try {
        pids = pids_of(asked.who);
    } catch (const cannot_show &error) {
        complain(fmt::format("{}: {}", printable(asked.who), error.what()));
        return failure;
    }
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

int list(const request &)
{
    survey found = look_around();
    if (found.processes.empty())
        complain("no process uses the pwlocks runtime" + unseen(found));
    else
        print(process_list(found, screen_of(STDOUT_FILENO)));
    return success;
}

int show(const request &asked)
{
    if (asked.who.empty())
        return list(asked);
    screen to = screen_of(STDOUT_FILENO);
    return show_each(asked, [&](const process &shown) { print(process_report(shown, to)); });
}

constexpr command table[] = {
    {nullptr, "Shows the processes that use the pwlocks runtime, or what it does in one of them.",
     process_help, subject::optional, show},
    {"list", "List the processes that use the runtime", list_help, subject::none, list},
};

} // namespace

std::span<const command> commands()
{
    return table;
}

} // namespace pw::tool
