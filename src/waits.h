// SPDX-License-Identifier: MIT
// Who waits for whom from inside work. A function that waits for something which, directly or through others, waits for that function
// would wait for ever; so before it blocks it is noted here, and refused if that closes a circle.
//
// What is shared: the list of waits, under a mutex. A wait for a worker is taken off by that worker, when it has reached what is waited
// for and before it runs anything else; so what is listed is true. A wait in a lane is true for as long as the lane has something that it
// waits for. Whoever blocks last of a circle sees all others; a thread that is listed stays blocked until what it waits for has ended. So
// every circle is found and none is imagined.
#pragma once

#include "callers.h"

namespace pw::detail {

struct work_key;

// One wait, on the waiter's stack.
struct wait_edge {
    // For that worker to reach something behind what it runs now. `call`: one that a worker makes even while it waits for its own calls.
    wait_edge(const worker &for_worker, bool call) : worker_(&for_worker), call_(call) {}
    wait_edge() = default;
    // For what the key says in that lane.
    wait_edge(const lane &in_lane, const work_key &key) : lane_(&in_lane), key_(&key) {}

  private:
    friend class wait_graph;
    const worker *worker_ = nullptr;
    const lane *lane_ = nullptr;
    const work_key *key_ = nullptr;
    bool call_ = false;
    bool seen_ = false;
    unsigned depth_ = 0; // how many waits for calls its thread has entered below it
    const thread_context *waiter_ = nullptr; // null: not listed
    wait_edge *next_ = nullptr;
};

// Whether the calling thread runs a function for somebody: as a worker, or for itself under the lock strategy.
inline bool in_work()
{
    return this_thread.worker_here || this_thread.running;
}

// Inside work, before the wait: lists all of them. False, and none is listed, if the calling thread would wait for itself. `for_calls`: it
// counts itself in worker::serving already.
bool begin_waits(wait_edge *edges, size_t count, bool for_calls = false);

// Takes one off; nothing if it is not listed. Any thread.
void end_wait(wait_edge &edge);

// In a fork's child: nobody else waits.
void waits_after_fork_child();

} // namespace pw::detail
