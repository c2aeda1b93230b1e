// SPDX-License-Identifier: MIT
#include "lane.h"

#include "run_function.h"

#include <cstdio>
#include <cxxabi.h>
#include <iterator>
#include <new>

namespace pw::detail {
namespace {

uint64_t &last_ticket(int cpu)
{
    return this_thread.last_ticket[static_cast<unsigned>(cpu) % std::size(this_thread.last_ticket)];
}

pw_struct *next_of(const pw_struct *item)
{
    return static_cast<pw_struct *>(item->next);
}

// Under the lane's mutex, which orders: relaxed.
bool is_pending(const pw_struct &item)
{
    return std::atomic_ref(const_cast<uint64_t &>(item.state)).load(std::memory_order_relaxed) & item_state::pending;
}

void set_pending(pw_struct &item)
{
    std::atomic_ref(item.state).store(item_state::pending | item_state::route_on, std::memory_order_relaxed);
}

void clear_pending(pw_struct &item)
{
    std::atomic_ref(item.state).store(item_state::route_on, std::memory_order_relaxed);
}

bool is_ours(const run_record *record)
{
    for (const run_record *each = this_thread.running; each; each = each->outer)
        if (each == record)
            return true;
    return false;
}

} // namespace

// A flush or a stop that sleeps: on its stack, listed in the lane.
struct lane::waiter {
    const pw_struct *item = nullptr; // until the execution that runs now has ended
    uint64_t ticket = 0;             // until this one has ended
    completion done;                 // neither: until the lane is idle
    waiter *next = nullptr;
};

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
    segment_ = &segment;
    deputy_.queue.init();
    deputy_.segment = &segment;
    deputy_.block = &deputy_block_;
    deputy_.cpu = deputy_cpu;
    deputy_.options = options;
    deputy_.generation = gate.generation;
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

void lane::hand_over(pw_struct &item, run_record &record)
{
    set_pending(item);
    item.ticket = ++drawn_;
    depend(item.ticket);
    count(record.row->cells[index_].queued);
}

// Into the list, by its ticket: at the end, but for what a thread left behind that ended.
void lane::list(pw_struct &item)
{
    pw_struct *before = nullptr, *behind = first_;
    while (behind && behind->ticket < item.ticket) {
        before = behind;
        behind = next_of(behind);
    }
    item.next = behind;
    if (before)
        before->next = &item;
    else
        first_ = &item;
}

bool lane::listed(const pw_struct &item) const
{
    for (const pw_struct *each = first_; each; each = next_of(each))
        if (each == &item)
            return true;
    return false;
}

lane::admission lane::admit(pw_struct &item, run_record &record)
{
    std::lock_guard held(mutex_);
    if (is_pending(item)) {
        depend(item.ticket);
        return admission::already_pending;
    }
    if (outstanding(last_ticket(cpu_))) {
        hand_over(item, record);
        list(item);
        kick();
        return admission::handed_over;
    }
    if (run_record *now = find(&item)) {
        hand_over(item, record);
        now->again = item.ticket;
        return admission::handed_over;
    }
    clear_pending(item); // notes the route
    count(record.row->cells[index_].queued);
    record.item = &item;
    record.cpu = cpu_;
    record.generation = gate.generation;
    record.next_in_lane = running_;
    running_ = &record;
    return admission::run_here;
}

void lane::execute(run_record &record)
{
    // The item may be gone when its function returns.
    pw_func_t function = record.item->func;
    segment_->name_function(function);
    stat::caller_row &row = *record.row;
    uint64_t outer_cpu = row.running_cpu.load(std::memory_order_relaxed); // relaxed, all: statistics
    uint64_t outer = row.running.load(std::memory_order_relaxed);
    row.running_cpu.store(static_cast<uint64_t>(cpu_), std::memory_order_relaxed);
    row.running.store(reinterpret_cast<uintptr_t>(function), std::memory_order_relaxed);
    PW_INJECT();
    run_function(function, record.item);
    PW_INJECT();
    // In a fork's child the row was its parent's.
    if (record.generation != gate.generation)
        return;
    row.running_cpu.store(outer_cpu, std::memory_order_relaxed);
    row.running.store(outer, std::memory_order_relaxed);
    count(row.cells[index_].executed);
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
    wake_waiters(&record);
    record.ticket = record.again;
    record.again = 0;
    if (record.ticket)
        clear_pending(*record.item);
    else
        unlink(record);
    // Either way something has ended that the head of the list may have waited for.
    kick();
    if (idle())
        wake_waiters(nullptr);
    return record.ticket != 0;
}

// The thread ends inside the function. What was handed over to it was accepted: the deputy runs it.
void lane::abandon(run_record &record)
{
    if (record.generation != gate.generation)
        return;
    std::lock_guard held(mutex_);
    wake_waiters(&record);
    unlink(record);
    if (record.again)
        list(*record.item);
    kick();
    if (idle())
        wake_waiters(nullptr);
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
        if (record.generation == gate.generation)
            record.row->running.store(0, std::memory_order_relaxed); // relaxed: a statistic
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
    list_item_.func = work_off_item;
    list_item_.state = item_state::pending | item_state::internal;
    enqueue(deputy_, list_item_);
}

void lane::work_off_item(pw_struct *item)
{
    reinterpret_cast<lane *>(item)->work_off();
}

// On the deputy: runs the list's items one after the other, for as long as the first may run.
void lane::work_off()
{
    for (;;) {
        run_record record;
        record.cpu = cpu_;
        record.generation = gate.generation;
        record.row = this_thread.self->row;
        {
            std::lock_guard held(mutex_);
            if (!head_ready()) {
                kicked_ = false;
                return;
            }
            record.item = first_;
            record.ticket = first_->ticket;
            first_ = next_of(first_);
            clear_pending(*record.item);
            record.next_in_lane = running_;
            running_ = &record;
        }
        run(record);
        if (record.generation != gate.generation)
            return;
    }
}

void lane::wake_waiters(const run_record *ended)
{
    waiter **link = &waiters_;
    while (waiter *each = *link) {
        bool over = ended ? (each->item && each->item == ended->item) || (each->ticket && each->ticket == ended->ticket)
                          : !each->item && !each->ticket;
        if (over) {
            *link = each->next; // before complete(): then it is gone
            each->done.complete();
        } else {
            link = &each->next;
        }
    }
}

// Whether the item cannot run, or end, before something ends that runs below us on our own stack.
bool lane::waits_for_us(const pw_struct &item) const
{
    const run_record *now = find(&item);
    if (now && is_ours(now))
        return true;
    if (!is_pending(item) || (now && now->again == item.ticket))
        return false;
    for (const run_record *each = this_thread.running; each; each = each->outer) {
        if (each->cpu != cpu_ || each->generation != gate.generation)
            continue;
        if ((each->ticket && each->ticket < item.ticket) || (each->again && each->again < item.ticket))
            return true;
        for (const pw_struct *other = first_; other && other->ticket < item.ticket; other = next_of(other))
            if (other == each->item)
                return true;
    }
    return false;
}

int lane::flush(const pw_struct &item, passage &inside)
{
    waiter self;
    {
        std::lock_guard held(mutex_);
        const run_record *now = find(&item);
        if (waits_for_us(item))
            return -EDEADLK;
        if (is_pending(item) && ((now && now->again == item.ticket) || listed(item)))
            self.ticket = item.ticket;
        else if (now)
            self.item = &item;
        else
            return 0; // idle; or pending in the process that we were forked from
        self.next = waiters_;
        waiters_ = &self;
    }
    // A stop now waits for what we wait for, and wakes us before it goes on.
    inside.leave();
    self.done.wait(flush_spins());
    return 0;
}

void lane::wait_until_idle()
{
    waiter self;
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

bool works_for(int cpu)
{
    if (const run_record *innermost = this_thread.running)
        return innermost->cpu == cpu;
    return this_thread.worker_here && this_thread.worker_here->cpu == cpu;
}

} // namespace pw::detail
