// SPDX-License-Identifier: MIT
#include "lock_events.h"

#include "futex.h"
#include "visit.h"
#include "worker.h"

namespace pw::detail {
namespace {

constinit basic_visited<native_atomics, stat_segment> visited;

} // namespace

void count_lock_event(int cpu, stat::counter stat::lock_events::*what)
{
    stat_segment *segment = visited.enter();
    if (!segment)
        return;
    const worker *target = worker_of(cpu);
    // Relaxed: a statistic.
    (segment->locks_of(target->active ? static_cast<int>(target->index) : -1).*what)
        .fetch_add(1, std::memory_order_relaxed);
    visited.leave();
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
