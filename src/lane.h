// SPDX-License-Identifier: MIT
// The lock strategy's side of a CPU: callers run items for it themselves, and the lane keeps for them the guarantees that a
// worker gives by being alone. One lane per CPU; doc/MEMORY-ORDER.md, "Lanes".
//
// Everything in a lane, and the state and ticket of an item that goes through one, is written under its mutex. The program's
// functions run outside of it. What runs is recorded on the stack of the thread that runs it, since the item may be freed by
// its own function.
//
// An item that is queued while it runs is handed to the thread that runs it, which runs it once more. That alone would break the order
// of a thread's items (guarantee 5):
//   1. T queues X, which R runs: handed to R; 2. T queues Y, which nobody runs, and runs it; 3. R runs X once more, behind Y.
// So what is handed over has a ticket, a thread remembers the last ticket that it depends on, and while that one has not finished,
// whatever else it queues here goes into the lane's list behind it. The list is worked off by a thread of the lane's own, its deputy. Not
// by R, which may hold locks that Y takes; not by T waiting for R, which may be waiting for T; not by a thread that other CPUs'
// work needs, since Y may be waiting for that; and away from the CPU, which is not to be disturbed, wherever there is another.
#pragma once

#include "worker.h"

#include <mutex>

namespace pw::detail {

// One running function. On the stack of the thread that runs it.
struct run_record {
    pw_struct *item = nullptr;
    int cpu = -1;
    uint32_t generation = 0;
    uint64_t ticket = 0;             // of this execution; 0: it was not handed over
    uint64_t again = 0;              // ticket of the execution that was handed to this thread; 0: none
    run_record *next_in_lane = nullptr;
    run_record *outer = nullptr;     // what the same thread ran when it queued this
    stat::caller_row *row = nullptr; // of the thread
};

class lane {
  public:
    // Start, under the lock strategy: gives the lane its CPU, that CPU's index in the stat segment, and the deputy's place.
    void init(int cpu, size_t index, int deputy_cpu, const worker_options &options, stat_segment &segment);

    // Its thread; start and stop see to it.
    worker &deputy() { return deputy_; }

    enum class admission { already_pending, handed_over, run_here };

    // Inside a passage that saw the gate open; record.row is set. `run_here`: `record` is listed and run() must follow, outside
    // of the passage.
    admission admit(pw_struct &item, run_record &record);

    // Runs what was admitted, and again for as long as it is handed over to us.
    void run(run_record &record);

    // Waits until what was queued before has run. 0 or -EDEADLK. `inside` ends before the wait begins.
    int flush(const pw_struct &item, passage &inside);

    // Stop: waits until nothing runs and nothing is handed over. Nobody queues any more.
    void wait_until_idle();

  private:
    struct waiter;

    run_record *find(const pw_struct *item) const;
    bool outstanding(uint64_t ticket) const;
    void depend(uint64_t ticket) const;
    void hand_over(pw_struct &item, run_record &record);
    void list(pw_struct &item);
    bool listed(const pw_struct &item) const;
    bool waits_for_us(const pw_struct &item) const;
    bool head_ready() const;
    void kick();
    void execute(run_record &record);
    bool run_again(run_record &record);
    void abandon(run_record &record);
    void unlink(const run_record &record);
    void wake_waiters(const run_record *ended);
    bool idle() const { return !running_ && !first_; }
    void work_off();
    static void work_off_item(pw_struct *item);

    // First, so that the item's address is the lane's: what the deputy runs.
    pw_struct list_item_ = {};
    bool kicked_ = false; // the deputy has the list
    std::mutex mutex_; // not a priority-inheriting one: its hand-overs cost 20 times as much when threads contend
    run_record *running_ = nullptr;
    pw_struct *first_ = nullptr; // handed over behind another item, in the order of their tickets, linked through next
    uint64_t drawn_ = 0;         // tickets; never reset, since threads remember them
    waiter *waiters_ = nullptr;
    int cpu_ = -1;
    size_t index_ = 0;
    stat_segment *segment_ = nullptr;
    worker deputy_;
    stat::cpu_block deputy_block_ = {}; // nobody looks: what the deputy runs is in its row as a caller
};

// The lane of a CPU; null before the first start. Memory as for the workers. `cpu` is within possible_cpus().
inline lane *lane_of(int cpu)
{
    return gate.lanes ? pw_per_cpu_ptr(gate.lanes, cpu) : nullptr;
}
int create_lanes();

// Whether this thread runs a function for that CPU right now, innermost, under either strategy.
bool works_for(int cpu);

} // namespace pw::detail
