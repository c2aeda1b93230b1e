// SPDX-License-Identifier: MIT
#include "worker.h"

#include "block_signals.h"
#include "lane.h"
#include "report.h"
#include "run_function.h"
#include "stand_in.h"
#include "timer.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

namespace pw::detail {
namespace {

constexpr uint64_t first_wake_cost_ns = 50'000, least_wake_cost_ns = 5'000, most_wake_cost_ns = 200'000;

// Items between two looks at the clock, where a timer is armed.
constexpr unsigned items_a_look = 16;

// When there is a rest between taking a batch and running it, and how long that is: from so many items in a batch on, as worker::flow
// has it, and when so many batches in a row came within so many looks.
constexpr unsigned least_flow = 16 * 3;
constexpr unsigned quick_batches = 8, few_looks = 2;
constexpr int rest_pauses = 32;

// How often a worker that waits looks for work, until it looks at the clock: a round.
constexpr unsigned looks_a_round = 32;

// Takes what has arrived. Its first producer may have been preempted between its two steps, by us if we share its CPU.
bool take(batch_queue &from)
{
    backoff wait;
    batch_queue::taken taken;
    while ((taken = from.take()) == batch_queue::taken::blocked)
        wait.pause();
    return taken == batch_queue::taken::batch;
}

// The next item of what was taken; null at its end.
pw_struct *next_item(batch_queue &from)
{
    backoff wait;
    for (;;) {
        bool blocked;
        pw_struct *item = from.next(blocked);
        if (!blocked)
            return item;
        wait.pause();
    }
}

// Calls of pw_on_each_cpu(), also between two items and inside a function that waits for its own. False: this thread is an orphan.
bool make_calls(worker &self)
{
    uint32_t generation = gate.generation;
    while (self.calls.some_left() || take(self.calls))
        while (pw_struct *call = next_item(self.calls)) {
            call->func(call);
            if (generation != gate.generation)
                return false;
        }
    return true;
}

bool something_arrived(worker &self)
{
    return !self.queue.nothing_arrived() || !self.high.nothing_arrived() || !self.calls.nothing_arrived();
}

bool timer_is_due(const worker &self)
{
    uint64_t earliest = self.timers.earliest();
    return pw_unlikely(earliest != timer_queue::never) && now_ns() >= earliest;
}

// A deputy does not queue what is due, it runs it: outside of all this.
void look_at_timers(worker &self)
{
    if (timer_is_due(self) && !self.through)
        queue_due_items(self);
}

void leave(pw_struct *)
{
    this_thread.worker_here->leaving = true;
}

// Behind the take, before the batch runs. Where many items come one after the other we would run at their producer's heels, and the
// processor, which fetches neighbouring lines ahead, would pull items from under the producer's hands: 60 ns an item instead of 10, the
// queue's own line being pulled to and fro beside. So let the producer get ahead. A call that somebody waits for comes alone, and is
// not kept waiting.
void rest(worker &self)
{
    self.flow += self.batch - self.flow / 16;
    self.batch = 0;
    self.quick = self.looks <= few_looks ? std::min(self.quick + 1, quick_batches) : 0;
    self.looks = 0;
    if (self.flow >= least_flow && self.quick >= quick_batches) {
        for (int i = 0; i < rest_pauses; ++i)
            cpu_relax();
        self.ledger.saw_work(0); // not when the items began
    }
}

// The next node to serve; null if there is nothing. `orphan` is set where this thread is one.
pw_struct *pick(worker &self, bool &orphan)
{
    for (;;) {
        // Relaxed: the exchange behind it acquires what came with it.
        if (pw_unlikely(self.attention.load(std::memory_order_relaxed)) &&
            self.attention.exchange(0, std::memory_order_acquire)) { // pairs with the release in enqueue_first()
            // The last item has ended, and is not what the calls run in.
            self.running.finish();
            self.wq_now = &no_workqueue;
            orphan = !make_calls(self);
            if (orphan)
                return nullptr;
            self.high_first = true;
        }
        if (pw_unlikely(self.high_first)) {
            bool others = self.burst >= PW_WQ_HIGHPRI_BURST && (self.queue.some_left() || take(self.queue));
            if (!others) {
                if (self.high.some_left() || take(self.high)) {
                    self.from_high = true;
                    ++self.burst;
                    return next_item(self.high);
                }
                self.high_first = false;
                self.burst = 0;
            }
        }
        self.from_high = false;
        if (self.queue.some_left()) {
            ++self.batch;
            return next_item(self.queue);
        }
        look_at_timers(self);
        if (take(self.queue)) {
            count(self.block->batches);
            rest(self);
            ++self.batch;
            return next_item(self.queue);
        }
        // A producer may not yet have called for our attention; and a function may have taken what has arrived, to look through it.
        if (self.high.nothing_arrived() && !self.high.some_left() && self.calls.nothing_arrived())
            return nullptr;
        self.attention.store(1, std::memory_order_relaxed); // relaxed: our own
    }
}

// Whether the item of this node is to run now. `node` becomes that item.
bool begin_item(worker &self, pw_struct *&node)
{
    if (pw_likely(node->func)) {
        return pw_likely(item_state::is_here(self.running.start(node, std::atomic_ref(node->state))));
    }
    stand_in *place = stand_in::of(node);
    node = place->item;
    bool runs = self.running.start_at(node, std::atomic_ref(node->state), std::atomic_ref(node->ticket), place->mark(),
                                      [](uint64_t state) { wait_until_claimant_left(state); });
    stand_ins.put(place);
    return runs;
}

// Runs everything that is queued. False if nothing was.
bool serve(worker &self, uint32_t generation)
{
    self.turn.begin();
    bool some = false, orphan = false;
    while (pw_struct *item = pick(self, orphan)) {
        some = true;
        self.ledger.enter_turn();
        PW_INJECT();
        // Before the item may be queued again: all that is needed of it. Relaxed: a claimant of the item's next place may be
        // writing it, and then we do not run it here.
        pw_workqueue *wq = std::atomic_ref(item->wq).load(std::memory_order_relaxed);
        uint64_t queued_at = gate.stats == stats_choice::full ? std::atomic_ref(item->ticket).load(std::memory_order_relaxed) : 0;
        pw_func_t function = item->func;
        bool stood_in = !function;
        if (!begin_item(self, item))
            continue;
        PW_INJECT();
        if (pw_unlikely(stood_in)) {
            wq = std::atomic_ref(item->wq).load(std::memory_order_relaxed);
            function = item->func;
        }
        // Not what is our own: nor what a deputy does, which is counted where it is done.
        bool counted = function != leave && function != queue_barrier::reached && !self.through;
        if (counted) {
            if (!self.from_high)
                self.burst = 0;
            self.ledger.begin_item(function, wq, queued_at);
        }
        self.wq_now = wq;
        run_function(function, item, wq);
        // The item is not ours any more. In a fork's child nothing is: this thread is an orphan there, and `self` may
        // have a thread of its own again.
        if (generation != gate.generation)
            return true;
        if (counted)
            self.ledger.end_item();
        // What is due on a deputy runs between two of its items.
        if (pw_unlikely(self.through != nullptr) && timer_is_due(self))
            break;
        if (pw_unlikely(self.timers.earliest() != timer_queue::never) && ++self.until_clock >= items_a_look) {
            self.until_clock = 0;
            look_at_timers(self);
        }
    }
    if (orphan)
        return true;
    self.wq_now = &no_workqueue;
    self.running.finish();
    self.turn.end();
    self.ledger.leave_turn();
    return some;
}

// How long spinning costs no more than sleeping would: then no choice costs more than twice the better one, whatever comes (A. R.
// Karlin et al., "Competitive randomized algorithms for nonuniform problems", 1990).
uint64_t idle_spin_ns(const worker &self)
{
    if (self.options.idle_spin_ns != idle_spin_measured)
        return static_cast<uint64_t>(self.options.idle_spin_ns);
    return self.wake_cost_ns;
}

// What something takes, by what it took now. Quick to fall and slow to rise: whatever else wanted our CPU has made some seem slow.
uint64_t typical(uint64_t before, uint64_t now)
{
    return now < before ? now : before + (now - before) / 16;
}

// What a wake-up has cost.
void learn_wake_cost(worker &self, uint64_t now)
{
    uint64_t decided = self.woken_at.exchange(0, std::memory_order_relaxed); // relaxed: a hint
    if (decided == 0)
        return;
    uint64_t cost = std::clamp(elapsed(decided, now), least_wake_cost_ns, most_wake_cost_ns);
    self.wake_cost_ns = typical(self.wake_cost_ns, cost);
}

// Waits for the first item of a new batch: awake for as long as idle_spin_us says, then asleep, until a timer is due if one is armed.
void wait_for_work(worker &self)
{
    if (uint64_t spin = idle_spin_ns(self); spin > 0) {
        uint64_t now = self.ledger.take_turn_end();
        if (now == 0)
            now = now_ns();
        uint64_t deadline = now + spin;
        do {
            uint64_t began = now;
            for (unsigned i = 0; i < looks_a_round; ++i) {
                if (something_arrived(self)) {
                    self.ledger.saw_work(began + i * self.round_ns / looks_a_round);
                    return;
                }
                ++self.looks;
                cpu_relax();
            }
            now = now_ns();
            self.round_ns = typical(self.round_ns, elapsed(began, now));
            self.ledger.saw_work(now);
            if (now >= self.timers.earliest())
                return;
        } while (now < deadline);
    }
    self.woken_at.store(0, std::memory_order_relaxed); // relaxed: a hint
    PW_INJECT();
    self.queue.idle.declare();
    PW_INJECT();
    uint64_t earliest = self.timers.earliest();
    if (something_arrived(self) || (earliest != timer_queue::never && now_ns() >= earliest)) {
        self.queue.idle.retract();
        return;
    }
    self.looks = few_looks + 1; // it did not come at once
    uint64_t since = now_ns(), now = since;
    self.block->sleeping.store(since, std::memory_order_relaxed);
    bool due = false;
    while (!due && self.queue.idle.declared()) {
        if (earliest == timer_queue::never) {
            futex_wait(self.queue.idle.address(), idle_word<native_atomics>::idle);
        } else {
            futex_wait_until(self.queue.idle.address(), idle_word<native_atomics>::idle, earliest);
        }
        now = now_ns();
        due = now >= earliest;
    }
    self.block->sleeping.store(0, std::memory_order_relaxed);
    self.ledger.saw_work(now);
    if (due)
        self.queue.idle.retract();
    else
        learn_wake_cost(self, now);
    add(self.block->asleep_ns, now - since);
    count(self.block->wakeups);
}

void warn_once(std::atomic_flag &warned, const char *what, int value, const char *why, int error)
{
    if (!warned.test_and_set(std::memory_order_relaxed))
        report("sched: %s:%d refused: %s; workers run in the ordinary class (needs %s)", what, value, strerror(error),
               why);
}

void *worker_main(void *argument)
{
    auto &self = *static_cast<worker *>(argument);
    uint32_t generation = self.generation;
    // Relaxed and late on purpose: a statistic.
    pw_detail_thread.tid = static_cast<uint32_t>(gettid());
    std::atomic_ref(self.block->worker_tid).store(pw_detail_thread.tid, std::memory_order_relaxed);
    this_thread.worker_here = &self;
    adopt_caller(self.place);
    self.wake_cost_ns = first_wake_cost_ns;
    prctl(PR_SET_TIMERSLACK, 1UL); // the kernel's default would make delayed items 50 us late
    self.ledger.begin_thread();
    self.context.store(&this_thread, std::memory_order_release); // pairs with the acquire in begin_waits()
    if (self.options.sched == sched_class::nice && setpriority(PRIO_PROCESS, 0, self.options.sched_value) != 0) {
        static constinit std::atomic_flag warned;
        warn_once(warned, "nice", self.options.sched_value, "CAP_SYS_NICE or RLIMIT_NICE", errno);
    }
    // What runs here falls due here, for a deputy on behalf of its lane.
    do {
        if (self.through && timer_is_due(self))
            run_due_items(self);
        if (generation == gate.generation && !serve(self, generation) && !self.leaving)
            wait_for_work(self);
    } while (generation == gate.generation && !self.leaving);
    // In a fork's child that returned from the function which forked: glibc ends a process with its last thread, but workers that
    // the child has started would keep it for ever, deaf to signals.
    if (generation != gate.generation)
        exit(EXIT_SUCCESS);
    return nullptr;
}

} // namespace

int create_workers()
{
    if (!gate.workers)
        gate.workers = static_cast<worker *>(pw_alloc_percpu(sizeof(worker), alignof(worker)));
    return gate.workers ? 0 : -ENOMEM;
}

int start_worker(worker &self, const topology &machine)
{
    self.place = reserve_caller();
    if (!self.place)
        return -ENOMEM;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    // The class of whoever starts the runtime is not the workers'.
    pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
    // Without this glibc gives the ordinary class its creator's real-time priority, which the kernel refuses.
    sched_param ordinary = {};
    pthread_attr_setschedparam(&attributes, &ordinary);
    // Pinned from its first instruction on. Not by the thread itself: nobody has to wait until it gets its CPU.
    int error = -machine.pin(attributes, self.cpu);
    if (!error) {
        block_signals blocked;
        error = pthread_create(&self.thread, &attributes, worker_main, &self);
    }
    pthread_attr_destroy(&attributes);
    if (error) {
        report("worker %d: thread not created: %s", self.cpu, strerror(error));
        unreserve_caller(self.place);
        return -EAGAIN;
    }
    pthread_setname_np(self.thread, self.name);
    if (self.options.sched == sched_class::fifo) {
        sched_param parameters = {};
        parameters.sched_priority = self.options.sched_value;
        if (int refused = pthread_setschedparam(self.thread, SCHED_FIFO, &parameters)) {
            static constinit std::atomic_flag warned;
            warn_once(warned, "fifo", self.options.sched_value, "CAP_SYS_NICE or RLIMIT_RTPRIO", refused);
        }
    }
    return 0;
}

void stop_worker(worker &self)
{
    pw_struct exit_item = {};
    exit_item.func = leave;
    exit_item.state = item_state::pending | item_state::linked | item_state::internal;
    enqueue(self, exit_item);
    pthread_join(self.thread, nullptr);
}

void wake_slow(worker &self)
{
    self.woken_at.store(now_ns(), std::memory_order_relaxed); // relaxed: a hint
    self.block->wakes_sent.fetch_add(1, std::memory_order_relaxed); // relaxed: a statistic
    futex_wake(self.queue.idle.address(), 1);
}

void serve_calls_until(worker &self, bool (*over)(void *), void *argument)
{
    int spins = flush_spins();
    while (!over(argument)) {
        if (self.calls.some_left() || !self.calls.nothing_arrived()) {
            if (!make_calls(self))
                return;
        } else if (spins > 0) {
            --spins;
            cpu_relax();
        } else {
            self.queue.idle.declare();
            while (self.queue.idle.declared() && self.calls.nothing_arrived() && !over(argument))
                futex_wait(self.queue.idle.address(), idle_word<native_atomics>::idle);
            self.queue.idle.retract();
        }
    }
}

void drop_cancelled(worker &self, pw_struct &item)
{
    bool high = std::atomic_ref(item.state).load(std::memory_order_relaxed) & item_state::high; // relaxed: set for life
    (high ? self.high : self.queue)
        .remove_if([&](pw_struct &node) { return &node == &item || (!node.func && stand_in::of(&node)->item == &item); },
                   [](pw_struct &node) {
                       if (node.func)
                           std::atomic_ref(node.state).fetch_and(~item_state::linked, std::memory_order_acq_rel);
                       else
                           stand_ins.put(stand_in::of(&node));
                   });
}

bool holds_items_of(worker &self, const pw_workqueue *wq)
{
    bool found = false;
    for (batch_queue *each : {&self.queue, &self.high})
        each->remove_if(
            [&](pw_struct &node) {
                const pw_struct &item = node.func ? node : *stand_in::of(&node)->item;
                // Cautious: also for an old place of an item that is pending at another one.
                found |= item.func != queue_barrier::reached && item.func != leave &&
                         item_state::is_queued(std::atomic_ref(const_cast<uint64_t &>(item.state)).load(std::memory_order_acquire)) &&
                         std::atomic_ref(const_cast<pw_workqueue *&>(item.wq)).load(std::memory_order_relaxed) == wq;
                return false;
            },
            [](pw_struct &) {});
    return found;
}

int flush_spins()
{
    return possible_cpus() > 1 ? 100 : 0;
}

void queue_barrier::queue(worker &behind, uint64_t kind, wait_edge *edge)
{
    item_.func = reached;
    item_.state = item_state::pending | item_state::linked | item_state::internal;
    edge_ = edge;
    enqueue(behind, item_, kind);
}

void queue_barrier::reached(pw_struct *item)
{
    auto *self = reinterpret_cast<queue_barrier *>(item);
    if (self->edge_)
        end_wait(*self->edge_);
    self->done_.complete();
}

} // namespace pw::detail
