// SPDX-License-Identifier: MIT
// Workqueues: names under which items are flushed and drained together. A workqueue has no queue of its own: its items go to the CPUs'
// workers, or lanes, with all others.
//
// What is shared: a workqueue, whose memory is never given back, so that late use of one that was destroyed is an error and no accident;
// `drains`, written under the registry's mutex, read by everybody who queues; `chained`, by the workqueue's own functions while it
// is drained.
#pragma once

#include "item.h"
#include "stat.h"

#include <atomic>

#include <pwlocks/work.h>

struct pw_workqueue {
    std::atomic<bool> live{false};
    std::atomic<uint32_t> drains{0}; // how many callers drain it
    // Under a drain: queueings by its own functions and by its timers. Counted behind the enqueue; see drain().
    std::atomic<uint64_t> chained{0};
    std::atomic<uint64_t> armed{0};   // delayed items, so that destroy need not search for none
    uint64_t priority = 0; // item_state::normal or high
    unsigned index = 0;
    uint64_t id = 0; // this one's, not its memory's: 1, 2, 3 ...
    char name[PW_WQ_NAME_MAX + 1] = {};
    pw_workqueue *next_registered = nullptr;
};

namespace pw::detail {

inline uint64_t priority_of(const pw_workqueue *wq)
{
    return wq ? wq->priority : item_state::normal;
}

// Inside a passage: whether the calling thread may queue there. 0, -EINVAL, -ECANCELED. `chained` is set if it must say
// queued_while_draining() behind the enqueue.
int may_queue(const pw_workqueue *wq, bool &chained);

// Release: pairs with the acquire in drain().
inline void queued_while_draining(pw_workqueue *wq)
{
    wq->chained.fetch_add(1, std::memory_order_release);
}

// Start: shows the workqueues in this segment; null: in none. The gate is closed.
void show_workqueues(stat_segment *segment);

void workqueues_before_fork();
void workqueues_after_fork(bool child);

} // namespace pw::detail
