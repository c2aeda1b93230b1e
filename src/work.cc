// SPDX-License-Identifier: MIT
// Items: the public calls, and which way they go.
#include "refusal.h"
#include "submit.h"
#include "timer.h"

#include <pwlocks/work.h>

namespace pw::detail {
namespace {

// Under the lock strategy: runs the item here, outside of the passage, or hands it over.
int run_in_lane(passage &inside, const worker &target, pw_workqueue *wq, pw_struct &work, bool chained)
{
    lane &through = *lane_of(target.cpu);
    run_record record;
    record.row = &inside.row();
    lane::admission admitted = through.admit(work, wq, record);
    if (chained && (admitted == lane::admission::run_here || admitted == lane::admission::handed_over))
        queued_while_draining(wq);
    inside.leave();
    switch (admitted) {
    case lane::admission::already_pending:
        return 0; // the lane has counted it
    case lane::admission::refused:
        return -ECANCELED;
    case lane::admission::run_here:
        through.run(record);
        return 1;
    default:
        return 1;
    }
}

// An item whose state is unusual: it was cancelled, and its worker has not come past it since, or it is being cancelled. 1, 0, -ECANCELED,
// -ENOMEM.
[[gnu::noinline]] int claim_slow(const passage &inside, worker &target, pw_workqueue *wq, pw_struct &work, uint64_t kind)
{
    std::atomic_ref word(work.state);
    stand_in *place = nullptr;
    int result = -1;
    while (result < 0) {
        uint64_t before = claim(word, kind, inside.claim_mark());
        if (before & item_state::pending) {
            wait_until_queued(inside, before);
            count(inside.row().cells[target.index].coalesced);
            result = 0;
        } else if (!(before & item_state::unusual)) {
            result = 1;
            std::atomic_ref(work.wq).store(wq, std::memory_order_relaxed); // relaxed: published by the enqueue
            if (gate.stats == stats_choice::full)
                stamp(work, now_ns());
            count(inside.row().cells[target.index].queued);
            enqueue(target, work, kind);
        } else if (before & item_state::cancelling) {
            result = -ECANCELED;
            break;
        } else {
            // Its last claimant may not have queued it yet, and our place must come behind that one. Before we claim anything.
            wait_until_queued(inside, before);
            if ((before & item_state::linked) && !place) {
                place = stand_ins.take();
                if (!place)
                    return -ENOMEM;
            }
            if (!claim_again(word, before, kind, inside.claim_mark()))
                continue;
            result = 1;
            std::atomic_ref(work.wq).store(wq, std::memory_order_relaxed); // relaxed: published by the enqueue
            count(inside.row().cells[target.index].queued);
            enqueue_claimed(target, work, before, place, gate.stats == stats_choice::full ? now_ns() : 0);
            place = nullptr;
        }
    }
    if (place)
        stand_ins.put(place);
    return result;
}

// The way that an item goes, which it keeps. None yet: it was never queued, and somebody else may be choosing one right now.
enum class item_route { none, lane, queue };
item_route route_of(const pw_struct &work)
{
    // Relaxed: set by a call before this one.
    uint64_t state = std::atomic_ref(const_cast<uint64_t &>(work.state)).load(std::memory_order_relaxed);
    if (!(state & (item_state::route_on | item_state::route_worker)))
        return item_route::none;
    return gate.strategy == PW_STRATEGY_LOCK && (state & item_state::route_on) ? item_route::lane : item_route::queue;
}

// The calls that look at an item which may be pending: in a passage, with the way that it goes. Nothing that was accepted is left where the runtime was
// not started or has stopped: then what they return is 0.
template <typename Function>
int while_running(const pw_struct &work, Function function)
{
    caller *self = this_caller();
    if (!self)
        return -ENOMEM;
    passage inside(self);
    if (inside.state() != gate_state::open && inside.state() != gate_state::draining)
        return 0;
    worker &target = *worker_of(work.cpu);
    item_route route = route_of(work);
    return target.active && route != item_route::none ? function(inside, target, route == item_route::lane) : 0;
}

bool malformed_item(const pw_struct *work)
{
    return !work || !work->func || !is_cpu(work->cpu);
}

// Under queue: takes back what is pending, at once. Returns the state before, without `pending` if there was nothing to take back.
uint64_t cancel_in_queue(const passage &inside, worker &target, pw_struct &work)
{
    std::atomic_ref word(work.state);
    for (;;) {
        uint64_t before = cancel(word);
        if (!(before & item_state::armed)) {
            if (before & item_state::pending)
                count(inside.row().cells[target.index].cancelled);
            return before;
        }
        if (disarm(target, work))
            return before;
        if (!armed_here(reinterpret_cast<const pw_delayed &>(work)))
            return before & ~item_state::pending; // in the process that we were forked from
    }
}

// Under queue: no list holds the item and it does not run, when this returns 1 or 0.
int cancel_sync_in_queue(passage &inside, worker &target, pw_struct &work)
{
    std::atomic_ref word(work.state);
    bool on_worker = this_thread.worker_here == &target;
    if (on_worker && target.running.is(&work))
        return -EDEADLK;
    // From here on nobody queues it, but a timer that finds it armed.
    refusal refused(work);
    refused.begin();
    queue_barrier barrier;
    wait_edge edge(target, false);
    bool listed = false, taken_back = false, held = false;
    for (;;) {
        uint64_t state;
        held = target.running.busy(&work, word, state) || (state & (item_state::linked | item_state::cancelled));
        if (!held && (state & item_state::armed)) {
            // Else a timer has queued it since we looked.
            taken_back = disarm(target, work);
            if (!taken_back && armed_here(reinterpret_cast<const pw_delayed &>(work)))
                continue;
            break;
        }
        if (held && !on_worker && in_work()) {
            listed = begin_waits(&edge, 1);
            if (!listed) {
                refused.end(false);
                return -EDEADLK;
            }
        }
        uint64_t before = cancel_in_queue(inside, target, work);
        taken_back = (before & item_state::pending) != 0;
        // Its claimant may not have queued it yet.
        if (held)
            wait_until_queued(inside, before);
        break;
    }
    if (held && on_worker) {
        drop_cancelled(target, work);
    } else if (held) {
        barrier.queue(target, word.load(std::memory_order_relaxed) & item_state::high, listed ? &edge : nullptr); // relaxed: set for life
        inside.leave();
        barrier.wait(flush_spins());
    }
    refused.end(true);
    return taken_back;
}

} // namespace

int wait_behind(passage &inside, worker &target, uint64_t kind)
{
    if (finishes_soon(target))
        return 0;
    wait_edge edge(target, false);
    bool listed = in_work();
    if (listed && !begin_waits(&edge, 1))
        return -EDEADLK;
    wait_behind(inside, target, kind, listed ? &edge : nullptr);
    return 0;
}

void wait_behind(passage &inside, worker &target, uint64_t kind, wait_edge *listed)
{
    queue_barrier barrier;
    barrier.queue(target, kind, listed);
    inside.leave();
    barrier.wait(flush_spins());
}

int submit(int cpu, pw_workqueue *wq, pw_struct &work, uint64_t route)
{
    return while_open(cpu, [&](passage &inside, worker &target) {
        bool chained = false;
        uint64_t kind = route | item_state::normal;
        if (pw_unlikely(wq)) {
            if (int error = may_queue(wq, chained))
                return error;
            kind = route | wq->priority;
        }
        if (gate.strategy == PW_STRATEGY_LOCK && route == item_state::route_on)
            return run_in_lane(inside, target, wq, work, chained);
        uint64_t before = claim(std::atomic_ref(work.state), kind, inside.claim_mark());
        int result = 1;
        if (pw_likely(!(before & (item_state::pending | item_state::unusual)))) {
            std::atomic_ref(work.wq).store(wq, std::memory_order_relaxed); // relaxed: published by the enqueue
            if (pw_unlikely(gate.stats == stats_choice::full))
                stamp(work, now_ns());
            count(inside.row().cells[target.index].queued);
            enqueue(target, work, kind);
        } else if (before & item_state::pending) {
            wait_until_queued(inside, before);
            count(inside.row().cells[target.index].coalesced);
            result = 0;
        } else {
            result = claim_slow(inside, target, wq, work, kind);
        }
        if (pw_unlikely(chained) && result == 1)
            queued_while_draining(wq);
        return result;
    });
}

} // namespace pw::detail

using namespace pw::detail;

int pw_queue_on(int cpu, struct pw_workqueue *wq, struct pw_struct *work)
{
    if (malformed(cpu, wq, work, item_state::route_worker, false))
        return -EINVAL;
    return submit(cpu, wq, *work, item_state::route_on);
}

int pw_queue_work_on(int cpu, struct pw_workqueue *wq, struct pw_struct *work)
{
    if (malformed(cpu, wq, work, item_state::route_on, false))
        return -EINVAL;
    return submit(cpu, wq, *work, item_state::route_worker);
}

int pw_flush(struct pw_struct *work)
{
    if (malformed_item(work))
        return -EINVAL;
    if (works_for(work->cpu))
        return -EDEADLK;
    return while_running(*work, [&](passage &inside, worker &target, bool through_lane) {
        if (through_lane)
            return lane_of(target.cpu)->flush(*work, inside);
        uint64_t state;
        if (!target.running.busy(work, std::atomic_ref(work->state), state))
            return 0;
        // Under the lock strategy the worker may be running another CPU's item that came to it nested.
        if (this_thread.worker_here == &target)
            return -EDEADLK;
        // Pending: behind it. Running: next.
        uint64_t kind = item_state::high;
        if (item_state::is_queued(state)) {
            wait_until_queued(inside, state);
            kind = state & item_state::high;
        }
        return wait_behind(inside, target, kind);
    });
}

int pw_cancel(struct pw_struct *work)
{
    if (malformed_item(work))
        return -EINVAL;
    return while_running(*work, [&](passage &inside, worker &target, bool through_lane) -> int {
        if (through_lane)
            return lane_of(target.cpu)->cancel(*work, inside.row());
        return (cancel_in_queue(inside, target, *work) & item_state::pending) != 0;
    });
}

int pw_cancel_sync(struct pw_struct *work)
{
    if (malformed_item(work))
        return -EINVAL;
    return while_running(*work, [&](passage &inside, worker &target, bool through_lane) {
        if (through_lane)
            return lane_of(target.cpu)->cancel_sync(*work, inside);
        return cancel_sync_in_queue(inside, target, *work);
    });
}

int pw_get_cpu(const struct pw_struct *work)
{
    return work->cpu;
}
