// SPDX-License-Identifier: MIT
// The lanes' sources with what they wait by replaced, their calls as src/work.cc makes them, and what is noted of
// each. For the one source of each model, by way of model_lane.h.
#pragma once

#include "model_threads.h"

#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>

// A thread that sleeps on a futex lets the others run. All are one thread in truth: each has a context of its
// own, by whose address waits.cc knows it.
static long model_syscall(long number, ...);
#define syscall model_syscall
#include "callers.h"
namespace pw::detail {
static thread_context *context_here;
}
#define this_thread (*::pw::detail::context_here)
#include "refusal.cc"
#include "waits.cc"
namespace pw::detail {
static bool model_begin_waits(wait_edge *edges, size_t count);
static void model_enqueue(worker &deputy, pw_struct &item);
}
#define begin_waits model_begin_waits
#define enqueue model_enqueue
#include "lane.cc"
#include "lane_run.cc"
#include "lane_wait.cc"
#undef begin_waits
#undef enqueue
#include "timer_heap.cc"
#undef syscall

namespace {

using namespace pw::detail;
namespace stat = pw::stat;

constexpr int most_threads = 8, lane_count = 2, most_items = 6;

thread_context contexts[most_threads];

void switched(int, int to)
{
    if (to >= 0)
        context_here = &contexts[to];
}

model::schedules *threads;

// Everything that happens gets a number.
struct execution {
    int begin, end, thread;
};
struct work {
    union {
        pw_struct base;
        pw_delayed delayed;
    };
    int id;
};
struct call {
    int thread, item, begin; // thread -1: armed, or found so
    bool queued;             // returned 1; else 0, the item was pending
    size_t accepted;         // the one that queued it
    bool cancelled = false;
    int execution = -1;
};
struct record {
    std::vector<execution> executions;
    int pending = -1; // the call that was accepted and has not started
    int cancels = 0;  // callers that are in cancel_sync()
    std::function<void(work &, int run)> body;
    bool freed = false;
};

work items[most_items];
record records[most_items];
std::vector<call> calls;
std::vector<pw_struct *> in_queues; // of deputies
int now;
unsigned bound = 3; // preemptions a schedule: more than these only by hand
const char *only;   // scenarios with this in their names, by hand as well
alignas(lane) char lane_memory[lane_count][sizeof(lane)];
alignas(64) char row_memory[most_threads][sizeof(stat::caller_row) + lane_count * sizeof(stat::caller_cell)];
caller callers[most_threads];
stat_segment *segment;

lane &lane_number(int cpu)
{
    return *reinterpret_cast<lane *>(lane_memory[cpu]);
}

lane &lane_for(const work &item)
{
    return lane_number(item.base.cpu);
}

char name(int item)
{
    return static_cast<char>('A' + item);
}

void function(pw_struct *base)
{
    int id = reinterpret_cast<work *>(base)->id;
    record &log = records[id];
    if (!log.executions.empty() && log.executions.back().end < 0)
        threads->fail("guarantee 2: an item runs twice at once");
    if (base->state & item_state::pending)
        threads->fail("guarantee 3: an item is pending when its function starts");
    threads->note("start", name(id));
    if (log.pending < 0)
        threads->fail("an item was cancelled and runs, or runs once too often");
    calls[static_cast<size_t>(log.pending)].execution = static_cast<int>(log.executions.size());
    log.pending = -1;
    log.executions.push_back({now++, -1, threads->self()});
    struct end_of_execution {
        int item;
        ~end_of_execution()
        {
            threads->note("end", name(item));
            records[item].executions.back().end = now++;
        }
    } ends{id};
    if (log.freed)
        memset(base, 0xa5, sizeof *base); // what was queued once may be freed now
    threads->point();
    if (log.body)
        log.body(items[id], static_cast<int>(log.executions.size()));
    threads->point();
}

// A call was accepted, or found the item pending.
void accepted(work &item, int thread, bool queued)
{
    record &log = records[item.id];
    size_t index = calls.size();
    if (queued) {
        // A caller of cancel_sync() that has not returned yet has taken the last one back.
        if (log.pending >= 0 && log.cancels == 0)
            threads->fail("an item is queued that is pending");
        if (log.pending >= 0)
            calls[static_cast<size_t>(log.pending)].cancelled = true;
        log.pending = static_cast<int>(index);
    } else if (log.pending < 0) {
        threads->fail("an item is pending and was not queued");
    }
    calls.push_back({thread, item.id, now++, queued, static_cast<size_t>(log.pending)});
}

void taken_back(work &item)
{
    record &log = records[item.id];
    if (log.pending >= 0)
        calls[static_cast<size_t>(log.pending)].cancelled = true;
    log.pending = -1;
}

// As pw_queue_on().
int queue(work &item, pw_workqueue *wq = nullptr)
{
    threads->point();
    lane &through = lane_for(item);
    run_record record;
    record.row = this_thread.self->row;
    passage inside(this_thread.self);
    if (inside.state() != gate_state::open)
        return -ESHUTDOWN;
    threads->note("queue", name(item.id));
    bool is_armed = state_of(item.base) & item_state::armed;
    lane::admission admitted = through.admit(item.base, wq, record);
    if (admitted == lane::admission::refused)
        return -ECANCELED;
    accepted(item, is_armed ? -1 : threads->self(), admitted != lane::admission::already_pending);
    inside.leave();
    if (admitted == lane::admission::run_here)
        through.run(record);
    return admitted != lane::admission::already_pending;
}

// The execution that a call stands for. -1: none has started.
int execution_of(const call &each)
{
    return calls[each.accepted].execution;
}

bool is_cancelled(const call &each)
{
    return calls[each.accepted].cancelled;
}

bool has_ended(const call &each)
{
    int which = execution_of(each);
    return which >= 0 && records[each.item].executions[static_cast<size_t>(which)].end >= 0;
}

// As pw_cancel().
inline int cancel(work &item)
{
    threads->point();
    passage inside(this_thread.self);
    bool was_pending = lane_for(item).cancel(item.base, inside.row());
    threads->note(was_pending ? "cancelled" : "nothing to cancel", name(item.id));
    if (was_pending)
        taken_back(item);
    return was_pending;
}

// As pw_cancel_sync().
inline int cancel_sync(work &item)
{
    threads->point();
    passage inside(this_thread.self);
    threads->note("cancel", name(item.id));
    int begin = now++;
    ++records[item.id].cancels;
    int result = lane_for(item).cancel_sync(item.base, inside);
    --records[item.id].cancels;
    threads->note(result < 0 ? "not cancelled" : "cancelled", name(item.id));
    if (result < 0)
        return result;
    // From the end of its last execution on, others may queue it again.
    for (const call &each : calls)
        if (each.item == item.id && each.begin < begin && execution_of(each) >= 0 && !has_ended(each))
            threads->fail("an item runs when pw_cancel_sync() returns");
    int pending = records[item.id].pending;
    if (pending >= 0 && calls[static_cast<size_t>(pending)].begin < begin) {
        if (item.base.state & item_state::pending)
            threads->fail("an item is pending when pw_cancel_sync() returns");
        taken_back(item);
    }
    return result;
}

// As pw_queue_delayed_on(), with a time that has come.
void arm(work &item)
{
    timer_queue &timers = lane_for(item).deputy().timers;
    std::lock_guard held(*timers.guard);
    if (is_pending(item.base) || (state_of(item.base) & item_state::cancelling))
        return;
    set_state(item.base,
              state_of(item.base) | item_state::pending | item_state::armed | item_state::route_on);
    timers.heap.insert(item.delayed, 0);
    timers.update();
    accepted(item, -1, true);
}

// As pw_flush().
int flush(work &item)
{
    threads->point();
    if (works_for(item.base.cpu))
        return -EDEADLK;
    passage inside(this_thread.self);
    threads->note("flush", name(item.id));
    std::vector<call> before = calls;
    if (int error = lane_for(item).flush(item.base, inside))
        return error;
    threads->note("flushed", name(item.id));
    for (const call &each : before) {
        if (each.item != item.id || each.thread < 0)
            continue;
        if (!is_cancelled(each) && !has_ended(each))
            threads->fail(
                "guarantee 4: a flush returned before an execution that was queued before it had ended");
    }
    return 0;
}

// As pw_workqueue_flush(), of one lane.
inline int flush(pw_workqueue &wq, int cpu)
{
    threads->point();
    threads->note("flush all");
    lane::waiter self;
    lane &through = lane_number(cpu);
    if (!through.look_for(&wq, self.key))
        return 0;
    wait_edge edge(through, self.key);
    if (!model_begin_waits(&edge, 1))
        return -EDEADLK;
    if (through.begin_wait(self))
        self.done.wait(0);
    end_wait(edge);
    threads->note("flushed all");
    return 0;
}

// As pw_runtime_stop(), its first two steps.
inline void stop()
{
    threads->point();
    gate.state.store(gate_state::draining);
    threads->note("stop");
    threads->block_until([] {
        for (caller &each : callers)
            if (!each.flag.outside())
                return false;
        return true;
    });
    for (int cpu = 0; cpu < lane_count; ++cpu)
        lane_number(cpu).wait_until_idle();
    for (const call &each : calls) {
        if (!is_cancelled(each) && !has_ended(each))
            threads->fail("guarantee 7: something that was accepted has not run when the runtime stops");
    }
    threads->note("stopped");
}

// As run_due_items().
void run_due(worker &self)
{
    uint64_t now = now_ns();
    for (;;) {
        run_record record;
        record.row = this_thread.self->row;
        lane::admission admitted = self.through->admit_armed(nullptr, now, record);
        if (admitted == lane::admission::already_pending)
            return;
        if (admitted == lane::admission::run_here)
            self.through->run(record);
    }
}

bool has_work(worker &self)
{
    return self.timers.earliest() != timer_queue::never || !self.queue.nothing_arrived();
}

// As worker_main().
// What a thread leaves that ends inside a function, and a thread that takes it: see src/heir.cc.
struct {
    bool expected = false;
    lane *through = nullptr;
    run_record *from = nullptr;
} inheritance;

void add_heir()
{
    inheritance.expected = true;
    auto left = [] { return inheritance.from != nullptr; };
    threads->add([left] {
        for (;;) {
            threads->block_until(left);
            lane &through = *inheritance.through;
            run_record record;
            record.row = this_thread.self->row;
            bool runs = through.inherit(*inheritance.from, record);
            inheritance.from = nullptr;
            if (runs)
                through.run(record);
        }
    }, true, left);
}

void deputy(int cpu)
{
    worker &self = lane_number(cpu).deputy();
    this_thread.worker_here = &self;
    self.context.store(&this_thread);
    for (;;) {
        threads->block_until([&self] { return has_work(self); });
        if (self.timers.earliest() != timer_queue::never) {
            run_due(self);
            continue;
        }
        self.queue.take();
        bool blocked;
        while (pw_struct *item = self.queue.next(blocked)) {
            std::erase(in_queues, item);
            pw_func_t run = item->func;
            if (!item_state::is_here(self.running.start(item, std::atomic_ref(item->state))))
                continue;
            threads->point();
            run(item);
        }
        self.running.finish();
    }
}

} // namespace
