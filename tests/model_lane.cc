// SPDX-License-Identifier: MIT
// Lanes, src/lane.cc itself: the guarantees of <pwlocks/work.h> under the lock strategy, in all schedules of
// a few threads. Every step of a lane is under its mutex, and a function of the program may be overtaken
// where it begins and ends, so points between those steps are all that schedules need.
#include "model_threads.h"

#include <cstdarg>
#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>

// A thread that sleeps on a futex lets the others run.
static long model_syscall(long number, ...);
#define syscall model_syscall
#include "lane.cc"
#undef syscall

namespace {

using namespace pw::detail;
namespace stat = pw::stat;

constexpr int most_threads = 8, lane_count = 2, most_items = 6;

thread_context contexts[most_threads];

void switched(int from, int to)
{
    if (from >= 0)
        contexts[from] = this_thread;
    if (to >= 0)
        this_thread = contexts[to];
}

model::schedules *threads;

// Everything that happens gets a number.
struct execution {
    int begin, end, thread;
};
struct work {
    pw_struct base;
    int id;
};
struct call {
    int thread, item, begin;
    bool queued; // returned 1; else 0, the item was pending
};
struct record {
    std::vector<execution> executions;
    std::function<void(work &, int run)> body;
    bool freed = false;
};

work items[most_items];
record records[most_items];
std::vector<call> calls;
int now;
unsigned bound = 2; // preemptions a schedule: more than these only by hand
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

// As pw_queue_on().
int queue(work &item)
{
    threads->point();
    lane &through = lane_for(item);
    run_record record;
    record.row = this_thread.self->row;
    passage inside(this_thread.self);
    if (inside.state() != gate_state::open)
        return -ESHUTDOWN;
    threads->note("queue", name(item.id));
    lane::admission admitted = through.admit(item.base, record);
    calls.push_back({threads->self(), item.id, now++, admitted != lane::admission::already_pending});
    inside.leave();
    if (admitted == lane::admission::run_here)
        through.run(record);
    return admitted != lane::admission::already_pending;
}

// The execution that a call stands for: the first that started behind it. -1: none did.
int execution_of(const call &each)
{
    const auto &all = records[each.item].executions;
    for (size_t i = 0; i < all.size(); ++i)
        if (all[i].begin > each.begin)
            return static_cast<int>(i);
    return -1;
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
        if (each.item != item.id)
            continue;
        int which = execution_of(each);
        if (which < 0 || records[each.item].executions[static_cast<size_t>(which)].end < 0)
            threads->fail(
                "guarantee 4: a flush returned before an execution that was queued before it had ended");
    }
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
        int which = execution_of(each);
        if (which < 0 || records[each.item].executions[static_cast<size_t>(which)].end < 0)
            threads->fail("guarantee 7: something that was accepted has not run when the runtime stops");
    }
    threads->note("stopped");
}

// As worker_main().
void deputy(int cpu)
{
    worker &self = lane_number(cpu).deputy();
    this_thread.worker_here = &self;
    for (;;) {
        threads->block_until([&self] { return !self.queue.empty(); });
        self.queue.take();
        bool blocked;
        while (pw_struct *item = self.queue.next(blocked)) {
            pw_func_t run = item->func;
            self.running.start(item, std::atomic_ref(item->state));
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
    gate.state.store(gate_state::open);
    for (int i = 0; i < most_threads; ++i) {
        memset(row_memory[i], 0, sizeof row_memory[i]);
        ::new (&callers[i]) caller;
        callers[i].row = reinterpret_cast<stat::caller_row *>(row_memory[i]);
        contexts[i] = {};
        contexts[i].self = &callers[i];
    }
    for (int cpu = 0; cpu < lane_count; ++cpu) {
        memset(lane_memory[cpu], 0, sizeof lane_memory[cpu]);
        lane_number(cpu).init(cpu, static_cast<size_t>(cpu), cpu, {}, *segment);
        threads->add([cpu] { deputy(cpu); }, true);
    }
    for (int i = 0; i < most_items; ++i) {
        items[i] = {};
        items[i].id = i;
        pw_init_work(&items[i].base, function, 0);
        records[i] = {};
    }
}

void check()
{
    for (const call &each : calls) {
        int which = execution_of(each);
        if (which < 0 || records[each.item].executions[static_cast<size_t>(which)].end < 0)
            threads->fail("guarantee 1: no execution behind a call");
    }
    // Guarantee 5, and more than it says: a thread's items do not overlap either, but for what it queues from
    // inside one. A call that found its item pending has a place in that order, too, but not one that it
    // chose.
    for (size_t i = 0; i < calls.size(); ++i)
        for (size_t k = i + 1; k < calls.size(); ++k) {
            const call &one = calls[i], &other = calls[k];
            if (!other.queued || one.thread != other.thread ||
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

} // namespace

// What lane.cc needs of the rest of the library.
namespace pw::detail {
constinit gate_line gate;
constinit caller *caller_pages[most_callers / callers_a_page] = {};
thread_local constinit thread_context this_thread __attribute__((tls_model("initial-exec")));
void passage::wait_for_claimant(uint32_t, uint64_t) {}
void stat_segment::name_function(pw_func_t) {}
void stat_segment::destroy() {}
int flush_spins()
{
    return 0;
}
void run_function(pw_func_t run, pw_struct *item)
{
    run(item);
}
} // namespace pw::detail

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
    static stat_segment none;
    segment = &none;
    two_items();
    queued_again();
    handed_over_and_running();
    item_that_waits();
    freed();
    nested_flush();
    stopped();
    ended();
    flush_across();
}
