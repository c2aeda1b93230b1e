// SPDX-License-Identifier: MIT
// Running what was admitted: on the thread that queued it, and the list on the deputy.
#include "lane.h"

#include "heir.h"
#include "lane_item.h"
#include "run_function.h"

#include <cxxabi.h>

namespace pw::detail {

void lane::begin_call(void (*function)(int cpu, void *arg), run_record &record)
{
    std::lock_guard held(mutex_);
    begin(nullptr, nullptr, record);
    ledger_.admit(record.noted, reinterpret_cast<uintptr_t>(function), nullptr);
}

void lane::make_call(void (*function)(int cpu, void *arg), void *arg, run_record &record)
{
    record.outer = this_thread.running;
    this_thread.running = &record;
    ledger_.begin(record.noted, reinterpret_cast<uintptr_t>(function), *record.row, cpu_);
    run_call(function, cpu_, arg);
    if (record.generation == gate.generation)
        ledger_.end(record.noted, *record.row);
    end_call(record, true);
}

void lane::end_call(run_record &record, bool made)
{
    // In a fork's child both are what its parent left.
    if (this_thread.running == &record)
        this_thread.running = record.outer;
    if (record.generation != gate.generation)
        return;
    std::lock_guard held(mutex_);
    if (made)
        ledger_.add_run(record.noted);
    unlink(record);
    kick();
    wake_if_idle();
}

void lane::execute(run_record &record)
{
    // The item may be gone when its function returns.
    pw_func_t function = record.item->func;
    ledger_.begin(record.noted, reinterpret_cast<uintptr_t>(function), *record.row, cpu_);
    PW_INJECT();
    run_function(function, record.item, record.wq);
    PW_INJECT();
    end_execution(record);
}

// Also of one that ends its thread. In a fork's child the row was its parent's.
void lane::end_execution(run_record &record)
{
    if (record.generation != gate.generation)
        return;
    ledger_.end(record.noted, *record.row);
    count(record.row->cells[index_].executed);
}

void lane::unlink(const run_record &record)
{
    run_record **link = &running_;
    while (*link != &record)
        link = &(*link)->next_in_lane;
    *link = record.next_in_lane;
}

// After an execution: wakes who waited for it. True if the item was handed over to us meanwhile and runs once more.
bool lane::run_again(run_record &record)
{
    // In a fork's child the lane has been reset, and nobody waits for what its parent ran.
    if (record.generation != gate.generation)
        return false;
    std::lock_guard held(mutex_);
    ledger_.add_item(record.noted);
    wake_waiters(record.item, record.wq, record.number());
    record.ticket = record.again;
    record.again = 0;
    // The deputy has others to run meanwhile, and time to keep.
    bool goes_on = record.ticket && !on_deputy();
    if (goes_on) {
        clear_pending(*record.item);
        record.wq = record.item->wq;
        record.noted.queued_at = handed_over_at(*record.item);
        ledger_.admit(record.noted, reinterpret_cast<uintptr_t>(record.item->func), record.wq);
    } else {
        unlink(record);
        if (record.ticket)
            list(*record.item);
    }
    // Either way something has ended that the head of the list may have waited for.
    kick();
    wake_if_idle();
    return goes_on;
}

// The last execution on this thread has ended; what was handed over to it is still to be seen to.
void lane::end_for_good(const run_record &record)
{
    ledger_.add_item(record.noted);
    wake_waiters(record.item, record.wq, record.number());
    unlink(record);
}

// What was taken off the list, or inherited, and runs now.
void lane::begin_handed_over(pw_struct &item, run_record &record)
{
    record.ticket = item.ticket;
    clear_pending(item);
    begin(&item, item.wq, record);
    record.noted.queued_at = handed_over_at(item);
    ledger_.admit(record.noted, reinterpret_cast<uintptr_t>(item.func), item.wq);
}

// The thread ends inside the function. What was handed over to it was accepted: an heir runs it, or else the deputy. Until the heir
// has it the record stays listed, and so keeps the order of what comes behind its ticket.
void lane::abandon(run_record &record)
{
    if (record.generation != gate.generation)
        return;
    std::unique_lock held(mutex_);
    if (record.again) {
        held.unlock();
        if (start_heir(*this, record))
            return;
        held.lock();
    }
    end_for_good(record);
    if (record.again)
        list(*record.item);
    kick();
    wake_if_idle();
}

bool lane::inherit(run_record &from, run_record &record)
{
    std::lock_guard held(mutex_);
    end_for_good(from);
    if (from.again)
        begin_handed_over(*from.item, record);
    kick();
    wake_if_idle();
    return from.again;
}

// No UBSan: see run_function().
[[gnu::no_sanitize("undefined")]] void lane::run(run_record &record)
{
    record.outer = this_thread.running;
    this_thread.running = &record;
    try {
        do
            execute(record);
        while (run_again(record));
    } catch (abi::__forced_unwind &) {
        end_execution(record);
        abandon(record);
        if (this_thread.running == &record)
            this_thread.running = record.outer;
        throw;
    }
    // In a fork's child it is null already, and what is below us on the stack does not count.
    if (this_thread.running == &record)
        this_thread.running = record.outer;
}

bool lane::head_ready() const
{
    if (!first_ || find(first_))
        return false;
    for (const run_record *each = running_; each; each = each->next_in_lane)
        if ((each->ticket && each->ticket < first_->ticket) || (each->again && each->again < first_->ticket))
            return false;
    return true;
}

// Gets the list worked off if its head may run and nobody is at it. The deputy lives: a stop waits for the lane first.
void lane::kick()
{
    if (kicked_ || !head_ready())
        return;
    kicked_ = true;
    call_deputy();
}

void lane::call_deputy()
{
    list_item_.func = work_off_item;
    list_item_.state = item_state::pending | item_state::internal;
    enqueue(deputy_, list_item_);
}

void lane::work_off_item(pw_struct *item)
{
    reinterpret_cast<lane *>(item)->work_off();
}

// On the deputy: runs the list's items one after the other, for as long as the first may run; but what is due comes in between.
void lane::work_off()
{
    for (bool first = true;;) {
        run_record record;
        record.row = this_thread.self->row;
        {
            std::lock_guard held(mutex_);
            if (!head_ready()) {
                kicked_ = false;
                return;
            }
            if (!first && deputy_.timers.earliest() <= now_ns()) {
                call_deputy();
                return;
            }
            first = false;
            pw_struct *item = first_;
            first_ = next_of(first_);
            if (!first_)
                last_ = nullptr;
            begin_handed_over(*item, record);
        }
        run(record);
        if (record.generation != gate.generation)
            return;
    }
}

} // namespace pw::detail
