// SPDX-License-Identifier: MIT
#include "chosen.h"

#include "print.h"
#include "text.h"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <optional>
#include <unistd.h>

namespace pw::tool {
namespace {

// Empty if the text is no process id.
std::optional<int> parse_pid(std::string_view text)
{
    int pid = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (error != std::errc() || end != text.data() + text.size() || pid <= 0)
        return std::nullopt;
    return pid;
}

} // namespace

survey complained_of(survey found)
{
    for (const std::string &problem : found.problems)
        complain(problem);
    return found;
}

std::string unseen(const survey &found)
{
    if (found.denied == 0)
        return "";
    return fmt::format(" ({} could not be looked into{})", found.denied,
                       geteuid() == 0 ? "" : ": try as root");
}

std::vector<int> pids_of(const std::string &who)
{
    if (std::optional<int> pid = parse_pid(who))
        return {*pid};
    // Digits and a sign are a mistaken id rather than a name.
    if (who.find_first_not_of("+-0123456789") == std::string::npos)
        throw misuse(fmt::format("\"{}\": not a process id", printable(who)));
    survey found = complained_of(find_named(who));
    std::vector<int> pids;
    for (const listed_process &each : found.processes)
        pids.push_back(each.pid);
    if (pids.empty())
        throw cannot_show(obstacle::no_process,
                          fmt::format("{}: no process of that name uses the pwlocks runtime{}",
                                      printable(who), unseen(found)));
    return pids;
}

int only_pid_of(const std::string &who)
{
    std::vector<int> pids = pids_of(who);
    if (pids.size() == 1)
        return pids.front();
    std::string list;
    for (int pid : pids)
        list += fmt::format("{}{}", list.empty() ? "" : ", ", pid);
    throw misuse(fmt::format("{}: several processes have that name: {}", printable(who), list));
}

} // namespace pw::tool
