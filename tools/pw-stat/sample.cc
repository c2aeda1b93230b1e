// SPDX-License-Identifier: MIT
#include "sample.h"

#include <ctime>

namespace pw::tool {
namespace {

uint64_t boot_time()
{
    timespec now = {};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

} // namespace

process_sample take_sample(const process &from)
{
    const segment_facts &facts = from.stat.facts();
    process_sample taken = {from.pid, from.command, from.command_line, facts, 0, from.stat.read()};
    taken.uptime_ns = since(facts.start_ns, boot_time());
    return taken;
}

sample_set take_samples()
{
    survey found = find_processes();
    sample_set taken = {{}, std::move(found.problems), found.denied};
    for (const listed_process &each : found.processes)
        try {
            taken.processes.push_back(take_sample(find_process(each.pid)));
        } catch (const cannot_show &failure) {
            if (failure.kind == obstacle::unreadable)
                taken.problems.push_back(std::to_string(each.pid) + ": " + failure.what());
        } catch (const bad_segment &bad) {
            taken.problems.push_back(std::to_string(each.pid) + ": " + bad.what());
        }
    return taken;
}

} // namespace pw::tool
