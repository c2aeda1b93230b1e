// SPDX-License-Identifier: MIT
#include "change.h"

#include "quantity.h"

#include <algorithm>
#include <map>
#include <utility>

namespace pw::tool {
namespace {

void reduce(uint64_t &now, uint64_t before)
{
    now = since(before, now);
}

void reduce(histogram &now, const histogram &before)
{
    for (size_t i = 0; i < now.buckets.size(); ++i)
        reduce(now.buckets[i], before.buckets[i]);
}

void reduce(lock_counts &now, const lock_counts &before)
{
    reduce(now.remote, before.remote);
    reduce(now.contended, before.contended);
    reduce(now.waited_ns, before.waited_ns);
    reduce(now.lost_races, before.lost_races);
}

void keep_if_new(uint64_t &longest, uint64_t before)
{
    if (longest <= before)
        longest = 0;
}

// Counters of a CPU that are just numbers.
constexpr uint64_t cpu_state::*counters[] = {
    &cpu_state::queued,     &cpu_state::coalesced, &cpu_state::executed, &cpu_state::executed_away,
    &cpu_state::cancelled,  &cpu_state::calls,     &cpu_state::batches,  &cpu_state::wakeups,
    &cpu_state::wakes_sent, &cpu_state::busy_ns,   &cpu_state::idle_ns,  &cpu_state::asleep_ns,
};

constexpr histogram cpu_state::*histograms[] = {
    &cpu_state::wait_here, &cpu_state::run_here,  &cpu_state::wait_away,
    &cpu_state::run_away,  &cpu_state::lock_wait,
};

void reduce(std::vector<tally_state> &now, const std::vector<tally_state> &before)
{
    std::map<std::pair<std::string, std::string>, const tally_state *> earlier;
    for (const tally_state &each : before)
        earlier.emplace(std::pair(each.function, each.workqueue), &each);
    for (tally_state &each : now) {
        auto found = earlier.find({each.function, each.workqueue});
        if (found == earlier.end())
            continue;
        const tally_state &then = *found->second;
        reduce(each.here, then.here);
        reduce(each.here_ns, then.here_ns);
        keep_if_new(each.here_longest_ns, then.here_longest_ns);
        reduce(each.away, then.away);
        reduce(each.away_ns, then.away_ns);
        keep_if_new(each.away_longest_ns, then.away_longest_ns);
    }
    std::erase_if(now, [](const tally_state &each) { return each.here == 0 && each.away == 0; });
}

void reduce(cpu_state &now, const cpu_state &before)
{
    for (auto field : counters)
        reduce(now.*field, before.*field);
    for (auto field : histograms)
        reduce(now.*field, before.*field);
    reduce(now.locks, before.locks);
    for (size_t i = 0; i < std::min(now.ran_on.size(), before.ran_on.size()); ++i)
        reduce(now.ran_on[i], before.ran_on[i]);
    reduce(now.tallies, before.tallies);
}

void reduce(workqueue_state &now, const workqueue_state &before)
{
    reduce(now.count, before.count);
    reduce(now.total_ns, before.total_ns);
    keep_if_new(now.longest_ns, before.longest_ns);
}

} // namespace

snapshot difference(const snapshot &before, const snapshot &now)
{
    snapshot change = now;
    for (cpu_state &each : change.cpus)
        if (const cpu_state *then = find_cpu(before.cpus, each.cpu))
            reduce(each, *then);
    // Several may have one name, and which is which is not known: only those that are alone are compared.
    std::map<std::string, std::vector<const workqueue_state *>> earlier;
    for (const workqueue_state &each : before.workqueues)
        earlier[each.name].push_back(&each);
    for (workqueue_state &each : change.workqueues)
        if (auto found = earlier.find(each.name); found != earlier.end() && found->second.size() == 1)
            reduce(each, *found->second.front());
    reduce(change.system_workqueue, before.system_workqueue);
    reduce(change.elsewhere, before.elsewhere);
    return change;
}

cpu_state total(const std::vector<cpu_state> &cpus)
{
    cpu_state all;
    for (const cpu_state &each : cpus) {
        for (auto field : counters)
            all.*field = sum(all.*field, each.*field);
        for (auto field : histograms)
            add(all.*field, each.*field);
        all.pending = sum(all.pending, each.pending);
        all.locks.remote = sum(all.locks.remote, each.locks.remote);
        all.locks.contended = sum(all.locks.contended, each.locks.contended);
        all.locks.waited_ns = sum(all.locks.waited_ns, each.locks.waited_ns);
        all.locks.lost_races = sum(all.locks.lost_races, each.locks.lost_races);
    }
    return all;
}

void add(histogram &to, const histogram &from)
{
    for (size_t i = 0; i < to.buckets.size(); ++i)
        to.buckets[i] = sum(to.buckets[i], from.buckets[i]);
}

uint64_t count_of(const histogram &counted)
{
    uint64_t count = 0;
    for (uint64_t each : counted.buckets)
        count = sum(count, each);
    return count;
}

tally_state total(const std::vector<tally_state> &tallies)
{
    tally_state all;
    for (const tally_state &each : tallies) {
        all.here = sum(all.here, each.here);
        all.here_ns = sum(all.here_ns, each.here_ns);
        all.here_longest_ns = std::max(all.here_longest_ns, each.here_longest_ns);
        all.away = sum(all.away, each.away);
        all.away_ns = sum(all.away_ns, each.away_ns);
        all.away_longest_ns = std::max(all.away_longest_ns, each.away_longest_ns);
    }
    return all;
}

const cpu_state *find_cpu(const std::vector<cpu_state> &cpus, int number)
{
    auto found = std::lower_bound(cpus.begin(), cpus.end(), number,
                                  [](const cpu_state &each, int wanted) { return each.cpu < wanted; });
    return found == cpus.end() || found->cpu != number ? nullptr : &*found;
}

} // namespace pw::tool
