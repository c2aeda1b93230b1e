// SPDX-License-Identifier: MIT
// The public calls of <pwlocks/work.h> as they are: src/work.cc, workqueue.cc, timer.cc, waits.cc, the workers'
// loop and the lanes, in all schedules of a few threads with at most two preemptions. What src/item.h's orders
// are for is model_cancel.cc's; here memory is sequentially consistent, and what is looked for is a step in the
// wrong place. For the one source of each model.
#pragma once

#include "model_calls_sources.h"

namespace explore {

using namespace pw::detail;
namespace stat = pw::stat;

constexpr int most_threads = 10, most_cpus = 2, most_items = 4;

thread_context contexts[most_threads];
caller callers[callers_a_page];
alignas(64) char row_memory[most_threads][sizeof(stat::caller_row) + most_cpus * sizeof(stat::caller_cell)];
stat::cpu_block blocks[most_cpus];
stat_segment segment;
model::schedules *threads;
unsigned bound = 2;
const char *only;
uint64_t clock_now;
bool in_schedule;

struct work {
    union {
        pw_struct base;
        pw_delayed delayed;
    };
    int id;
};

// What is accepted, by what becomes of the item's state.
struct accepted {
    int thread, item;
    bool by_timer, high, cancelled = false;
    int begin = -1, end = -1; // of its execution
};
struct record {
    int pending = -1, runs = -1; // which of what was accepted
    bool gone = false;           // nobody may touch it any more
    bool frees = false;          // its function frees it
    bool inside = false;
    int count = 0;
    std::function<void(work &, int run)> body;
};
struct place_in_order {
    int thread;
    size_t which;
    bool chosen; // by the thread itself: the item was not pending
};

work items[most_items];
record records[most_items];
std::vector<accepted> all;
std::vector<place_in_order> order;
int now;

work &x = items[0], &y = items[1], &z = items[2];

char name(const work &item)
{
    return static_cast<char>('X' + item.id);
}

bool is_lane()
{
    return gate.strategy == PW_STRATEGY_LOCK;
}

void end_of(record &log, bool cancelled)
{
    all[static_cast<size_t>(log.pending)].cancelled = cancelled;
    log.pending = -1;
}

// An item's state was looked at or changed.
void state_changed(const void *word, uint64_t before, uint64_t after)
{
    using namespace item_state;
    work *item = nullptr;
    for (work &each : items)
        if (word == &each.base.state)
            item = &each;
    if (!item)
        return;
    record &log = records[item->id];
    if (log.gone)
        threads->fail("an item is touched that is gone");
    if (is_lane())
        return;
    bool was = before & pending, is = after & pending;
    if (is && (!was || (!(before & armed) && (after & armed)))) {
        if (was)
            end_of(log, true); // armed anew
        log.pending = static_cast<int>(all.size());
        all.push_back({threads->self(), item->id, bool(after & armed), bool(after & high)});
        if (!(after & armed))
            order.push_back({threads->self(), all.size() - 1, true});
    } else if (was && !is) {
        if (log.pending < 0)
            threads->fail("what was not accepted is over");
        bool cancelled = (before & armed) || (after & item_state::cancelled);
        if (!cancelled)
            log.runs = log.pending;
        end_of(log, cancelled);
    } else if (is && log.pending >= 0 && before == after && !(after & armed)) {
        order.push_back({threads->self(), static_cast<size_t>(log.pending), false});
    }
}

void function(pw_struct *base)
{
    work &item = *reinterpret_cast<work *>(base);
    int id = item.id;
    record &log = records[id];
    threads->note("start", name(item));
    if (log.gone)
        threads->fail("an item runs that is gone");
    size_t which = static_cast<size_t>(log.runs);
    if (!is_lane()) {
        if (log.runs < 0)
            threads->fail("an item runs that was not queued, or was cancelled, or runs already");
        all[which].begin = now++;
    }
    int run = ++log.count;
    log.inside = true;
    if (log.frees) {
        log.gone = true;
        memset(base, 0xa5, sizeof *base);
    }
    threads->point();
    if (log.body)
        log.body(items[id], run);
    threads->point();
    threads->note("end", static_cast<char>('X' + id));
    if (!is_lane())
        all[which].end = now++;
    log.inside = false;
    log.runs = -1;
}

int queue(work &item, pw_workqueue *wq = nullptr)
{
    threads->point();
    threads->note("queue", name(item));
    int result = pw_queue_on(item.base.cpu, wq, &item.base);
    return result;
}

int arm(work &item, pw_workqueue *wq = nullptr)
{
    threads->note("arm", name(item));
    return pw_queue_delayed_on(item.base.cpu, wq, &item.delayed, 1);
}

int mod(work &item, pw_workqueue *wq = nullptr)
{
    threads->point();
    threads->note("arm anew", name(item));
    return pw_mod_delayed_on(item.base.cpu, wq, &item.delayed, 1);
}

int flush(work &item)
{
    threads->point();
    threads->note("flush", name(item));
    std::vector<size_t> before;
    for (size_t i = 0; i < all.size(); ++i)
        if (all[i].item == item.id && !all[i].by_timer)
            before.push_back(i);
    int result = pw_flush(&item.base);
    threads->note(result == 0 ? "flushed" : "not flushed", name(item));
    if (result == 0)
        for (size_t i : before)
            if (!all[i].cancelled && all[i].end < 0)
                threads->fail("a flush returned before what was queued before it has ended");
    return result;
}

int cancel(work &item)
{
    threads->point();
    threads->note("cancel", name(item));
    return pw_cancel(&item.base);
}

int cancel_sync(work &item)
{
    threads->point();
    threads->note("cancel, wait", name(item));
    int result = pw_cancel_sync(&item.base);
    threads->note(result >= 0 ? "cancelled" : "not cancelled", name(item));
    if (result < 0)
        return result;
    if (records[item.id].pending >= 0 || records[item.id].runs >= 0)
        threads->fail("an item is pending or runs when pw_cancel_sync() returns");
    return result;
}

// Nobody queues it any more.
void free_item(work &item)
{
    threads->note("free", name(item));
    records[item.id].gone = true;
}

void drained(const char *what, std::initializer_list<work *> of)
{
    threads->note(what);
    for (work *each : of)
        if ((each->base.state & (item_state::pending | item_state::armed)) == item_state::pending ||
            records[each->id].runs >= 0 || records[each->id].inside)
            threads->fail("a workqueue is drained, and something of it is pending or runs");
}

// As worker_main().
void serve_for_ever(worker &self)
{
    this_thread.worker_here = &self;
    self.context.store(&this_thread);
    for (;;) {
        if (self.through && timer_is_due(self))
            run_due_items(self);
        else if (!serve(self, 0))
            wait_for_work(self);
    }
}

void add_worker(worker &self)
{
    threads->add([&self] { serve_for_ever(self); }, true, [&self] {
        // Under lock most of them have nothing to do.
        return !is_lane() || something_arrived(self) || self.timers.earliest() != timer_queue::never;
    });
}

void set_up(pw_strategy_t strategy, int cpus)
{
    now = 1;
    clock_now = 0;
    all.clear();
    order.clear();
    waits_after_fork_child();
    gate.strategy = strategy;
    gate.cpus = cpus;
    gate.state.store(gate_state::open);
    caller_pages[0] = callers;
    for (int i = 0; i < most_threads; ++i) {
        memset(row_memory[i], 0, sizeof row_memory[i]);
        ::new (&callers[i]) caller;
        callers[i].index = static_cast<uint32_t>(i);
        callers[i].row = reinterpret_cast<stat::caller_row *>(row_memory[i]);
        ::new (&contexts[i]) thread_context;
        contexts[i].self = &callers[i];
    }
    for (int cpu = 0; cpu < cpus; ++cpu) {
        worker &each = *worker_of(cpu);
        ::new (&each) worker;
        each.active = true;
        each.cpu = cpu;
        each.index = static_cast<size_t>(cpu);
        each.block = &blocks[cpu];
        each.segment = &segment;
        each.ledger.init(segment, static_cast<size_t>(cpu), stats_choice::off);
        add_worker(each);
        if (strategy == PW_STRATEGY_LOCK) {
            ::new (lane_of(cpu)) lane;
            lane_of(cpu)->init(cpu, static_cast<size_t>(cpu), cpu, {}, segment);
            add_worker(lane_of(cpu)->deputy());
        }
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
    for (const accepted &each : all)
        if (!each.cancelled && each.end < 0)
            threads->fail("something that was accepted has not run");
    for (work &each : items)
        if (!records[each.id].gone && (each.base.state & (item_state::pending | item_state::unusual)))
            threads->fail("an item is left pending, linked or cancelled");
    for (size_t i = 0; i < order.size(); ++i)
        for (size_t k = i + 1; k < order.size(); ++k) {
            const accepted &first = all[order[i].which], &second = all[order[k].which];
            if (order[i].thread == order[k].thread && order[k].chosen && !first.by_timer && !first.cancelled &&
                !second.cancelled && items[first.item].base.cpu == items[second.item].base.cpu && first.high == second.high &&
                first.begin > second.begin)
                threads->fail("a thread's items start out of order");
        }
}

void switched(int, int to)
{
    in_schedule = to >= 0;
    if (to >= 0)
        context_here = &contexts[to];
}

void scenario(const char *what, pw_strategy_t strategy, int cpus, const std::function<void()> &program,
              unsigned preemptions = bound)
{
    if (only && !strstr(what, only))
        return;
    model::schedules every(preemptions, switched);
    threads = &every;
    every.explore(
        [&] {
            in_schedule = false;
            set_up(strategy, cpus);
            program();
        },
        check);
    printf("calls: %s: holds in %lu schedules\n", what, every.count());
    fflush(stdout);
}

constexpr pw_strategy_t by_queue = PW_STRATEGY_QUEUE, by_lock = PW_STRATEGY_LOCK;

// The program of a model: the number of preemptions, and which scenarios, by hand only.
int explore_all(int count, char **arguments, std::initializer_list<void (*)()> scenarios)
{
    if (count > 1)
        bound = static_cast<unsigned>(atoi(arguments[1]));
    if (count > 2)
        only = arguments[2];
    create_workers();
    create_lanes();
    context_here = &contexts[0];
    for (void (*each)() : scenarios)
        each();
    return 0;
}

} // namespace explore

#include "model_calls_rest.h"
