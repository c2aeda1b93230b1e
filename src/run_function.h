// SPDX-License-Identifier: MIT
// Calling a program's work function: what must not come out of it.
#pragma once

#include <pwlocks/work.h>

namespace pw::detail {

// Runs function(item). An exception out of it aborts with a line that names the function. A thread that ends inside it (pthread_exit,
// cancellation) unwinds through here: its runner decides what that means. Meanwhile this_thread.function names it, and this_thread.wq the
// workqueue that the item came through.
void run_function(pw_func_t function, pw_struct *item, const pw_workqueue *wq);

// The same for a call of pw_on_each_cpu().
void run_call(void (*function)(int cpu, void *arg), int cpu, void *arg);

} // namespace pw::detail
