// SPDX-License-Identifier: MIT
// The lock strategy's side of a CPU: callers run items for it themselves, and the lane keeps for them the guarantees that a
// worker gives by being alone. One lane per CPU; doc/MEMORY-ORDER.md, "Lanes".
// lane.cc admits, lane_run.cc runs, lane_wait.cc waits and takes back.
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

#include "lane_stat.h"
#include "worker.h"

#include <mutex>

namespace pw::detail {

// What a wait in a lane is for: the executions of an item, or of a workqueue's items, that were accepted up to then.
struct work_key {
    const pw_struct *item = nullptr; // null: all of the workqueue
    const pw_workqueue *wq = nullptr;
    uint64_t limit = 0; // the last number that the lane had given out

    bool covers(const pw_struct *which, const pw_workqueue *of, uint64_t number) const
    {
        return which && number <= limit && (item ? which == item : of == wq);
    }
};

// One running function. On the stack of the thread that runs it.
struct run_record {
    pw_struct *item = nullptr; // null: a call of pw_on_each_cpu()
    const pw_workqueue *wq = nullptr;
    int cpu = -1;
    uint32_t generation = 0;
    uint64_t serial = 0;             // the number that it was admitted under
    uint64_t ticket = 0;             // of this execution; 0: it was not handed over
    uint64_t again = 0;              // ticket of the execution that was handed to this thread; 0: none
    run_record *next_in_lane = nullptr;
    run_record *outer = nullptr;     // what the same thread ran when it queued this
    stat::caller_row *row = nullptr; // of the thread
    const thread_context *thread = nullptr;
    execution noted; // for the stat segment

    uint64_t number() const { return ticket ? ticket : serial; }
};

class refusal;

class lane {
  public:
    // Start, under the lock strategy: gives the lane its CPU, that CPU's index in the stat segment, and the deputy's place.
    void init(int cpu, size_t index, int deputy_cpu, const worker_options &options, stat_segment &segment);

    // Its thread; start and stop see to it. It also keeps the time of the lane's delayed items, under the lane's mutex.
    worker &deputy() { return deputy_; }

    enum class admission { already_pending, handed_over, run_here, refused };

    // Inside a passage that saw the gate open; record.row is set. `run_here`: `record` is listed and run() must follow, outside
    // of the passage. `refused`: it is being cancelled.
    admission admit(pw_struct &item, pw_workqueue *wq, run_record &record);

    // The same for a delayed item that was armed: for this one if it still is, and nothing happens if not (already_pending); with null,
    // for the earliest one that was due at that time: already_pending if there is none. Never refused: it was accepted.
    admission admit_armed(pw_delayed *item, uint64_t now, run_record &record);

    // Every armed item that satisfies the predicate is handed over, to the deputy. How many there were.
    template <typename Predicate>
    size_t hand_over_armed(stat::caller_row &row, Predicate predicate)
    {
        std::lock_guard held(mutex_);
        timer_heap chosen;
        deputy_.timers.heap.move_if(predicate, chosen);
        deputy_.timers.update();
        size_t count = chosen.size();
        while (pw_delayed *each = chosen.pop())
            hand_over_now(*each, row);
        return count;
    }

    // Runs what was admitted, and again for as long as it is handed over to us.
    void run(run_record &record);

    // An heir of the thread that ends in what `from` is about, which waits: ends that, and takes what was handed over with it. Then run()
    // must follow; false if it was taken back meanwhile.
    bool inherit(run_record &from, run_record &record);

    // A call of pw_on_each_cpu() for this CPU: inside a passage that saw the gate open; and then outside of it, by the same thread.
    void begin_call(void (*function)(int cpu, void *arg), run_record &record);
    void make_call(void (*function)(int cpu, void *arg), void *arg, run_record &record);
    void end_call(run_record &record, bool made);

    // Takes back what has not started, or is armed. Returns whether there was anything.
    bool cancel(pw_struct &item, stat::caller_row &row);

    // Under the deputy's timers' guard: the same.
    bool take_back(pw_struct &item, stat::caller_row &row);

    // The same as cancel(), and waits for what runs. 1, 0, -EDEADLK. `inside` ends before the wait begins.
    int cancel_sync(pw_struct &item, passage &inside);

    // Waits until what was queued before has run. 0 or -EDEADLK. `inside` ends before the wait begins.
    int flush(const pw_struct &item, passage &inside);

    // A wait for a workqueue's items, in steps, since it goes on in other lanes as well. On the waiter's stack.
    struct waiter {
        work_key key;
        size_t left = 0;      // executions that are still to end
        bool for_idle = false; // or until the lane is idle
        refusal *refused = nullptr; // of an item, until then
        completion done;
        waiter *next = nullptr;
    };
    // Whether there is anything to wait for; fills in the key.
    bool look_for(const pw_workqueue *wq, work_key &key) const;
    // False if there is nothing to wait for any more. Else the waiter's completion follows.
    bool begin_wait(waiter &self);

    // Stop: waits until nothing runs and nothing is handed over. Nobody queues any more.
    void wait_until_idle();

    // For waits.cc: the thread that runs what must end before what the key covers has, and was admitted next behind `serial`, which
    // becomes its number; null if there is none.
    const thread_context *next_blocker(const work_key &key, uint64_t &serial) const;

  private:
    run_record *find(const pw_struct *item) const;
    bool outstanding(uint64_t ticket) const;
    void depend(uint64_t ticket) const;
    void note_hand_over(pw_struct &item, pw_workqueue *wq, uint64_t queued_at, stat::caller_row &row);
    void hand_over_now(pw_delayed &delayed, stat::caller_row &row);
    admission admit_locked(pw_struct &item, pw_workqueue *wq, run_record &record, bool accepted);
    void call_deputy();
    bool on_deputy() const { return this_thread.worker_here == &deputy_; }
    void begin(pw_struct *item, const pw_workqueue *wq, run_record &record);
    void begin_handed_over(pw_struct &item, run_record &record);
    void list(pw_struct &item);
    bool unlist(pw_struct &item);
    size_t count_covered(const work_key &key) const;
    bool begin_wait_locked(waiter &self);
    bool head_ready() const;
    void kick();
    void execute(run_record &record);
    bool run_again(run_record &record);
    void abandon(run_record &record);
    void end_execution(run_record &record);
    void end_for_good(const run_record &record);
    void unlink(const run_record &record);
    void wake_waiters(const pw_struct *item, const pw_workqueue *wq, uint64_t number);
    void wake_if_idle();
    bool idle() const { return !running_ && !first_; }
    void work_off();
    static void work_off_item(pw_struct *item);

    // First, so that the item's address is the lane's: what the deputy runs.
    pw_struct list_item_ = {};
    bool kicked_ = false; // the deputy has the list
    mutable futex_mutex mutex_; // not a priority-inheriting one: its hand-overs cost 20 times as much when threads contend
    run_record *running_ = nullptr;
    // Handed over behind another item, in the order of their tickets, linked through next.
    pw_struct *first_ = nullptr, *last_ = nullptr;
    uint64_t drawn_ = 0;         // tickets and serials; never reset, since threads remember them
    waiter *waiters_ = nullptr;
    int cpu_ = -1;
    size_t index_ = 0;
    lane_stat ledger_;
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
