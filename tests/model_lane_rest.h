// SPDX-License-Identifier: MIT
// What the lanes need of the rest of the library, for model_lane.h.
#pragma once

#include "model_lane_calls.h"
#include "model_rest.h"

namespace pw::detail {
void disarmed(pw_workqueue *, bool) {}
bool armed_here(const pw_delayed &)
{
    return true;
}
static void model_enqueue(worker &deputy, pw_struct &item)
{
    if (std::find(in_queues.begin(), in_queues.end(), &item) != in_queues.end())
        threads->fail("a queue gets the same link twice");
    in_queues.push_back(&item);
    enqueue(deputy, item);
}
// Others may overtake on either side of it: the lane's mutex is not held there.
static bool model_begin_waits(wait_edge *edges, size_t count)
{
    threads->point();
    bool listed = begin_waits(edges, count);
    threads->point();
    return listed;
}
// The scenario's heir, a thread of the model, if it has one.
bool start_heir(lane &through, run_record &from)
{
    if (!inheritance.expected)
        return false;
    threads->block_until([] { return !inheritance.from; }); // what another one leaves
    inheritance.through = &through;
    inheritance.from = &from;
    threads->block_until([&] { return inheritance.from != &from; });
    return true;
}
int flush_spins()
{
    return 0;
}
void run_function(pw_func_t run, pw_struct *item, const pw_workqueue *)
{
    run(item);
}
void run_call(void (*)(int, void *), int, void *) {}
void wake_slow(worker &) {}
} // namespace pw::detail
pw_workqueue pw::detail::no_workqueue;

void *pw_alloc_percpu(size_t, size_t)
{
    return nullptr;
}

static long model_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    auto *word = va_arg(arguments, std::atomic<uint32_t> *);
    int operation = va_arg(arguments, int);
    uint32_t expected = va_arg(arguments, uint32_t);
    va_end(arguments);
    if (operation == FUTEX_WAIT_PRIVATE)
        threads->block_until([=] { return word->load() != expected; });
    return 0;
}
