// SPDX-License-Identifier: MIT
// A CPU's worker: a pinned thread and the queues that it serves: calls first, then items of high priority, then the others.
//
// Who writes what, by cache line:
//   queues' tails, idle   producers; the worker when it goes to sleep and wakes
//   queues' heads, links  the worker, and a producer when the queue was empty
//   attention             producers of calls and of items of high priority; the worker, when it looks
//   running and the rest  the worker; flush reads running
//
//   may run at once   enqueue   serve (one thread)   flush's look
//   enqueue           yes       yes                  yes
//   serve             yes       no                   yes
#pragma once

#include "batch_queue.h"
#include "callers.h"
#include "completion.h"
#include "futex.h"
#include "inject.h"
#include "item.h"
#include "timer_queue.h"
#include "turn.h"
#include "waits.h"
#include "worker_stat.h"

#include <pthread.h>

#include <pwlocks/percpu.h>

namespace pw::detail {

inline constexpr long idle_spin_measured = -1; // as long as a wake-up takes

struct worker_options {
    sched_class sched;
    int sched_value;
    long idle_spin_ns; // or idle_spin_measured
};

// Lives in per-CPU memory, so on its own node; kept for the life of the process and used again by the next start.
struct worker {
    batch_queue queue;
    batch_queue high;
    batch_queue calls;

    // Set behind every enqueue to `high` or `calls`: one look between two items, at a line that is nearly always ours.
    alignas(PW_CACHE_LINE) std::atomic<uint32_t> attention{0};

    // Written by the worker for each item; flush looks.
    alignas(PW_CACHE_LINE) run_slot<native_atomics, pw_struct> running;
    const pw_workqueue *wq_now = &no_workqueue; // of the item that it runs
    std::atomic<unsigned> serving{0}; // waits for its own calls that it has entered: it makes others' meanwhile
    bool leaving = false;             // its exit item has run
    bool high_first = false;          // there may be items of high priority
    bool from_high = false;                 // what it serves now is one
    unsigned burst = 0;                     // of those, how many since a normal one started
    unsigned batch = 0;                     // items since it took the batch
    unsigned flow = 0;                      // their number in the last batches, a mean in 1/16
    unsigned looks = 0;                     // for something to do, since the last batch
    unsigned quick = 0;                     // batches in a row that came within few of them
    unsigned until_clock = 0;               // items until it looks at the clock, if a timer is armed
    uint64_t wake_cost_ns = 0;              // measured: from a producer's decision to wake it until it runs
    uint64_t round_ns = 0;                  // measured: of looks for work

    // Its own.
    alignas(PW_CACHE_LINE) worker_stat ledger;

    // A line of its own, which flushes look at.
    alignas(PW_CACHE_LINE) turn_word<native_atomics> turn;

    // Written by who wakes it, to be measured.
    alignas(PW_CACHE_LINE) std::atomic<uint64_t> woken_at{0};

    // Armed by anybody.
    alignas(PW_CACHE_LINE) timer_queue timers;

    // Written by start and stop while the gate is closed; read by every caller.
    alignas(PW_CACHE_LINE) bool active = false; // this CPU has a worker
    int cpu = -1;               // where its thread is pinned
    size_t index = 0; // among the CPUs with a worker, in the stat segment
    stat::cpu_block *block = nullptr;
    stat_segment *segment = nullptr;
    worker_options options = {};
    uint32_t generation = 0;
    char name[16] = {}; // of the thread
    pthread_t thread = {};
    caller *place = nullptr; // reserved by start, so that a worker can always queue
    lane *through = nullptr; // a deputy's lane: what falls due here runs there
    std::atomic<const thread_context *> context{nullptr}; // its thread's, once that runs
};

// The worker of a CPU, active or not; null before the first start. `cpu` is within possible_cpus().
inline worker *worker_of(int cpu)
{
    return pw_likely(gate.workers) ? pw_per_cpu_ptr(gate.workers, cpu) : nullptr;
}

template <typename Function>
void for_each_active(Function function)
{
    for (int cpu = 0; cpu < gate.cpus; ++cpu)
        if (worker *each = worker_of(cpu); each && each->active)
            function(*each);
}

// Takes memory for the workers of all CPUs. 0 or -ENOMEM. Once.
int create_workers();

// Starts the thread of an initialized worker: it waits, bound to its CPU, for items. 0, -EAGAIN, -ENOMEM. Does not wait for the thread
// to run, so a CPU that a real-time loop keeps for itself does not keep us.
int start_worker(worker &self, const topology &machine);

// Ends the thread behind everything queued before. Nobody queues any more.
void stop_worker(worker &self);

// Wakes a worker that sleeps: behind an enqueue, or behind anything else that it should see.
void wake_slow(worker &self);
inline void wake(worker &self)
{
    if (pw_unlikely(self.queue.idle.must_wake()))
        wake_slow(self);
}

// Queues an item that the caller has claimed, and wakes the worker if it sleeps. Inside a passage, or while a stop waits for us.
inline void enqueue(worker &self, pw_struct &item)
{
    PW_INJECT();
    self.queue.enqueue(&item);
    PW_INJECT();
    wake(self);
}

// The same ahead of what is in `queue`.
inline void enqueue_first(worker &self, batch_queue &to, pw_struct &item)
{
    PW_INJECT();
    to.enqueue(&item);
    PW_INJECT();
    self.attention.store(1, std::memory_order_release); // pairs with the acquire in pick()
    wake(self);
}

inline void enqueue(worker &self, pw_struct &item, uint64_t kind)
{
    if (pw_unlikely(kind & item_state::high))
        enqueue_first(self, self.high, item);
    else
        enqueue(self, item);
}

// How long a flush spins before it sleeps, in pauses: some microseconds, or nothing where there is one CPU.
int flush_spins();

// Any thread: whether no item has arrived that was not taken, at either priority.
inline bool no_item_arrived(worker &self)
{
    return self.queue.nothing_arrived() && self.high.nothing_arrived();
}

// Any thread: whether everything that was queued before this call has finished. Its writes are visible then. See turn.h.
inline bool has_finished(worker &self)
{
    return self.turn.is_over([&] { return no_item_arrived(self); });
}

// Any thread: the same, and waits for a moment for that. For what is short: a barrier would need the queue's line, and the worker, once
// more. Looks at no item, which may be gone by then.
inline bool finishes_soon(worker &self)
{
    uint32_t first = self.turn.look();
    if (has_finished(self))
        return true;
    for (int spins = 4 * flush_spins(); spins > 0; --spins) {
        if (self.turn.is_over_since(first, [&] { return no_item_arrived(self); }))
            return true;
        if (spins % 8 == 0)
            cpu_relax(); // rarely: it takes as long as a line does to get here
    }
    return false;
}

// The worker itself, inside a function: makes the calls that came meanwhile, until `over()`. In a fork's child: returns at once.
void serve_calls_until(worker &self, bool (*over)(void *), void *argument);

// The worker itself, inside a function: takes everything out of its queues that stands for an item which is not pending.
void drop_cancelled(worker &self, pw_struct &item);

// The worker itself, inside a function: whether it holds something pending of that workqueue, null being the system one.
bool holds_items_of(worker &self, const pw_workqueue *wq);

// An item of our own on a waiter's stack: reached behind everything that was queued to a worker before it, at that priority. It is queued
// inside a passage that saw the gate open or draining; the wait comes after the passage.
class queue_barrier {
  public:
    void queue(worker &behind, uint64_t kind, wait_edge *edge);
    void wait(int spins) { done_.wait(spins); }

    static void reached(pw_struct *item); // its function: by that it is known

  private:
    pw_struct item_ = {};
    wait_edge *edge_ = nullptr;
    completion done_;
};

} // namespace pw::detail
