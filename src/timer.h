// SPDX-License-Identifier: MIT
// Delayed work: from armed to queued.
//
// An armed item is pending, in the heap of its CPU's timers, and in no queue. Its `armed` bit, and the heap, change under the timers'
// guard; so under the guard the bit says whether the item is in the heap. When its time has come, the thread that keeps the time
// makes it an ordinary pending item: under queue by claiming it for itself and enqueueing it, under lock by admitting it to the lane.
#pragma once

#include "worker.h"

namespace pw::detail {

// The timers of a CPU that has a worker.
timer_queue &timers_of(worker &target);

// The worker, outside of any function: queues what is due.
void queue_due_items(worker &self);

// A lane's deputy, outside of any function: runs what is due, one after the other.
void run_due_items(worker &self);

// Under the guard, of an item that is armed: whether that is in this process, and not in one that we were forked from.
bool armed_here(const pw_delayed &item);

// Under the guard: an item of this workqueue is not in the heap any more. `queued`: it was put into a queue or a lane, before this.
void disarmed(pw_workqueue *wq, bool queued);

// Under queue: takes back an armed item. False if it is not armed (any more).
bool disarm(worker &target, pw_struct &item);

// Stop, and a workqueue that is destroyed: queues what is armed there now; `wq` null: everything. Inside a passage that saw the gate open, or
// while the gate is draining. How many there were, or -ENOMEM: then the rest is still armed.
long queue_armed_items(worker &target, const pw_workqueue *wq, passage &inside);

} // namespace pw::detail
