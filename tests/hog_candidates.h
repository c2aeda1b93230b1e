// SPDX-License-Identifier: MIT
// Threads that may keep a worker from its CPU, as tests make them up.
#pragma once

#include "hog.h"

#include <cstdint>
#include <cstring>

inline constexpr uint64_t ms = 1'000'000;

// The kernel's numbers of scheduling classes.
inline constexpr int fifo = 1, round_robin = 2, batch = 3, deadline = 6;

inline pw::detail::hog_candidate candidate(pid_t tid, int cpu, uint64_t grown_ms, int policy = 0,
                                           int priority = 0)
{
    pw::detail::hog_candidate made = {};
    made.pid = 1000;
    made.thread.tid = tid;
    strcpy(made.thread.name, "loop");
    made.thread.state = 'R';
    made.thread.ticks = 1;
    made.thread.cpu = cpu;
    made.thread.policy = policy;
    made.thread.rt_priority = priority;
    made.grown_ns = grown_ms * ms;
    return made;
}
