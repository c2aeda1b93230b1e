// SPDX-License-Identifier: MIT
// What a segment held at one moment: plain values, checked and safe to print. What segment.cc fills in and
// every view and format reads; the tests make their own.
//
// Counters are since the runtime's start and only rise, but a hostile process may make them jump: whoever
// subtracts two snapshots uses since(). Moments are of CLOCK_MONOTONIC, durations in ns. "Here" and "away":
// see stat_layout.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace pw::tool {

// By powers of two: bucket 0 counts zeros, bucket i what is from 2^(i-1) up to 2^i - 1 ns, the last one all
// that is longer, too.
struct histogram {
    std::array<uint64_t, 48> buckets = {};
};

struct lock_counts {
    uint64_t remote = 0;     // queue strategy: taken from another CPU, with membarrier(2)
    uint64_t contended = 0;  // had to be waited for
    uint64_t waited_ns = 0;  // for how long they were
    uint64_t lost_races = 0; // queue strategy: remote attempts that a restartable sequence overtook
};

struct running_function {
    std::string name;
    uint64_t threads = 0;
    uint64_t since_ns = 0; // the earliest known start; 0: none is known
};

// One function's, through one workqueue, on behalf of one CPU.
struct tally_state {
    std::string function;  // readable; "(others)" for what found no place in the table
    std::string workqueue; // empty: the system one; "(destroyed)" if it is no more
    uint64_t here = 0, here_ns = 0, here_longest_ns = 0;
    uint64_t away = 0, away_ns = 0, away_longest_ns = 0;
};

struct cpu_state {
    int cpu = -1;
    int node = -1; // -1: unknown
    bool isolated = false;
    int worker_tid = 0; // in the process's own pid namespace; 0: it has not run yet
    int seen_cpu =
        -1; // where the worker last found itself, -1: it had no turn yet. Mis-pinned if that is not `cpu`.
    uint64_t queued = 0;
    uint64_t coalesced = 0; // calls that found the item pending already
    uint64_t executed = 0;
    uint64_t executed_away = 0; // of those: under the lock strategy, by threads that called in
    uint64_t cancelled = 0;     // of those queued: taken back before they started
    uint64_t pending = 0;       // never "negative": see stat_layout.h
    uint64_t calls = 0;         // of pw_on_each_cpu(), made by the worker
    uint64_t batches = 0;
    uint64_t wakeups = 0;
    uint64_t wakes_sent = 0; // system calls that were to wake the worker
    uint64_t busy_ns = 0;    // up to the snapshot's moment, as the next two
    uint64_t idle_ns = 0;
    uint64_t asleep_ns = 0; // of that
    lock_counts locks;
    bool sleeping = false;
    std::string running;                          // what the worker runs, empty if nothing
    uint64_t running_since_ns = 0; // moment, 0 if not known; with stats=on up to 16 short items early
    std::vector<running_function> caller_running; // lock strategy: what callers run for this CPU
    std::vector<uint64_t> ran_on; // lock strategy: how often its items ran on each CPU of `cpus`, at the end
                                  // elsewhere; may be empty
    std::vector<tally_state> tallies;                   // with any count, by falling total time
    histogram wait_here, run_here, wait_away, run_away; // with stats=full
    histogram lock_wait;
};

struct workqueue_state {
    std::string name;
    bool high = false;                                // served before normal ones
    uint64_t count = 0, total_ns = 0, longest_ns = 0; // sums of the tallies, here and away
};

struct snapshot {
    uint64_t taken_ns = 0;                   // moment
    uint32_t callers_unseen = 0;             // threads that share a row: counts may be too low
    std::vector<cpu_state> cpus;             // by rising number, each once
    std::vector<workqueue_state> workqueues; // that exist, but for the system one
    workqueue_state system_workqueue;
    lock_counts elsewhere; // of CPUs that have no worker
};

// What a counter rose by; 0 if it fell.
constexpr uint64_t since(uint64_t before, uint64_t now)
{
    return now > before ? now - before : 0;
}

} // namespace pw::tool
