// SPDX-License-Identifier: MIT
// What the ways into a queue share: the checks before, the passage, and the enqueue behind a claim.
#pragma once

#include "lane.h"
#include "runtime.h"
#include "stand_in.h"
#include "topology.h"
#include "workqueue.h"

namespace pw::detail {

inline bool is_cpu(int cpu)
{
    return cpu >= 0 && cpu < possible_cpus();
}

// 0: not the work of a pw_delayed. Relaxed: see timer.cc.
inline uint32_t kind_of(const pw_struct &work)
{
    return std::atomic_ref(const_cast<uint32_t &>(work.kind)).load(std::memory_order_relaxed);
}

// What is wrong with a call, before anything is touched, but for the CPU's range. `other_route` is the way that the item must not
// have gone before.
inline bool malformed(int cpu, const pw_workqueue *wq, const pw_struct *work, uint64_t other_route, bool delayed)
{
    if (pw_unlikely(!work || !work->func || cpu != work->cpu || (kind_of(*work) != 0) != delayed))
        return true;
    uint64_t other_priority = (item_state::normal | item_state::high) ^ priority_of(wq);
    // Relaxed: set once, by a call before this one.
    return std::atomic_ref(const_cast<uint64_t &>(work->state)).load(std::memory_order_relaxed) & (other_route | other_priority);
}

// A queueing from inside work that came too late, for the line at the end of a stop.
void note_refusal();

// Not open: starts what was never started. 0: look again.
inline int open_or_refuse(gate_state state)
{
    if (state == gate_state::never)
        return start_on_first_use();
    if (in_work())
        note_refusal();
    return -ESHUTDOWN;
}

// Calls `function(passage, worker of that CPU)` inside a passage that sees the gate open, and returns what it returns; starts the
// runtime if it was never started. -EINVAL, -ENODEV, -ESHUTDOWN, -ENOMEM, what a start returns.
template <typename Function>
[[gnu::always_inline]] inline int while_open(int cpu, Function function)
{
    caller *self = this_caller();
    if (pw_unlikely(!self))
        return -ENOMEM;
    for (;;) {
        gate_state state;
        {
            passage inside(self);
            state = inside.state();
            if (pw_likely(state == gate_state::open)) {
                if (pw_unlikely(static_cast<unsigned>(cpu) >= static_cast<unsigned>(gate.cpus)))
                    return -EINVAL;
                worker &target = *pw_per_cpu_ptr(gate.workers, cpu);
                if (pw_unlikely(!target.active))
                    return -ENODEV;
                return function(inside, target);
            }
        }
        if (!is_cpu(cpu))
            return -EINVAL;
        if (int error = open_or_refuse(state))
            return error;
    }
}

// The same for no CPU in particular.
template <typename Function>
int while_open(Function function)
{
    caller *self = this_caller();
    if (!self)
        return -ENOMEM;
    for (;;) {
        gate_state state;
        {
            passage inside(self);
            state = inside.state();
            if (state == gate_state::open)
                return function(inside);
        }
        if (int error = open_or_refuse(state))
            return error;
    }
}

// Of an item that the caller has claimed, or of the stand-in that goes into the queue for it, with stats=full: since when it is queued. Odd,
// so that no item's ticket is taken for a stand-in's mark. Relaxed: published by the enqueue.
inline void stamp(pw_struct &node, uint64_t queued_at)
{
    std::atomic_ref(node.ticket).store(queued_at | 1, std::memory_order_relaxed);
}

// Behind a claim: the item goes into its queue, or, if its own node is still linked, the stand-in does.
inline void enqueue_claimed(worker &target, pw_struct &item, uint64_t before, stand_in *place, uint64_t queued_at)
{
    uint64_t kind = std::atomic_ref(item.state).load(std::memory_order_relaxed) & item_state::high; // relaxed: ours
    if (!(before & item_state::linked)) {
        if (place)
            stand_ins.put(place);
        if (queued_at != 0)
            stamp(item, queued_at);
        return enqueue(target, item, kind);
    }
    place->node.func = nullptr;
    place->node.state = item_state::pending | item_state::linked | item_state::internal;
    place->item = &item;
    stamp(place->node, queued_at);
    // Relaxed: published by our leaving the passage, for which the worker waits.
    std::atomic_ref(item.ticket).store(place->mark(), std::memory_order_relaxed);
    enqueue(target, place->node, kind);
}

// Waits for what was queued to a worker before, at that priority. 0 or -EDEADLK. `inside` ends before the wait begins.
int wait_behind(passage &inside, worker &target, uint64_t kind);
void wait_behind(passage &inside, worker &target, uint64_t kind, wait_edge *listed); // or null: not from inside work

// pw_queue_on() and pw_queue_work_on() behind their checks.
int submit(int cpu, pw_workqueue *wq, pw_struct &work, uint64_t route);

} // namespace pw::detail
