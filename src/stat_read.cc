// SPDX-License-Identifier: MIT
// pw_stat_read(): reads the segment as pw-stat does, but where it is written, and trusts it.
#include "clock.h"
#include "stat_visit.h"
#include "submit.h"
#include "worker.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include <pwlocks/stat.h>

namespace pw::detail {
namespace {

// ABI: members are added at the end.
static_assert(sizeof(pw_stat) == 168 && offsetof(pw_stat, queued) == 32 && offsetof(pw_stat, busy_ns) == 112 &&
              offsetof(pw_stat, locks_lost_races) == 160);

// Acquire: what was counted before this is seen by whoever saw this counted.
uint64_t get(const stat::counter &from)
{
    return from.load(std::memory_order_acquire);
}

// In two passes, in this order: see stat_layout.h.
void add_items(pw_stat &sum, const stat_segment &segment, size_t index)
{
    uint64_t executed = get(segment.cpu(index).executed), away = 0, cancelled = 0, queued = 0;
    size_t rows = segment.rows();
    for (size_t i = 0; i < rows; ++i) {
        const stat::caller_cell &cell = segment.row_at(i).cells[index];
        away += get(cell.executed);
        cancelled += get(cell.cancelled);
    }
    rows = segment.rows(); // what was executed may have been queued by a newcomer
    for (size_t i = 0; i < rows; ++i) {
        const stat::caller_cell &cell = segment.row_at(i).cells[index];
        queued += get(cell.queued);
        sum.coalesced += get(cell.coalesced);
    }
    sum.queued += queued;
    sum.executed += executed + away;
    sum.executed_away += away;
    sum.cancelled += cancelled;
    sum.pending += queued - std::min(queued, executed + away + cancelled);
}

// What the worker writes together. Looks until two looks agree, so that a view from between two of its stores is rare; not for ever.
void add_times(pw_stat &sum, const stat::cpu_block &block, uint64_t now)
{
    struct look {
        uint64_t busy, idle, asleep, turn_since, idle_since, sleeping;
        bool operator==(const look &) const = default;
    };
    auto look_at = [&block] {
        return look{get(block.busy_ns),    get(block.idle_ns),    get(block.asleep_ns),
                    get(block.turn_since), get(block.idle_since), get(block.sleeping)};
    };
    look seen = look_at(), before;
    int looks = 1;
    do {
        before = seen;
        seen = look_at();
    } while (seen != before && ++looks < 8);
    auto until_now = [now](uint64_t since) { return since != 0 && since < now ? now - since : 0; };
    sum.busy_ns += seen.busy + until_now(seen.turn_since);
    sum.idle_ns += seen.idle + until_now(seen.idle_since);
    sum.asleep_ns += seen.asleep + (seen.sleeping ? until_now(seen.sleeping) : 0);
    sum.sleeping += seen.sleeping != 0;
}

void add_running(pw_stat &sum, const stat_segment &segment, size_t index)
{
    const stat::cpu_block &block = segment.cpu(index);
    sum.running += get(block.running) != 0;
    for (size_t i = 0, rows = segment.rows(); i < rows; ++i) {
        const stat::caller_row &row = segment.row_at(i);
        sum.running += get(row.running) != 0 && get(row.running_cpu) == static_cast<uint64_t>(block.cpu);
    }
}

void add_locks(pw_stat &sum, const stat::lock_events &locks)
{
    sum.locks_remote += get(locks.remote);
    sum.locks_contended += get(locks.contended);
    sum.locks_waited_ns += get(locks.waited_ns);
    sum.locks_lost_races += get(locks.lost_races);
}

void add_cpu(pw_stat &sum, const stat_segment &segment, size_t index, uint64_t now)
{
    const stat::cpu_block &block = segment.cpu(index);
    ++sum.workers;
    add_items(sum, segment, index);
    add_times(sum, block, now);
    add_running(sum, segment, index);
    add_locks(sum, block.locks);
    sum.calls += get(block.calls);
    sum.batches += get(block.batches);
    sum.wakeups += get(block.wakeups);
    sum.wakes_sent += get(block.wakes_sent);
}

// 0, -ESRCH, -ENODEV.
int read_stat(int cpu, pw_stat &sum)
{
    stat_visit here;
    if (!here.segment())
        return -ESRCH;
    const stat_segment &segment = *here.segment();
    uint64_t now = now_ns();
    sum.start_ns = segment.start_ns();
    if (cpu == PW_STAT_ALL) {
        for_each_active([&](const worker &each) { add_cpu(sum, segment, each.index, now); });
        add_locks(sum, segment.locks_of(-1));
        return 0;
    }
    const worker &target = *worker_of(cpu);
    if (!target.active)
        return -ENODEV;
    add_cpu(sum, segment, target.index, now);
    return 0;
}

} // namespace

} // namespace pw::detail

using namespace pw::detail;

int pw_stat_read(int cpu, pw_stat *stat, size_t size)
{
    if (!stat || size == 0 || (cpu != PW_STAT_ALL && !is_cpu(cpu)))
        return -EINVAL;
    pw_stat now = {};
    if (int error = read_stat(cpu, now))
        return error;
    memset(stat, 0, size);
    memcpy(stat, &now, std::min(size, sizeof now));
    return 0;
}
