// SPDX-License-Identifier: MIT
// Items: the public calls, and which way they go.
#include "lane.h"
#include "runtime.h"
#include "topology.h"

#include <pwlocks/work.h>

using namespace pw::detail;

namespace {

// What is wrong with a call, before anything is touched, but for the CPU's range. `other_route` is the way that the item must not
// have gone before.
bool malformed(int cpu, const pw_workqueue *wq, const pw_struct *work, uint64_t other_route)
{
    if (pw_unlikely(!work || !work->func || cpu != work->cpu || wq))
        return true;
    // Relaxed: set once, by a call before this one.
    return std::atomic_ref(const_cast<uint64_t &>(work->state)).load(std::memory_order_relaxed) & other_route;
}

bool is_cpu(int cpu)
{
    return cpu >= 0 && cpu < possible_cpus();
}

// Under the lock strategy: runs the item here, outside of the passage, or hands it over.
int run_in_lane(passage &inside, const worker &target, pw_struct &work)
{
    lane &through = *lane_of(target.cpu);
    run_record record;
    record.row = &inside.row();
    lane::admission admitted = through.admit(work, record);
    inside.leave();
    if (admitted == lane::admission::already_pending)
        return 0;
    if (admitted == lane::admission::run_here)
        through.run(record);
    return 1;
}

int submit(int cpu, pw_struct &work, uint64_t route)
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
                if (gate.strategy == PW_STRATEGY_LOCK && route == item_state::route_on)
                    return run_in_lane(inside, target, work);
                uint64_t before = claim(std::atomic_ref(work.state), route, inside.claim_mark());
                if (before & item_state::pending) {
                    inside.wait_until_queued(before);
                    return 0;
                }
                count(inside.row().cells[target.index].queued);
                enqueue(target, work);
                return 1;
            }
        }
        if (!is_cpu(cpu))
            return -EINVAL;
        if (state != gate_state::never)
            return -ESHUTDOWN;
        if (int error = start_on_first_use())
            return error;
    }
}

} // namespace

int pw_queue_on(int cpu, struct pw_workqueue *wq, struct pw_struct *work)
{
    if (malformed(cpu, wq, work, item_state::route_worker))
        return -EINVAL;
    return submit(cpu, *work, item_state::route_on);
}

int pw_queue_work_on(int cpu, struct pw_workqueue *wq, struct pw_struct *work)
{
    if (malformed(cpu, wq, work, item_state::route_on))
        return -EINVAL;
    return submit(cpu, *work, item_state::route_worker);
}

int pw_flush(struct pw_struct *work)
{
    if (!work || !work->func || !is_cpu(work->cpu))
        return -EINVAL;
    if (works_for(work->cpu))
        return -EDEADLK;
    caller *self = this_caller();
    if (!self)
        return -ENOMEM;
    passage inside(self);
    // Not started or already stopped: nothing that was accepted is left.
    if (inside.state() != gate_state::open && inside.state() != gate_state::draining)
        return 0;
    worker &target = *worker_of(work->cpu);
    if (!target.active)
        return 0;
    std::atomic_ref word(work->state);
    // Relaxed: set by the call whose execution we wait for.
    bool by_worker = word.load(std::memory_order_relaxed) & item_state::route_worker;
    if (gate.strategy == PW_STRATEGY_LOCK && !by_worker)
        return lane_of(target.cpu)->flush(*work, inside);
    uint64_t state;
    if (!target.running.busy(work, word, state))
        return 0;
    // Under the lock strategy the worker may be running another CPU's item that came to it nested.
    if (this_thread.worker_here == &target)
        return -EDEADLK;
    if (state & item_state::pending)
        inside.wait_until_queued(state);
    queue_barrier barrier;
    barrier.queue(target);
    inside.leave();
    barrier.wait(flush_spins());
    return 0;
}

int pw_get_cpu(const struct pw_struct *work)
{
    return work->cpu;
}
