// SPDX-License-Identifier: MIT
#include "lock_events.h"

#include "counters.h"
#include "futex.h"
#include "visit.h"
#include "worker.h"

namespace pw::detail {
namespace {

constinit basic_visited<native_atomics, stat_segment> visited;

// Calls `function(segment, index of that CPU's block, or -1)` unless the runtime is stopped.
template <typename Function>
void visit(int cpu, Function function)
{
    stat_segment *segment = visited.enter();
    if (!segment)
        return;
    const worker *target = worker_of(cpu);
    int index = target->active ? static_cast<int>(target->index) : -1;
    function(*segment, index);
    visited.leave();
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

void publish_lock_events(stat_segment &segment)
{
    visited.publish(&segment);
}

void withdraw_lock_events()
{
    visited.withdraw(backoff());
}

void lock_events_after_fork_child()
{
    visited.forget();
}

} // namespace pw::detail
