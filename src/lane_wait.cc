// SPDX-License-Identifier: MIT
// Waiting for what was admitted, and taking it back.
#include "lane.h"

#include "lane_item.h"
#include "refusal.h"
#include "timer.h"
#include "workqueue.h"

namespace pw::detail {

// One execution with that number has ended, or will not come.
void lane::wake_waiters(const pw_struct *item, const pw_workqueue *wq, uint64_t number)
{
    waiter **link = &waiters_;
    while (waiter *each = *link) {
        if (!each->for_idle && each->key.covers(item, wq, number) && --each->left == 0) {
            *link = each->next; // before complete(): then it is gone
            if (each->refused)
                each->refused->end(false);
            each->done.complete();
        } else {
            link = &each->next;
        }
    }
}

void lane::wake_if_idle()
{
    if (!idle())
        return;
    waiter **link = &waiters_;
    while (waiter *each = *link) {
        if (each->for_idle) {
            *link = each->next; // before complete(): then it is gone
            each->done.complete();
        } else {
            link = &each->next;
        }
    }
}

// What has not started of an item. `again` that is taken away leaves its runner as it was.
bool lane::take_back(pw_struct &item, stat::caller_row &row)
{
    uint64_t state = state_of(item);
    if (!(state & item_state::pending))
        return false;
    if (state & item_state::armed) {
        if (!armed_here(*reinterpret_cast<pw_delayed *>(&item)))
            return false; // in the process that we were forked from
        deputy_.timers.heap.remove(*reinterpret_cast<pw_delayed *>(&item));
        deputy_.timers.update();
        disarmed(item.wq, false);
        set_state(item, state & ~(item_state::pending | item_state::armed));
        return true;
    }
    run_record *now = find(&item);
    if (now && now->again == item.ticket)
        now->again = 0;
    else if (!unlist(item))
        return false; // pending in the process that we were forked from
    clear_pending(item);
    count(row.cells[index_].cancelled);
    wake_waiters(&item, item.wq, item.ticket);
    // What it was ahead of may run.
    kick();
    wake_if_idle();
    return true;
}

bool lane::cancel(pw_struct &item, stat::caller_row &row)
{
    std::lock_guard held(mutex_);
    return take_back(item, row);
}

// Waits for the execution that runs, if one does. From inside work it asks first whether that could ever end; since the circle's mutex comes
// before ours, the lane may have changed when we have its answer, and then it was the answer to something else.
int lane::cancel_sync(pw_struct &item, passage &inside)
{
    waiter self;
    wait_edge edge(*this, self.key);
    refusal refused(item);
    bool refuses = false, asked = false, waits = false;
    int result = -EDEADLK;
    for (;;) {
        std::unique_lock held(mutex_);
        if (!refuses)
            refused.begin();
        refuses = true;
        run_record *now = find(&item);
        if (!now || !in_work() || (asked && self.key.limit == now->number())) {
            result = take_back(item, inside.row());
            waits = now;
            if (now) {
                self.key = {&item, nullptr, now->number()};
                self.refused = &refused;
                begin_wait_locked(self);
            }
            break;
        }
        if (asked) {
            held.unlock();
            end_wait(edge);
            held.lock();
            now = find(&item);
        }
        asked = now;
        if (!now)
            continue;
        self.key = {&item, nullptr, now->number()};
        held.unlock();
        if (!begin_waits(&edge, 1)) {
            asked = false;
            break;
        }
    }
    if (!waits) {
        std::lock_guard held(mutex_);
        refused.end(false);
    }
    // A stop now waits for what we wait for, and wakes us before it goes on.
    inside.leave();
    if (waits)
        self.done.wait(flush_spins());
    if (asked)
        end_wait(edge);
    return result;
}

size_t lane::count_covered(const work_key &key) const
{
    size_t count = 0;
    for (const run_record *each = running_; each; each = each->next_in_lane) {
        count += key.covers(each->item, each->wq, each->number());
        count += each->again && key.covers(each->item, each->item->wq, each->again);
    }
    for (const pw_struct *each = first_; each && each->ticket <= key.limit; each = next_of(each))
        count += key.covers(each, each->wq, each->ticket);
    return count;
}

const thread_context *lane::next_blocker(const work_key &key, uint64_t &serial) const
{
    std::lock_guard held(mutex_);
    // The last ticket of the list that is waited for, or of what is handed to a runner: whatever has a smaller one comes before it.
    uint64_t last = 0;
    for (const pw_struct *each = first_; each && each->ticket <= key.limit; each = next_of(each))
        if (key.covers(each, each->wq, each->ticket))
            last = each->ticket;
    const thread_context *deputy = deputy_.context.load(std::memory_order_acquire); // pairs with the release in worker_main()
    const run_record *next = nullptr;
    for (const run_record *each = running_; each; each = each->next_in_lane) {
        if (each->serial <= serial || (next && each->serial > next->serial))
            continue;
        bool blocks = key.covers(each->item, each->wq, each->number()) ||
                      (each->again && key.covers(each->item, each->item->wq, each->again)) ||
                      (each->ticket && each->ticket < last) || (each->again && each->again < last) ||
                      (last && each->thread == deputy); // nobody else serves the list
        for (const pw_struct *other = first_; !blocks && other && other->ticket <= last; other = next_of(other))
            blocks = other == each->item;
        if (blocks)
            next = each;
    }
    if (!next)
        return nullptr;
    serial = next->serial;
    return next->thread;
}

bool lane::look_for(const pw_workqueue *wq, work_key &key) const
{
    std::lock_guard held(mutex_);
    key = {nullptr, wq, drawn_};
    return count_covered(key) != 0;
}

bool lane::begin_wait(waiter &self)
{
    std::lock_guard held(mutex_);
    return begin_wait_locked(self);
}

// Not inlined: gcc takes a waiter on the caller's stack for one that outlives it.
[[gnu::noinline]] bool lane::begin_wait_locked(waiter &self)
{
    self.left = count_covered(self.key);
    if (self.left == 0)
        return false;
    self.next = waiters_;
    waiters_ = &self;
    return true;
}

int lane::flush(const pw_struct &item, passage &inside)
{
    waiter self;
    {
        std::lock_guard held(mutex_);
        self.key = {&item, nullptr, drawn_};
        // Idle; or pending in the process that we were forked from.
        if (count_covered(self.key) == 0)
            return 0;
    }
    wait_edge edge(*this, self.key);
    bool in_circle = in_work();
    if (in_circle && !begin_waits(&edge, 1))
        return -EDEADLK;
    bool waits = begin_wait(self);
    // A stop now waits for what we wait for, and wakes us before it goes on.
    inside.leave();
    if (waits)
        self.done.wait(flush_spins());
    if (in_circle)
        end_wait(edge);
    return 0;
}

void lane::wait_until_idle()
{
    waiter self;
    self.for_idle = true;
    {
        std::lock_guard held(mutex_);
        if (idle())
            return;
        self.next = waiters_;
        waiters_ = &self;
    }
    self.done.wait(0);
    // Whoever woke us has left the lane.
    std::lock_guard held(mutex_);
}

} // namespace pw::detail
