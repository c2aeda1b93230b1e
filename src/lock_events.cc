// SPDX-License-Identifier: MIT
#include "lock_events.h"

#include "counters.h"
#include "stat_visit.h"
#include "worker.h"

namespace pw::detail {
namespace {

// Calls `function(segment, index of that CPU's block, or -1)` unless the runtime is stopped.
template <typename Function>
void visit(int cpu, Function function)
{
    stat_visit here;
    if (!here.segment())
        return;
    const worker *target = worker_of(cpu);
    function(*here.segment(), target->active ? static_cast<int>(target->index) : -1);
}

} // namespace

// Relaxed, all: statistics.

void count_lock_event(int cpu, stat::counter stat::lock_events::*what)
{
    visit(cpu, [=](stat_segment &segment, int index) { (segment.locks_of(index).*what).fetch_add(1, std::memory_order_relaxed); });
}

void count_lock_wait(int cpu, uint64_t ns)
{
    visit(cpu, [=](stat_segment &segment, int index) {
        segment.locks_of(index).waited_ns.fetch_add(ns, std::memory_order_relaxed);
        if (index >= 0)
            bucket_of(segment.histogram(static_cast<size_t>(index), stat::lock_wait), ns).fetch_add(1, std::memory_order_relaxed);
    });
}

} // namespace pw::detail
