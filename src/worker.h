// SPDX-License-Identifier: MIT
// A CPU's worker: a pinned thread and the queue that it serves.
//
// Who writes what, by cache line:
//   queue's tail, idle    producers; the worker when it goes to sleep and wakes
//   queue's head, link    the worker, and a producer when the queue was empty
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

#include <pthread.h>

#include <pwlocks/percpu.h>

namespace pw::detail {

struct worker_options {
    sched_class sched;
    int sched_value;
    long idle_spin_ns;
};

// Lives in per-CPU memory, so on its own node; kept for the life of the process and used again by the next start.
struct worker {
    batch_queue queue;

    // Written by the worker for each item; flush looks.
    alignas(PW_CACHE_LINE) run_slot<native_atomics, pw_struct> running;
    bool leaving = false; // its exit item has run

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
};

// The worker of a CPU, active or not; null before the first start. `cpu` is within possible_cpus().
inline worker *worker_of(int cpu)
{
    return pw_likely(gate.workers) ? pw_per_cpu_ptr(gate.workers, cpu) : nullptr;
}

// Takes memory for the workers of all CPUs. 0 or -ENOMEM. Once.
int create_workers();

// Starts the thread of an initialized worker: it waits, bound to its CPU, for items. 0, -EAGAIN, -ENOMEM. Does not wait for the thread
// to run, so a CPU that a real-time loop keeps for itself does not keep us.
int start_worker(worker &self, const topology &machine);

// Ends the thread behind everything queued before. Nobody queues any more.
void stop_worker(worker &self);

// Queues an item that the caller has claimed, and wakes the worker if it sleeps. Inside a passage, or while a stop waits for us.
inline void enqueue(worker &self, pw_struct &item)
{
    PW_INJECT();
    self.queue.enqueue(&item);
    PW_INJECT();
    if (pw_unlikely(self.queue.idle.must_wake()))
        futex_wake(self.queue.idle.address(), 1);
}

// How long a flush spins before it sleeps, in pauses: some microseconds, or nothing where there is one CPU.
int flush_spins();

// An item of our own on a flusher's stack: reached behind everything that was queued to a worker before it. It is queued inside a
// passage that saw the gate open or draining; the wait comes after the passage.
class queue_barrier {
  public:
    void queue(worker &behind);
    void wait(int spins) { done_.wait(spins); }

  private:
    static void reached(pw_struct *item);
    pw_struct item_ = {};
    completion done_;
};

} // namespace pw::detail
