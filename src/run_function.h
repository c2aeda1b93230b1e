// SPDX-License-Identifier: MIT
// Calling a program's work function: what must not come out of it.
#pragma once

#include <pwlocks/work.h>

namespace pw::detail {

// Runs function(item). An exception out of it aborts with a line that names the function. A thread that ends inside it (pthread_exit,
// cancellation) unwinds through here: its runner decides what that means. Meanwhile this_thread.function names it.
void run_function(pw_func_t function, pw_struct *item);

} // namespace pw::detail
