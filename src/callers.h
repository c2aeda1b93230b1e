// SPDX-License-Identifier: MIT
// The threads that call in: what the library knows of each, and the gate that they pass to queue or flush.
//
// Who writes what: a thread_context, its own thread; a caller's row pointer, whoever starts the runtime, while the gate is
// closed (or the caller itself when it registers, under the registry's mutex); the gate, start and stop.
#pragma once

#include "counters.h"
#include "item.h"
#include "options.h"
#include "quiesce.h"
#include "stat.h"

#include <pwlocks/base.h>

namespace pw::detail {

struct native_barriers : native_atomics {
    static void light_fence();
    static void heavy_fence();
};

// Whether work is accepted. Read by every call; written only by start and stop.
enum class gate_state : uint32_t {
    never,    // not started: the next use starts it
    open,     // queue and flush
    draining, // stopping: queueing is refused, flush still waits for what was accepted
    closed    // stopped, until an explicit start
};

struct worker;
class lane;

struct alignas(PW_CACHE_LINE) gate_line {
    std::atomic<gate_state> state{gate_state::never};
    // Set once before the gate first opens; then read-mostly.
    std::atomic<bool> expedited{false}; // membarrier(PRIVATE_EXPEDITED) is registered: the light fence is free
    pw_strategy_t strategy = PW_STRATEGY_QUEUE;
    stats_choice stats = stats_choice::on;
    uint32_t generation = 0; // counts starts and forks: what belongs to an earlier one is not touched
    int cpus = 0;            // possible_cpus()
    worker *workers = nullptr; // per-CPU pointers, null before the first start
    lane *lanes = nullptr;
};
extern gate_line gate;

inline void native_barriers::light_fence()
{
    if (pw_likely(gate.expedited.load(std::memory_order_relaxed))) // relaxed: set before any other thread could rely on it
        std::atomic_signal_fence(std::memory_order_seq_cst);
    else
        std::atomic_thread_fence(std::memory_order_seq_cst);
}

// One for each thread that called in; never freed, handed on when its thread ends.
struct alignas(PW_CACHE_LINE) caller {
    caller_flag<native_barriers> flag;
    uint32_t index = 0;
    stat::caller_row *row = nullptr; // in the current stat segment; valid while the gate is open or draining
    caller *next_registered = nullptr;
    caller *next_free = nullptr;
};

struct run_record;
extern pw_workqueue no_workqueue; // of a thread that runs no item

struct thread_context {
    caller *self = nullptr;
    worker *worker_here = nullptr;   // this thread is that worker
    run_record *running = nullptr;   // lock strategy: the innermost item that this thread runs
    pw_func_t function = nullptr;    // the innermost work function that this thread runs, under either strategy
    const pw_workqueue *wq = &no_workqueue; // that its item came through; null: the system one
    // Lock strategy: the last ticket that this thread depends on, by CPU number modulo 8; see lane.h. CPUs that share a place
    // keep the larger one, which only makes a caller hand over more than it must.
    uint64_t last_ticket[8] = {};
};
extern thread_local constinit thread_context this_thread __attribute__((tls_model("initial-exec")));

// Registers the calling thread. Null if no memory is left. Takes a mutex: not from a signal handler.
caller *register_caller();

// A place for a thread that does not exist yet, which adopts it. Null if no memory is left.
caller *reserve_caller();
void unreserve_caller(caller *place);
void adopt_caller(caller *place);

inline caller *this_caller()
{
    caller *self = this_thread.self;
    return pw_likely(self) ? self : register_caller();
}

// All callers by index, in pages: read without a lock, since a page stays and is published before its callers are.
inline constexpr uint32_t callers_a_page = 64, most_callers = 1u << item_state::index_bits;
extern caller *caller_pages[most_callers / callers_a_page];

// The caller's passage: while it exists, a stop that begins waits for it. Short, and runs no function of the program.
class passage {
  public:
    explicit passage(caller *self) : self_(self)
    {
        self_->flag.enter();
        state_ = look_at_gate(gate.state);
    }
    ~passage() { leave(); }
    passage(const passage &) = delete;
    passage &operator=(const passage &) = delete;

    // Before its end, where something long follows.
    void leave()
    {
        if (self_)
            self_->flag.leave();
        self_ = nullptr;
    }

    gate_state state() const { return state_; }
    stat::caller_row &row() const { return *self_->row; }

    // What an item that is claimed in this passage says of its claimant.
    uint64_t claim_mark() const { return item_state::claimed_by(self_->index, self_->flag.passage_number()); }

    uint32_t index() const { return self_->index; }

  private:
    caller *self_;
    gate_state state_;
};

inline bool claimant_is_inside(uint64_t state)
{
    uint32_t index = item_state::claimant(state);
    return caller_pages[index / callers_a_page][index % callers_a_page].flag.in_passage(item_state::passage_of(state),
                                                                                       item_state::passage_bits);
}
void wait_until_claimant_left_slow(uint64_t state);

// The item was found claimed with this state: waits until the claimant has queued it; see item.h. The claimant is another thread.
inline void wait_until_claimant_left(uint64_t state)
{
    if (pw_unlikely(claimant_is_inside(state)))
        wait_until_claimant_left_slow(state);
}

// The same, where it may be the calling thread, which claims in the very passage that the item was found in only by a signal handler.
inline void wait_until_queued(const passage &inside, uint64_t state)
{
    if (pw_likely(item_state::claimant(state) != inside.index()))
        wait_until_claimant_left(state);
}

// Waits until every caller has left the passage that it is in now. Not inside a passage. May sleep.
void wait_for_passages();

// Start: gives every registered caller its row, and every later one when it registers. The gate is closed.
void attach_rows(stat_segment &segment);
// Stop: no more rows. Every caller is outside.
void detach_rows();

// Closes the gate and waits until nobody who saw it open is still inside. May sleep.
void close_gate_and_wait(gate_state closed);

// Registers with membarrier(2) for close_gate_and_wait(). Once; before the gate first opens.
void prepare_gate();

// Fork: the registry is consistent in the child, which then forgets every other thread.
void callers_before_fork();
void callers_after_fork_parent();
void callers_after_fork_child();

} // namespace pw::detail
