// SPDX-License-Identifier: MIT
// Start and stop.
//
// What is shared: the gate (callers.h), written here only; workers, lanes and the stat segment, set up here while the gate is
// closed. Two mutexes: `lifecycle` makes starts and stops take turns and is held while functions of the program run; `building` covers the
// changes themselves and is never held while waiting for the program, so that fork may take it.
#include "runtime.h"

#include "callers.h"
#include "lane.h"
#include "lock.h"
#include "percpu.h"
#include "refusal.h"
#include "report.h"
#include "stat_visit.h"
#include "strategy.h"
#include "submit.h"
#include "symbol.h"
#include "timer.h"
#include "topology.h"
#include "watched.h"
#include "worker.h"
#include "workqueue.h"

#include <cstdio>
#include <mutex>
#include <new>
#include <pthread.h>
#include <vector>

#include <pwlocks/cpu.h>
#include <pwlocks/runtime.h>

namespace pw::detail {
namespace {

constinit std::mutex lifecycle;
constinit std::mutex building;

// Never destroyed: workers use it until the process ends.
union immortal_segment {
    constexpr immortal_segment() : none() {}
    ~immortal_segment() {}
    char none;
    stat_segment value;
};
constinit immortal_segment segment_storage;
constinit bool segment_made = false;

stat_segment &segment()
{
    if (!segment_made) {
        ::new (&segment_storage.value) stat_segment;
        segment_made = true;
    }
    return segment_storage.value;
}

// While it exists, the thread cannot be cancelled: a start or stop is done whole.
class no_cancellation {
  public:
    no_cancellation() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &saved_); }
    ~no_cancellation() { pthread_setcancelstate(saved_, nullptr); }
    no_cancellation(const no_cancellation &) = delete;
    no_cancellation &operator=(const no_cancellation &) = delete;

  private:
    int saved_;
};

// Options in force: the operator's, then the program's, then the defaults.
struct plan {
    option_set options;
    std::vector<worker_cpu> cpus;
};

// What pw-stat shows as ignored: what resolving found, and below.
constinit ignored_options ignored = {};

int make_plan(const option_set &program, const topology &machine, plan &out)
{
    static constinit bool told = false; // once a process, not at every start
    const resolution &operators = resolved();
    if (!told)
        ignored = operators.ignored;
    out.options = operators.options;
    bool by_operator = out.options.cpus != cpus_choice::unset;
    out.options.fill_from(program);
    if (!by_operator)
        return plan_workers(machine, out.options, "pw_runtime_start", out.cpus) ? 0 : -EINVAL;
    bool some = plan_workers(machine, out.options, nullptr, out.cpus);
    if (!told && some)
        plan_workers(machine, out.options, operators.cpus_source, out.cpus); // says which CPUs are left out
    if (!some) {
        // What the operator got wrong never stops the program.
        if (!told) {
            ignored_line line;
            line.append({operators.cpus_source, ": cpus: none of these CPUs is ours, ignored"});
            line.publish(&ignored);
        }
        out.options.cpus = cpus_choice::allowed;
        plan_workers(machine, out.options, nullptr, out.cpus);
    }
    told = true;
    return 0;
}

// How long a worker stays awake behind its last item: as long as a wake-up takes, which it measures. Not where it would burn a CPU that is
// meant to be left alone, or the only one, nor above everybody else's priority.
long idle_spin_ns(const plan &plan, const worker_cpu &cpu)
{
    if (plan.options.idle_spin_us >= 0)
        return plan.options.idle_spin_us * 1000L;
    if (cpu.isolated || plan.cpus.size() == 1 || plan.options.sched == sched_class::fifo)
        return 0;
    return idle_spin_measured;
}

cpu_mask housekeeping_cpus(const topology &machine)
{
    return machine.allowed().without(read_isolated({}));
}

// Where a lane's deputy runs: on another CPU, so that it never disturbs the lane's own, and on none that is isolated, if there is one
// that we may run on; rather on one that has a worker.
int deputy_cpu(const plan &plan, const cpu_mask &housekeeping, int lane_cpu)
{
    for (const worker_cpu &each : plan.cpus)
        if (each.cpu != lane_cpu && !each.isolated)
            return each.cpu;
    for (int cpu = 0; cpu < possible_cpus(); ++cpu)
        if (cpu != lane_cpu && housekeeping.contains(cpu))
            return cpu;
    return lane_cpu;
}

void init_worker(const plan &plan, size_t index)
{
    const worker_cpu &cpu = plan.cpus[index];
    worker &self = *worker_of(cpu.cpu);
    ::new (&self) worker;
    self.segment = &segment();
    self.block = &segment().cpu(index);
    self.ledger.init(segment(), index, gate.stats);
    self.cpu = cpu.cpu;
    self.index = index;
    self.options = {plan.options.sched, plan.options.sched_value, idle_spin_ns(plan, cpu)};
    self.generation = gate.generation;
    snprintf(self.name, sizeof self.name, "pw/%d", cpu.cpu);
}

void init_lane(const plan &plan, const cpu_mask &housekeeping, size_t index)
{
    const worker_cpu &cpu = plan.cpus[index];
    worker_options options = {plan.options.sched, plan.options.sched_value, 0};
    lane_of(cpu.cpu)->init(cpu.cpu, index, deputy_cpu(plan, housekeeping, cpu.cpu), options, segment());
}

// Starts every thread, or none. 0, -EAGAIN, -ENOMEM.
int start_threads(const plan &plan, const topology &machine)
{
    std::vector<worker *> threads;
    cpu_mask housekeeping = housekeeping_cpus(machine);
    for (size_t i = 0; i < plan.cpus.size(); ++i) {
        init_worker(plan, i);
        threads.push_back(worker_of(plan.cpus[i].cpu));
        if (gate.strategy == PW_STRATEGY_LOCK) {
            init_lane(plan, housekeeping, i);
            threads.push_back(&lane_of(plan.cpus[i].cpu)->deputy());
        }
    }
    for (size_t i = 0; i < threads.size(); ++i)
        if (int error = start_worker(*threads[i], machine)) {
            while (i > 0)
                stop_worker(*threads[--i]);
            return error;
        }
    return 0;
}

int build(const option_set &program)
{
    topology machine;
    plan plan;
    if (int error = make_plan(program, machine, plan))
        return error;
    if (int error = strategy_from_program(program.strategy)) {
        report("pw_runtime_start: pwlocks: the strategy is in use already: it cannot change any more");
        return error;
    }
    if (int error = create_workers())
        return error;
    if (int error = create_lanes())
        return error;
    prepare_gate();
    gate.cpus = possible_cpus();
    ++gate.generation;
    gate.strategy = use_strategy();
    fix_lock_method();
    gate.stats = plan.options.stats == stats_choice::unset ? stats_choice::on : plan.options.stats;
    stat_facts facts = {gate.strategy, pw_strategy_source(), lock_method(), &ignored, plan.cpus, gate.stats == stats_choice::full};
    if (int error = segment().create(facts, gate.stats != stats_choice::off))
        return error;
    attach_rows(segment());
    show_workqueues(&segment());
    if (int error = start_threads(plan, machine)) {
        detach_rows();
        show_workqueues(nullptr);
        segment().destroy();
        return error;
    }
    for (const worker_cpu &each : plan.cpus)
        worker_of(each.cpu)->active = true;
    if (plan.options.watchdog_ms > 0)
        start_watching(plan.options.watchdog_ms, housekeeping_cpus(machine), segment());
    publish_stat(segment());
    open_gate(gate.state, gate_state::open);
    return 0;
}

int start(const char *options)
{
    option_set program;
    if (options && parse_options(options, "pw_runtime_start", false, program, nullptr) != 0)
        return -EINVAL;
    try {
        std::lock_guard guard(building);
        return build(program);
    } catch (const std::bad_alloc &) {
        if (segment().created()) {
            detach_rows();
            show_workqueues(nullptr);
            segment().destroy();
        }
        return -ENOMEM;
    }
}

void before_fork()
{
    building.lock();
    percpu_before_fork();
    callers_before_fork();
    symbols_before_fork();
    workqueues_before_fork();
    refusals_before_fork();
}

void after_fork_parent()
{
    refusals_after_fork(false);
    workqueues_after_fork(false);
    symbols_after_fork();
    callers_after_fork_parent();
    percpu_after_fork_parent();
    building.unlock();
}

// The child has this thread only: no worker, nothing queued, and its parent's segment is not its own.
void after_fork_child()
{
    refusals_after_fork(true);
    workqueues_after_fork(true);
    forget_watching();
    waits_after_fork_child();
    symbols_after_fork();
    callers_after_fork_child();
    percpu_after_fork_child();
    lock_after_fork_child();
    stat_after_fork_child();
    ++gate.generation;
    gate.state.store(gate_state::never, std::memory_order_relaxed); // relaxed: nobody else is here
    for (int cpu = 0; cpu < possible_cpus(); ++cpu) {
        if (worker *each = worker_of(cpu); each && each->active)
            each->active = false;
    }
    if (segment_made)
        segment().destroy();
    ::new (&lifecycle) std::mutex;
    building.unlock();
}

constinit std::atomic<unsigned long> refused{0};

// Stop: what is armed runs now, like everything else that was accepted. Where no memory is left for the place of an item that was
// cancelled before, its worker gets to that place, and then needs none.
void queue_everything_armed()
{
    caller *self = this_caller();
    for_each_active([self](worker &each) {
        backoff wait;
        for (;;) {
            {
                passage inside(self);
                if (queue_armed_items(each, nullptr, inside) >= 0)
                    return;
            }
            wait.pause();
        }
    });
}

// Behind strategy.cc's, which has priority 101.
[[gnu::constructor(102)]] void at_load()
{
    pthread_atfork(before_fork, after_fork_parent, after_fork_child);
    prepare_locks();
}

// The first CPU of [from, end) that has a worker, or -1. Starts what was never started; where that fails it is not tried for each CPU anew.
int first_with_worker(int from, int end)
{
    caller *self = this_caller();
    if (from >= end || !self)
        return -1;
    for (;;) {
        {
            passage inside(self);
            if (inside.state() == gate_state::closed)
                return -1;
            if (inside.state() != gate_state::never) {
                while (from < end && !worker_of(from)->active)
                    ++from;
                return from < end ? from : -1;
            }
        }
        if (start_on_first_use() != 0)
            return -1;
    }
}

} // namespace

void note_refusal()
{
    refused.fetch_add(1, std::memory_order_relaxed); // relaxed: read when everybody has left
}

int start_on_first_use()
{
    // From inside work the runtime runs, or is being stopped by a thread that waits for us.
    if (in_work())
        return -ESHUTDOWN;
    no_cancellation whole;
    std::lock_guard turn(lifecycle);
    switch (gate.state.load(std::memory_order_relaxed)) { // relaxed: the mutex orders
    case gate_state::never:
        return start(nullptr);
    case gate_state::open:
        return 0;
    default:
        return -ESHUTDOWN;
    }
}

} // namespace pw::detail

using namespace pw::detail;

int pw_runtime_start(const char *options)
{
    no_cancellation whole;
    // The thread that stops the runtime waits for our function: do not wait for it.
    if (in_work())
        return gate.state.load(std::memory_order_acquire) == gate_state::open ? -EALREADY : -EDEADLK;
    std::lock_guard turn(lifecycle);
    if (gate.state.load(std::memory_order_relaxed) == gate_state::open) // relaxed: the mutex orders
        return -EALREADY;
    return start(options);
}

int pw_runtime_stop(void)
{
    if (in_work())
        return -EDEADLK;
    if (!this_caller())
        return -ENOMEM;
    no_cancellation whole;
    std::lock_guard turn(lifecycle);
    if (gate.state.load(std::memory_order_relaxed) != gate_state::open) // relaxed: the mutex orders
        return -ESRCH;

    // 1. Nothing more is accepted. Flush still waits for what was.
    close_gate_and_wait(gate_state::draining);
    // 2. What was accepted runs to its end; functions may flush meanwhile.
    queue_everything_armed();
    if (gate.strategy == PW_STRATEGY_LOCK)
        for_each_active([](worker &each) { lane_of(each.cpu)->wait_until_idle(); });
    for_each_active([](worker &each) {
        queue_barrier behind, behind_high;
        behind.queue(each, item_state::normal, nullptr);
        behind_high.queue(each, item_state::high, nullptr);
        behind.wait(0);
        behind_high.wait(0);
    });
    // 3. Nothing is left to flush.
    close_gate_and_wait(gate_state::closed);
    // 4. The threads end, behind the last flush's barrier.
    stop_watching();
    for_each_active([](worker &each) {
        if (gate.strategy == PW_STRATEGY_LOCK)
            stop_worker(lane_of(each.cpu)->deputy());
        stop_worker(each);
    });
    withdraw_stat();
    std::lock_guard guard(building);
    for_each_active([](worker &each) { each.active = false; });
    detach_rows();
    show_workqueues(nullptr);
    segment().destroy();
    if (unsigned long late = refused.exchange(0, std::memory_order_relaxed)) // relaxed: everybody has left
        report("pw_runtime_stop: %lu queueings from inside work were refused", late);
    return 0;
}

bool pw_cpu_online(int cpu)
{
    return cpu >= 0 && cpu < possible_cpus() && first_with_worker(cpu, cpu + 1) == cpu;
}

int pw_next_cpu(int cpu)
{
    return cpu < possible_cpus() ? first_with_worker(cpu < 0 ? 0 : cpu + 1, possible_cpus()) : -1;
}
