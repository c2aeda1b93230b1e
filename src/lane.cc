// SPDX-License-Identifier: MIT
// Admission: who runs an item that is queued, and the list of those that come behind another.
#include "lane.h"

#include "lane_item.h"
#include "timer.h"
#include "workqueue.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <new>

namespace pw::detail {
namespace {

uint64_t &last_ticket(int cpu)
{
    return this_thread.last_ticket[static_cast<unsigned>(cpu) % std::size(this_thread.last_ticket)];
}

// Notes the item's kind, which it keeps, and the workqueue that it comes through now.
void set_kind(pw_struct &item, pw_workqueue *wq)
{
    set_state(item, state_of(item) | item_state::route_on | priority_of(wq));
    item.wq = wq;
}

// With stats=full: since when a delayed item is queued, 0 if it does not matter.
uint64_t due_or_now(const pw_delayed &delayed)
{
    return gate.stats == stats_choice::full ? std::min(delayed.due, now_ns()) | 1 : 0;
}

bool is_ours(const run_record *record)
{
    for (const run_record *each = this_thread.running; each; each = each->outer)
        if (each == record)
            return true;
    return false;
}

} // namespace

int create_lanes()
{
    if (!gate.lanes)
        gate.lanes = static_cast<lane *>(pw_alloc_percpu(sizeof(lane), alignof(lane)));
    return gate.lanes ? 0 : -ENOMEM;
}

void lane::init(int cpu, size_t index, int deputy_cpu, const worker_options &options, stat_segment &segment)
{
    // Also in a fork's child, where the mutex and the lists are what other threads of the parent left.
    uint64_t drawn = drawn_;
    ::new (this) lane;
    drawn_ = drawn;
    cpu_ = cpu;
    index_ = index;
    ledger_.init(segment, index);
    deputy_.segment = &segment;
    deputy_.block = &deputy_block_;
    deputy_.ledger.init(deputy_block_, stats_choice::off);
    deputy_.cpu = deputy_cpu;
    deputy_.options = options;
    deputy_.generation = gate.generation;
    deputy_.through = this;
    deputy_.timers.guard = &mutex_;
    snprintf(deputy_.name, sizeof deputy_.name, "pw/%d+", cpu);
}

// The running record of an item, if it runs. Under the mutex, as all the private ones that follow.
run_record *lane::find(const pw_struct *item) const
{
    for (run_record *each = running_; each; each = each->next_in_lane)
        if (each->item == item)
            return each;
    return nullptr;
}

// Whether an execution with this ticket, or an earlier one, is still to come or runs on another thread. Cautious: a ticket may be
// another lane's.
bool lane::outstanding(uint64_t ticket) const
{
    if (first_ && first_->ticket <= ticket)
        return true;
    for (const run_record *each = running_; each; each = each->next_in_lane) {
        if (each->again && each->again <= ticket)
            return true;
        // What runs below us on our own stack has started: what we queue now comes behind its start.
        if (each->ticket && each->ticket <= ticket && !is_ours(each))
            return true;
    }
    return false;
}

// The calling thread's next items must not start before this ticket has finished.
void lane::depend(uint64_t ticket) const
{
    uint64_t &last = last_ticket(cpu_);
    if (last < ticket)
        last = ticket;
}

// `queued_at` with stats=full; 0: now.
void lane::note_hand_over(pw_struct &item, pw_workqueue *wq, uint64_t queued_at, stat::caller_row &row)
{
    set_kind(item, wq);
    set_pending(item);
    if (pw_unlikely(gate.stats == stats_choice::full))
        set_state(item, item_state::handed_over(state_of(item), queued_at ? queued_at : now_ns() | 1));
    item.ticket = ++drawn_;
    depend(item.ticket);
    count(row.cells[index_].queued);
}

// What was armed, to whoever runs the item, or to the deputy.
void lane::hand_over_now(pw_delayed &delayed, stat::caller_row &row)
{
    pw_struct &item = delayed.work;
    pw_workqueue *wq = item.wq;
    set_state(item, state_of(item) & ~item_state::armed);
    note_hand_over(item, wq, due_or_now(delayed), row);
    if (run_record *now = find(&item)) {
        now->again = item.ticket;
    } else {
        list(item);
        kick();
    }
    disarmed(wq, true);
}

// Into the list, by its ticket: at the end, but for what was handed to a runner that does not run it.
void lane::list(pw_struct &item)
{
    pw_struct *before = last_, *behind = nullptr;
    if (last_ && last_->ticket > item.ticket)
        for (before = nullptr, behind = first_; behind && behind->ticket < item.ticket; behind = next_of(behind))
            before = behind;
    item.next = behind;
    (before ? before->next : reinterpret_cast<void *&>(first_)) = &item;
    if (!behind)
        last_ = &item;
}

bool lane::unlist(pw_struct &item)
{
    pw_struct *before = nullptr, *each = first_;
    while (each && each != &item) {
        before = each;
        each = next_of(each);
    }
    if (!each)
        return false;
    if (before)
        before->next = item.next;
    else
        first_ = next_of(&item);
    if (last_ == &item)
        last_ = before;
    return true;
}

lane::admission lane::admit(pw_struct &item, pw_workqueue *wq, run_record &record)
{
    std::lock_guard held(mutex_);
    return admit_locked(item, wq, record, false);
}

lane::admission lane::admit_armed(pw_delayed *item, uint64_t now, run_record &record)
{
    std::lock_guard held(mutex_);
    timer_heap &heap = deputy_.timers.heap;
    if (item) {
        if (!(state_of(item->work) & item_state::armed) || !armed_here(*item))
            return admission::already_pending;
        heap.remove(*item);
    } else {
        if (heap.empty() || heap.first()->due > now)
            return admission::already_pending;
        item = heap.pop();
    }
    deputy_.timers.update();
    pw_workqueue *wq = item->work.wq;
    record.noted.queued_at = due_or_now(*item);
    set_state(item->work, state_of(item->work) & ~(item_state::armed | item_state::pending));
    admission admitted = admit_locked(item->work, wq, record, true);
    disarmed(wq, true);
    return admitted;
}

lane::admission lane::admit_locked(pw_struct &item, pw_workqueue *wq, run_record &record, bool accepted)
{
    if (is_pending(item)) {
        depend(item.ticket);
        count(record.row->cells[index_].coalesced);
        return admission::already_pending;
    }
    if (!accepted && (state_of(item) & item_state::cancelling))
        return admission::refused;
    if (outstanding(last_ticket(cpu_))) {
        note_hand_over(item, wq, record.noted.queued_at, *record.row);
        list(item);
        kick();
        return admission::handed_over;
    }
    if (run_record *now = find(&item)) {
        note_hand_over(item, wq, record.noted.queued_at, *record.row);
        now->again = item.ticket;
        return admission::handed_over;
    }
    set_kind(item, wq);
    count(record.row->cells[index_].queued);
    begin(&item, wq, record);
    ledger_.admit(record.noted, reinterpret_cast<uintptr_t>(item.func), wq);
    return admission::run_here;
}

// Lists what the calling thread is about to run.
void lane::begin(pw_struct *item, const pw_workqueue *wq, run_record &record)
{
    record.item = item;
    record.wq = wq;
    record.cpu = cpu_;
    record.generation = gate.generation;
    record.serial = ++drawn_;
    record.thread = &this_thread;
    record.next_in_lane = running_;
    running_ = &record;
}

bool works_for(int cpu)
{
    if (const run_record *innermost = this_thread.running)
        return innermost->cpu == cpu;
    return this_thread.worker_here && this_thread.worker_here->cpu == cpu;
}

} // namespace pw::detail
