// SPDX-License-Identifier: MIT
#include "lane.h"

#include "run_function.h"
#include "timer.h"
#include "workqueue.h"

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

// Under the lane's mutex, which orders: relaxed, all.
uint64_t state_of(const pw_struct &item)
{
    return std::atomic_ref(const_cast<uint64_t &>(item.state)).load(std::memory_order_relaxed);
}

void set_state(pw_struct &item, uint64_t state)
{
    std::atomic_ref(item.state).store(state, std::memory_order_relaxed);
}

bool is_pending(const pw_struct &item)
{
    return state_of(item) & item_state::pending;
}

void set_pending(pw_struct &item)
{
    set_state(item, state_of(item) | item_state::pending);
}

void clear_pending(pw_struct &item)
{
    set_state(item, state_of(item) & ~item_state::pending);
}

// Notes the item's kind, which it keeps, and the workqueue that it comes through now.
void set_kind(pw_struct &item, pw_workqueue *wq)
{
    set_state(item, state_of(item) | item_state::route_on | priority_of(wq));
    item.wq = wq;
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
    segment_ = &segment;
    deputy_.segment = &segment;
    deputy_.block = &deputy_block_;
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

void lane::note_hand_over(pw_struct &item, pw_workqueue *wq, stat::caller_row &row)
{
    set_kind(item, wq);
    set_pending(item);
    item.ticket = ++drawn_;
    depend(item.ticket);
    count(row.cells[index_].queued);
}

// What was armed, to whoever runs the item, or to the deputy.
void lane::hand_over_now(pw_struct &item, stat::caller_row &row)
{
    pw_workqueue *wq = item.wq;
    set_state(item, state_of(item) & ~item_state::armed);
    note_hand_over(item, wq, row);
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

bool lane::listed(const pw_struct &item) const
{
    for (const pw_struct *each = first_; each; each = next_of(each))
        if (each == &item)
            return true;
    return false;
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
    set_state(item->work, state_of(item->work) & ~(item_state::armed | item_state::pending));
    admission admitted = admit_locked(item->work, wq, record, true);
    disarmed(wq, true);
    return admitted;
}

lane::admission lane::admit_locked(pw_struct &item, pw_workqueue *wq, run_record &record, bool accepted)
{
    if (is_pending(item)) {
        depend(item.ticket);
        return admission::already_pending;
    }
    if (!accepted && (state_of(item) & item_state::cancelling))
        return admission::refused;
    if (outstanding(last_ticket(cpu_))) {
        note_hand_over(item, wq, *record.row);
        list(item);
        kick();
        return admission::handed_over;
    }
    if (run_record *now = find(&item)) {
        note_hand_over(item, wq, *record.row);
        now->again = item.ticket;
        return admission::handed_over;
    }
    set_kind(item, wq);
    count(record.row->cells[index_].queued);
    begin(&item, wq, record);
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

void lane::begin_call(run_record &record)
{
    std::lock_guard held(mutex_);
    begin(nullptr, nullptr, record);
}

void lane::make_call(void (*function)(int cpu, void *arg), void *arg, run_record &record)
{
    record.outer = this_thread.running;
    this_thread.running = &record;
    run_call(function, cpu_, arg);
    end_call(record);
}

void lane::end_call(run_record &record)
{
    // In a fork's child both are what its parent left.
    if (this_thread.running == &record)
        this_thread.running = record.outer;
    if (record.generation != gate.generation)
        return;
    std::lock_guard held(mutex_);
    unlink(record);
    kick();
    wake_if_idle();
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
    row.started.store(row.started.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    row.running.store(reinterpret_cast<uintptr_t>(function), std::memory_order_relaxed);
    PW_INJECT();
    run_function(function, record.item, record.wq);
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
    wake_waiters(record.item, record.wq, record.number());
    record.ticket = record.again;
    record.again = 0;
    // The deputy has others to run meanwhile, and time to keep.
    bool goes_on = record.ticket && !on_deputy();
    if (goes_on) {
        clear_pending(*record.item);
        record.wq = record.item->wq;
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

// The thread ends inside the function. What was handed over to it was accepted: the deputy runs it.
void lane::abandon(run_record &record)
{
    if (record.generation != gate.generation)
        return;
    std::lock_guard held(mutex_);
    wake_waiters(record.item, record.wq, record.number());
    unlink(record);
    if (record.again)
        list(*record.item);
    kick();
    wake_if_idle();
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
            record.ticket = item->ticket;
            clear_pending(*item);
            begin(item, item->wq, record);
        }
        run(record);
        if (record.generation != gate.generation)
            return;
    }
}

// One execution with that number has ended, or will not come.
void lane::wake_waiters(const pw_struct *item, const pw_workqueue *wq, uint64_t number)
{
    waiter **link = &waiters_;
    while (waiter *each = *link) {
        if (!each->for_idle && each->key.covers(item, wq, number) && --each->left == 0) {
            *link = each->next; // before complete(): then it is gone
            if (each->refused)
                set_state(*each->refused, state_of(*each->refused) - item_state::one_cancelling);
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
    bool counted = false, asked = false, waits = false;
    int result = -EDEADLK;
    for (;;) {
        std::unique_lock held(mutex_);
        if (!counted && (state_of(item) & item_state::cancelling) == item_state::cancelling) {
            // One of several at a time where there are too many.
            held.unlock();
            sleep_ns(100'000);
            continue;
        }
        if (!counted)
            set_state(item, state_of(item) + item_state::one_cancelling);
        counted = true;
        run_record *now = find(&item);
        if (!now || !in_work() || (asked && self.key.limit == now->number())) {
            result = take_back(item, inside.row());
            waits = now;
            if (now) {
                self.key = {&item, nullptr, now->number()};
                self.refused = &item;
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
        set_state(item, state_of(item) - item_state::one_cancelling);
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

bool works_for(int cpu)
{
    if (const run_record *innermost = this_thread.running)
        return innermost->cpu == cpu;
    return this_thread.worker_here && this_thread.worker_here->cpu == cpu;
}

} // namespace pw::detail
