// SPDX-License-Identifier: MIT
// One run: a pinned user of the cache on every CPU, the one on the last CPU a real-time loop, and a thread
// that drains.
#pragma once

#include "cache.h"
#include "measure.h"

#include <cstdint>
#include <string>

namespace object_cache {

inline constexpr int loop_priority = 10; // SCHED_FIFO
inline constexpr uint64_t drain_period_ns = 1'000'000;

// What the loop on the last CPU suffered.
struct loop_result {
    uint64_t iterations;
    uint64_t gaps_20us; // iterations that ended more than 20 us after the one before
    uint64_t gaps_100us;
    uint64_t gap_max_ns;
    int64_t voluntary; // context switches: it waited for something
    int64_t involuntary;
};

struct run_result {
    int cpus;
    int loop_cpu;
    int drainer_cpu;      // -1: not pinned
    std::string ordinary; // why the loop is not real-time; empty if it is
    double seconds;       // how long it really took
    loop_result loop;
    histogram loop_drains;  // of the loop's CPU, in ns
    histogram other_drains; // of all other CPUs
    uint64_t misused;       // objects that were handed to two users at once
    cache::totals users;    // when all users had ended
    depot::totals before;   // at the same moment
    depot::totals after;    // after a last drain of every CPU
    uint64_t left;          // in magazines after that
};

// Runs for so many seconds with the strategy in force. Throws std::system_error if something cannot be set up
// or a drain is refused.
run_result run_for(int seconds);

} // namespace object_cache
