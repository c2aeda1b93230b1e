// SPDX-License-Identifier: MIT
#include "timer.h"

#include "lane.h"
#include "stand_in.h"
#include "submit.h"
#include "workqueue.h"

#include <algorithm>

namespace pw::detail {
namespace {

bool through_lanes()
{
    return gate.strategy == PW_STRATEGY_LOCK;
}

// Who keeps the time of that CPU's timers.
worker &keeper_of(worker &target)
{
    return through_lanes() ? lane_of(target.cpu)->deputy() : target;
}

pw_delayed *delayed_of(pw_struct *item)
{
    return reinterpret_cast<pw_delayed *>(item); // its first member
}

// Whether the claimant of that state has left its passage, or is the calling thread.
bool may_overwrite(const passage &inside, uint64_t state)
{
    return item_state::claimant(state) == inside.index() || !claimant_is_inside(state);
}

// Under the guard, the item taken out of the heap: it becomes pending in the worker's queue. False if no memory is left for an
// item whose cancelled place is still in the queue.
bool queue_now(worker &target, pw_struct &item, const passage &inside)
{
    std::atomic_ref word(item.state);
    stand_in *place = nullptr;
    // Since it fell due, if it did.
    uint64_t queued_at = gate.stats == stats_choice::full ? std::min(delayed_of(&item)->due, now_ns()) : 0;
    for (;;) {
        // Acquire: as K7 in item.h. Nobody else claims an armed item.
        uint64_t before = word.load(std::memory_order_acquire);
        if (before & (item_state::linked | item_state::cancelled))
            wait_until_queued(inside, before);
        if ((before & item_state::linked) && !place) {
            place = stand_ins.take();
            if (!place && this_thread.worker_here == &target)
                drop_cancelled(target, item);
            else if (!place)
                return false;
            continue;
        }
        pw_workqueue *wq = item.wq; // before the item may run, and be gone
        if (claim_again(word, before, before & item_state::kinds, inside.claim_mark())) {
            count(inside.row().cells[target.index].queued);
            enqueue_claimed(target, item, before, place, queued_at);
            disarmed(wq, true);
            return true;
        }
    }
}

// What arm_locked() returns where it must be called again when the claimant of that state has left its passage, without the guard.
constexpr int after_claimant = 2;

// The process in which an item was armed, behind the bit that says that it is a delayed one.
uint32_t kind_now()
{
    return gate.generation << 1 | 1;
}

// Under the guard. As pw_queue_delayed_on(), or, `anew`, as pw_mod_delayed_on().
int arm_locked(worker &target, timer_queue &timers, pw_workqueue *wq, pw_delayed &delayed, uint64_t due, bool anew,
               const passage &inside, uint64_t &claimed)
{
    pw_struct &item = delayed.work;
    std::atomic_ref word(item.state);
    uint64_t before = word.load(std::memory_order_acquire); // as K7 in item.h
    int result = -1;
    while (result < 0) {
        if (before & item_state::armed) {
            if (!anew || !armed_here(delayed))
                return 0;
            timers.heap.remove(delayed);
            disarmed(item.wq, false);
            result = 1;
            break;
        }
        // Whoever claimed it last may not yet have noted its workqueue, which we shall overwrite, nor queued it.
        if ((before & (item_state::cancelled | item_state::linked | item_state::stood_in)) && !through_lanes() &&
            !may_overwrite(inside, before)) {
            claimed = before;
            return after_claimant;
        }
        uint64_t after = before | item_state::pending | item_state::armed;
        int then = anew ? 0 : 1;
        if (before & item_state::pending) {
            if (anew && (before & item_state::cancelling))
                return -ECANCELED;
            if (anew && through_lanes()) {
                lane_of(target.cpu)->take_back(item, inside.row());
                before = word.load(std::memory_order_acquire);
                anew = false; // it was pending
                continue;
            }
            // As in claim(): who finds it pending writes as well; and as in cancel().
            after = anew ? (after & ~item_state::stood_in) | item_state::cancelled : before;
            then = anew ? 1 : 0;
        } else if (before & item_state::cancelling) {
            return -ECANCELED;
        } else {
            after |= item_state::route_on | priority_of(wq);
        }
        // Acquire and release: as I1 and K2.
        if (word.compare_exchange_weak(before, after, std::memory_order_acq_rel, std::memory_order_acquire))
            result = then;
    }
    if (result == 0 && !(word.load(std::memory_order_relaxed) & item_state::armed)) {
        claimed = before; // found pending: as in submit(), behind the guard
        return 0;
    }
    if ((before & (item_state::pending | item_state::armed)) == item_state::pending)
        count(inside.row().cells[target.index].cancelled);
    // Relaxed: the worker may look at it when it comes past an old place.
    std::atomic_ref(item.wq).store(wq, std::memory_order_relaxed);
    if (wq)
        wq->armed.fetch_add(1, std::memory_order_relaxed); // relaxed: whoever arms it meanwhile says so in `chained`
    std::atomic_ref(item.kind).store(kind_now(), std::memory_order_relaxed); // relaxed: read under the guard; else only whether it is 0
    timers.heap.insert(delayed, due);
    return result;
}

int arm(int cpu, pw_workqueue *wq, pw_delayed *delayed, uint64_t ns, bool anew)
{
    if (malformed(cpu, wq, delayed ? &delayed->work : nullptr, item_state::route_worker, true))
        return -EINVAL;
    if (ns == 0 && !anew)
        return submit(cpu, wq, delayed->work, item_state::route_on);
    uint64_t now = now_ns(), due = ns < timer_queue::never - 1 - now ? now + ns : timer_queue::never - 1;
    return while_open(cpu, [&](passage &inside, worker &target) {
        bool chained = false, earlier = false;
        if (int error = may_queue(wq, chained))
            return error;
        worker &keeper = keeper_of(target);
        int result;
        {
            std::unique_lock held(*keeper.timers.guard);
            uint64_t claimed = 0;
            while (claimed = 0, (result = arm_locked(target, keeper.timers, wq, *delayed, due, anew, inside, claimed)) == after_claimant) {
                held.unlock();
                wait_until_queued(inside, claimed);
                held.lock();
            }
            earlier = keeper.timers.update();
            held.unlock();
            if (result == 0 && claimed && !through_lanes())
                wait_until_queued(inside, claimed);
        }
        if (!anew && result == 0)
            count(inside.row().cells[target.index].coalesced);
        if (chained && result >= 0)
            queued_while_draining(wq);
        if (earlier && this_thread.worker_here != &keeper) {
            // As W2 in idle.h, with `earliest` in place of a queue's tail.
            std::atomic_thread_fence(std::memory_order_seq_cst);
            wake(keeper);
        }
        return result;
    });
}

} // namespace

timer_queue &timers_of(worker &target)
{
    return keeper_of(target).timers;
}

bool armed_here(const pw_delayed &item)
{
    return kind_of(item.work) == kind_now();
}

void disarmed(pw_workqueue *wq, bool queued)
{
    if (!wq)
        return;
    // In this order: see drain().
    if (queued && wq->drains.load(std::memory_order_acquire) != 0)
        queued_while_draining(wq);
    wq->armed.fetch_sub(1, std::memory_order_release);
}

bool disarm(worker &target, pw_struct &item)
{
    timer_queue &timers = target.timers;
    std::lock_guard held(*timers.guard);
    std::atomic_ref word(item.state);
    uint64_t before = word.load(std::memory_order_relaxed); // relaxed: the guard orders
    if (!(before & item_state::armed) || !armed_here(*delayed_of(&item)))
        return false;
    timers.heap.remove(*delayed_of(&item));
    timers.update();
    disarmed(item.wq, false);
    while (!word.compare_exchange_weak(before, before & ~(item_state::pending | item_state::armed), std::memory_order_acq_rel,
                                       std::memory_order_relaxed)) { // as K2
    }
    return true;
}

void queue_due_items(worker &self)
{
    passage inside(this_thread.self);
    std::lock_guard held(*self.timers.guard);
    uint64_t now = now_ns();
    while (const pw_delayed *first = self.timers.heap.first()) {
        if (first->due > now)
            break;
        // On the worker itself this finds a place always.
        queue_now(self, self.timers.heap.pop()->work, inside);
    }
    self.timers.update();
}

// Of what is due now: whatever these arm meanwhile comes behind what else the deputy has to do.
void run_due_items(worker &self)
{
    uint64_t now = now_ns();
    uint32_t generation = gate.generation;
    for (;;) {
        run_record record;
        lane::admission admitted;
        {
            passage inside(this_thread.self);
            record.row = &inside.row();
            admitted = self.through->admit_armed(nullptr, now, record);
        }
        if (admitted == lane::admission::already_pending)
            return;
        if (admitted == lane::admission::run_here)
            self.through->run(record);
        if (generation != gate.generation)
            return;
    }
}

long queue_armed_items(worker &target, const pw_workqueue *wq, passage &inside)
{
    auto chosen = [wq](const pw_delayed &each) { return !wq || each.work.wq == wq; };
    if (through_lanes())
        return static_cast<long>(lane_of(target.cpu)->hand_over_armed(inside.row(), chosen));
    timer_queue &timers = target.timers;
    std::lock_guard held(*timers.guard);
    timer_heap now;
    timers.heap.move_if(chosen, now);
    long queued = 0;
    while (pw_delayed *each = now.pop()) {
        if (!queue_now(target, each->work, inside)) {
            timers.heap.insert(*each, each->due);
            while ((each = now.pop()))
                timers.heap.insert(*each, each->due);
            queued = -ENOMEM;
            break;
        }
        ++queued;
    }
    timers.update();
    return queued;
}

} // namespace pw::detail

using namespace pw::detail;

int pw_queue_delayed_on(int cpu, struct pw_workqueue *wq, struct pw_delayed *delayed, uint64_t ns)
{
    return arm(cpu, wq, delayed, ns, false);
}

int pw_mod_delayed_on(int cpu, struct pw_workqueue *wq, struct pw_delayed *delayed, uint64_t ns)
{
    return arm(cpu, wq, delayed, ns, true);
}

int pw_cancel_delayed_sync(struct pw_delayed *delayed)
{
    return pw_cancel_sync(delayed ? &delayed->work : nullptr);
}

int pw_flush_delayed(struct pw_delayed *delayed)
{
    if (!delayed || !delayed->work.func || !is_cpu(delayed->work.cpu) || !kind_of(delayed->work))
        return -EINVAL;
    pw_struct &item = delayed->work;
    if (works_for(item.cpu))
        return -EDEADLK;
    caller *self = this_caller();
    if (!self)
        return -ENOMEM;
    run_record record;
    int cpu = item.cpu;
    {
        passage inside(self);
        worker *target = worker_of(cpu);
        if ((inside.state() != gate_state::open && inside.state() != gate_state::draining) || !target || !target->active)
            return 0; // what was armed before a stop has been queued by that, and has run
        if (!through_lanes()) {
            // Asked before anything is changed.
            wait_edge edge(*target, false);
            bool listed = in_work();
            if (listed && !begin_waits(&edge, 1))
                return -EDEADLK;
            std::unique_lock held(*target->timers.guard);
            // Relaxed: the guard orders.
            uint64_t state = std::atomic_ref(item.state).load(std::memory_order_relaxed);
            bool was_armed = (state & item_state::armed) && armed_here(*delayed), queued = false;
            if (was_armed) {
                uint64_t due = delayed->due;
                target->timers.heap.remove(*delayed);
                queued = queue_now(*target, item, inside);
                if (!queued)
                    target->timers.heap.insert(*delayed, due);
                target->timers.update();
            }
            held.unlock();
            // From here on the item may be gone.
            if (queued && (listed || !finishes_soon(*target))) {
                wait_behind(inside, *target, state & item_state::high, listed ? &edge : nullptr);
                return 0;
            }
            if (listed)
                end_wait(edge);
            if (was_armed)
                return queued ? 0 : -ENOMEM;
        } else {
            record.row = &inside.row();
            lane &through = *lane_of(cpu);
            lane::admission admitted = through.admit_armed(delayed, 0, record);
            // As above.
            if (admitted == lane::admission::handed_over)
                return through.flush(item, inside);
            if (admitted == lane::admission::run_here) {
                inside.leave();
                through.run(record);
                return 0;
            }
        }
    }
    return pw_flush(&item);
}
