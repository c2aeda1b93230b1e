// SPDX-License-Identifier: MIT
// Lanes, src/lane*.cc themselves, and who waits for whom, src/waits.cc: the guarantees of <pwlocks/work.h> under the
// lock strategy, in all schedules of a few threads. Every step of a lane is under its mutex, and a function of
// the program may be overtaken where it begins and ends, so points between those steps are all that schedules
// need.
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
int cancel(work &item)
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
int cancel_sync(work &item)
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
int flush(pw_workqueue &wq, int cpu)
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
void stop()
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

void set_up()
{
    now = 1;
    calls.clear();
    in_queues.clear();
    waits_after_fork_child();
    gate.state.store(gate_state::open);
    for (int i = 0; i < most_threads; ++i) {
        memset(row_memory[i], 0, sizeof row_memory[i]);
        ::new (&callers[i]) caller;
        callers[i].row = reinterpret_cast<stat::caller_row *>(row_memory[i]);
        ::new (&contexts[i]) thread_context;
        contexts[i].self = &callers[i];
    }
    for (int cpu = 0; cpu < lane_count; ++cpu) {
        memset(lane_memory[cpu], 0, sizeof lane_memory[cpu]);
        lane_number(cpu).init(cpu, static_cast<size_t>(cpu), cpu, {}, *segment);
        threads->add([cpu] { deputy(cpu); }, true, [cpu] { return has_work(lane_number(cpu).deputy()); });
    }
    for (int i = 0; i < most_items; ++i) {
        items[i] = {};
        items[i].id = i;
        pw_init_delayed(&items[i].delayed, function, 0);
        records[i] = {};
    }
}

void check()
{
    for (const call &each : calls) {
        if (!is_cancelled(each) && !has_ended(each))
            threads->fail("guarantee 1: no execution behind a call");
    }
    // Guarantee 5, and more than it says: a thread's items do not overlap either, but for what it queues from
    // inside one. A call that found its item pending has a place in that order, too, but not one that it
    // chose.
    for (size_t i = 0; i < calls.size(); ++i)
        for (size_t k = i + 1; k < calls.size(); ++k) {
            const call &one = calls[i], &other = calls[k];
            if (is_cancelled(one) || is_cancelled(other) || one.thread < 0 || !other.queued || one.thread != other.thread ||
                items[one.item].base.cpu != items[other.item].base.cpu)
                continue;
            const execution &first = records[one.item].executions[static_cast<size_t>(execution_of(one))];
            const execution &second =
                records[other.item].executions[static_cast<size_t>(execution_of(other))];
            bool nested =
                first.thread == other.thread && first.begin < other.begin && other.begin < first.end;
            if (first.begin > second.begin)
                threads->fail("guarantee 5: a thread's items start out of order");
            if (!nested && first.begin != second.begin && first.end > second.begin)
                threads->fail("a thread's items overlap");
        }
    for (const record &each : records)
        if (each.freed && !each.executions.empty()) {
            const auto *bytes = reinterpret_cast<const unsigned char *>(&items[&each - records].base);
            for (size_t i = 0; i < sizeof(pw_struct); ++i)
                if (bytes[i] != 0xa5)
                    threads->fail("guarantee 3: an item was written after its function had freed it");
        }
}

void scenario(const char *what, unsigned preemptions, const std::function<void()> &program)
{
    if (only && !strstr(what, only))
        return;
    model::schedules all(preemptions, switched);
    threads = &all;
    all.explore(
        [&] {
            set_up();
            program();
        },
        check);
    printf("lane: %s: holds in %lu schedules\n", what, all.count());
    fflush(stdout);
}

work &a = items[0], &b = items[1], &c = items[2], &d = items[3];

void two_items()
{
    scenario("three threads queue and flush two items", bound, [] {
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
            flush(b);
        });
        threads->add([] {
            queue(b);
            queue(a);
            flush(a);
        });
    });
}

void queued_again()
{
    scenario("an item queues itself and others wait behind it", bound, [] {
        records[0].body = [](work &self, int run) {
            if (run <= 2)
                queue(self);
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
            queue(c);
            flush(a);
        });
        threads->add([] { queue(c); });
    });
}

void handed_over_and_running()
{
    scenario("an item waits for an execution that its thread has handed over", bound, [] {
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            threads->block_until([] { return records[0].executions.size() == 2; });
            queue(b);
        });
    });
}

void item_that_waits()
{
    // What waits for b was queued behind b by b's own thread: no worker would be stuck here.
    scenario("an execution waits for an item that was queued before it", bound, [] {
        static bool b_queued;
        b_queued = false;
        records[0].body = [](work &self, int run) {
            if (run == 2 && b_queued)
                queue(self);
            if (run == 3)
                threads->block_until([] { return !records[1].executions.empty(); });
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            int queued = queue(b);
            b_queued = queued == 1;
        });
        threads->add([] { queue(d); });
    });
}

void freed()
{
    scenario("an item frees itself, here and on the deputy", bound, [] {
        records[2].freed = records[3].freed = true;
        threads->add([] {
            queue(a);
            queue(c);
        });
        threads->add([] {
            queue(a);
            queue(d);
        });
    });
}

void nested_flush()
{
    scenario("flushes from inside work never wait for themselves", bound, [] {
        items[1].base.cpu = 1;
        records[0].body = [](work &, int) { queue(b); };
        records[1].body = [](work &, int) {
            queue(c);
            flush(c);
            flush(a);
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(c);
            queue(d);
            flush(c);
        });
        threads->add([] { queue(c); });
    });
}

void stopped()
{
    scenario("a stop waits for all that was accepted", bound, [] {
        records[0].body = [](work &self, int run) {
            if (run < 4)
                queue(self); // refused once the stop has begun
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
        });
        threads->add([] { stop(); });
    });
}

void stopped_and_cancelled()
{
    scenario("a stop waits, and what it waits for is taken back", bound - 1, [] {
        threads->add([] { queue(c); });
        threads->add([] {
            queue(c);
            queue(d);
            cancel(d);
        });
        threads->add([] { stop(); });
    });
}

void ended()
{
    scenario("a thread ends inside a function that was handed more", bound, [] {
        records[0].body = [](work &, int run) {
            if (run == 1)
                threads->end_thread();
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
            flush(a);
        });
        threads->add([] {
            queue(a);
            queue(c);
        });
    });
}

void flush_across()
{
    scenario("deputies that flush each other's items", bound, [] {
        items[2].base.cpu = items[3].base.cpu = 1;
        records[1].body = [](work &, int) { flush(d); };
        records[3].body = [](work &, int) { flush(a); };
        threads->add([] {
            queue(a);
            queue(c);
        });
        threads->add([] {
            queue(a);
            queue(b);
        });
        threads->add([] {
            queue(c);
            queue(d);
        });
    });
}

void deputy_and_queued_again()
{
    // As "an execution waits for an item", with the deputy for a runner: b's second execution waits for d, which was
    // queued before it.
    scenario("the deputy's item is handed over to it and waits for one of the list", bound, [] {
        static bool d_queued;
        d_queued = false;
        records[1].body = [](work &, int run) {
            if (run == 1 && threads->self() == 0)
                threads->block_until([] { return calls.size() >= 5; });
            if (run == 2 && d_queued)
                threads->block_until([] { return !records[3].executions.empty(); });
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
            queue(d);
            d_queued = true;
        });
        threads->add([] {
            threads->block_until([] { return d_queued; });
            queue(b);
        });
    });
}

// c runs on one thread and is handed over to it; then d comes to the list behind that.
void queue_behind_c()
{
    static bool d_queued;
    d_queued = false;
    threads->add([] { queue(c); });
    threads->add([] {
        threads->block_until([] { return !records[2].executions.empty(); });
        queue(c);
        queue(d);
        d_queued = true;
    });
    items[1].base.cpu = 1;
    threads->add([] { queue(b); });
    records[1].body = [](work &, int) {
        threads->block_until([] { return d_queued; });
        flush(d);
    };
}

void circles()
{
    scenario("what the list waits for waits, by way of another, for the list", bound, [] {
        queue_behind_c();
        records[2].body = [](work &, int run) {
            if (run == 1)
                threads->block_until([] { return calls.size() >= 3; });
            if (run == 2)
                flush(b);
        };
    });
    scenario("who will run what the list waits for waits for the list", bound, [] {
        queue_behind_c();
        records[2].body = [](work &, int run) {
            if (run == 1) {
                threads->block_until([] { return calls.size() >= 4; });
                flush(b);
            }
        };
    });
    scenario("what runs waits for the list, in which it stands itself", 1, [] {
        static bool listed;
        listed = false;
        items[1].base.cpu = 1;
        records[0].body = [](work &, int run) {
            threads->block_until([] { return listed; });
            if (run == 1)
                flush(b);
        };
        records[1].body = [](work &, int) {
            threads->block_until([] { return listed; });
            flush(d);
        };
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
        threads->add([] { queue(c); });
        threads->add([] {
            threads->block_until([] { return !records[0].executions.empty() && !records[2].executions.empty(); });
            queue(c);
            queue(a);
            queue(d);
            listed = true;
        });
    });
    scenario("what runs waits for a workqueue, for which it is to run again", bound, [] {
        static pw_workqueue wq;
        items[1].base.cpu = 1;
        wq.priority = item_state::normal;
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
        threads->add([] {
            threads->block_until([] { return !records[0].executions.empty(); });
            queue(a, &wq);
        });
        records[0].body = [](work &, int run) {
            if (run == 1) {
                threads->block_until([] { return records[0].pending >= 0; });
                flush(b);
            }
        };
        records[1].body = [](work &, int) {
            threads->block_until([] { return records[0].executions.size() + (records[0].pending >= 0) == 2; });
            flush(wq, 0);
        };
    });
}

void due_items()
{
    scenario("items fall due while others run and wait", bound, [] {
        records[1].body = [](work &, int) { queue(c); };
        arm(a);
        threads->add([] {
            queue(b);
        });
        threads->add([] {
            queue(a);
            queue(b);
            flush(b);
        });
        threads->add([] {
            threads->point();
            arm(b);
            cancel(a);
        });
    });
}

void circle_over_due()
{
    scenario("a due item waits, by way of others, for what its deputy has to run", bound, [] {
        items[1].base.cpu = 1;
        static bool d_queued;
        d_queued = false;
        records[0].body = [](work &, int) { // due, on the deputy
            threads->block_until([] { return !records[1].executions.empty(); });
            flush(b);
        };
        records[1].body = [](work &, int) {
            threads->block_until([] { return d_queued; });
            flush(d);
        };
        arm(a);
        threads->add([] { queue(b); });
        threads->add([] { queue(c); });
        threads->add([] {
            queue(c);
            queue(d);
            d_queued = true;
        });
    });
}

void cancelled()
{
    scenario("items are cancelled and queued again", bound, [] {
        threads->add([] {
            queue(a);
            cancel(b);
        });
        threads->add([] {
            queue(a);
            queue(b);
            cancel(a);
            queue(a);
        });
        threads->add([] {
            queue(a);
            flush(b);
        });
    });
}

void cancelled_for_good()
{
    scenario("cancelling waits for what runs and refuses what comes", bound, [] {
        records[0].body = [](work &self, int run) {
            if (run <= 2)
                queue(self);
        };
        threads->add([] { queue(a); });
        threads->add([] {
            queue(a);
            queue(b);
            cancel_sync(a);
        });
        threads->add([] {
            cancel_sync(b);
            cancel_sync(a);
        });
    });
}

void cancelled_inside()
{
    scenario("functions cancel each other", bound, [] {
        items[1].base.cpu = 1;
        records[0].body = [](work &self, int run) {
            if (run == 1)
                queue(self);
            cancel_sync(b);
        };
        records[1].body = [](work &self, int run) {
            if (run == 1)
                queue(self);
            cancel_sync(a);
        };
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
        threads->add([] {
            threads->block_until([] { return !records[0].executions.empty(); });
            arm(a);
        });
    });
}

void cancelled_and_next_run()
{
    scenario("cancelling from inside work, and the item's next run waits for that", bound, [] {
        items[1].base.cpu = 1;
        records[0].body = [](work &self, int run) {
            if (run == 2)
                flush(b);
        };
        records[1].body = [](work &, int) { cancel_sync(a); };
        threads->add([] { queue(a); });
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
    });
}

void cancelled_and_due()
{
    scenario("cancelling from inside work is refused, and the item is armed", bound, [] {
        items[1].base.cpu = 1;
        records[0].body = [](work &self, int run) {
            if (run > 1)
                return;
            arm(self);
            flush(b);
        };
        records[1].body = [](work &, int) { cancel_sync(a); };
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
    });
}

void no_circle()
{
    scenario("waits in a row that are no circle", bound, [] {
        items[3].base.cpu = 1;
        records[0].body = [](work &, int) { flush(d); };
        records[3].body = [](work &, int) {
            if (flush(b) != 0)
                threads->fail("a flush is refused that waits for nobody who waits for it");
        };
        threads->add([] { queue(a); });
        threads->add([] { queue(b); });
        threads->add([] { queue(d); });
    });
}

} // namespace

// What lane.cc needs of the rest of the library.
struct pw_detail_globals pw_detail_globals;
int pw_this_cpu_slow(void)
{
    return 0;
}
namespace pw::detail {
constinit gate_line gate;
constinit caller *caller_pages[most_callers / callers_a_page] = {};
void disarmed(pw_workqueue *, bool) {}
bool armed_here(const pw_delayed &)
{
    return true;
}
static void model_enqueue(worker &deputy, pw_struct &item)
{
    if (std::find(in_queues.begin(), in_queues.end(), &item) != in_queues.end())
        threads->fail("a queue gets the same link twice");
    in_queues.push_back(&item);
    enqueue(deputy, item);
}
// Others may overtake on either side of it: the lane's mutex is not held there.
static bool model_begin_waits(wait_edge *edges, size_t count)
{
    threads->point();
    bool listed = begin_waits(edges, count);
    threads->point();
    return listed;
}
void stat_segment::name_function(pw_func_t) {}
std::span<stat::tally> stat_segment::tallies(size_t) const
{
    static stat::tally all[8];
    return all;
}
std::span<stat::counter> stat_segment::places(size_t) const
{
    return {};
}
stat::histogram &stat_segment::histogram(size_t, stat::histogram_kind) const
{
    static stat::histogram unused;
    return unused;
}
void stat_segment::destroy() {}
int flush_spins()
{
    return 0;
}
void run_function(pw_func_t run, pw_struct *item, const pw_workqueue *)
{
    run(item);
}
void run_call(void (*)(int, void *), int, void *) {}
void wake_slow(worker &) {}
} // namespace pw::detail
pw_workqueue pw::detail::no_workqueue;

void *pw_alloc_percpu(size_t, size_t)
{
    return nullptr;
}

static long model_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    auto *word = va_arg(arguments, std::atomic<uint32_t> *);
    int operation = va_arg(arguments, int);
    uint32_t expected = va_arg(arguments, uint32_t);
    va_end(arguments);
    if (operation == FUTEX_WAIT_PRIVATE)
        threads->block_until([=] { return word->load() != expected; });
    return 0;
}

int main(int count, char **arguments)
{
    if (count > 1)
        bound = static_cast<unsigned>(atoi(arguments[1]));
    if (count > 2)
        only = arguments[2];
    static stat_segment none;
    segment = &none;
    two_items();
    queued_again();
    handed_over_and_running();
    item_that_waits();
    freed();
    nested_flush();
    stopped();
    stopped_and_cancelled();
    ended();
    flush_across();
    no_circle();
    circles();
    due_items();
    circle_over_due();
    cancelled();
    cancelled_for_good();
    deputy_and_queued_again();
    cancelled_inside();
    cancelled_and_next_run();
    cancelled_and_due();
}
