// SPDX-License-Identifier: MIT
// What locks cost, in the stat segment: counted by any thread, also one that the runtime does not know and in
// a signal handler, since to count must not register the thread. doc/MEMORY-ORDER.md, "Visits".
#pragma once

#include "stat.h"

namespace pw::detail {

// For the lock of a CPU, `cpu` within possible_cpus(). Nothing while the runtime is stopped.
void count_lock_event(int cpu, stat::counter stat::lock_events::*what);

// The same for an acquisition that had to wait, when it has what it waited for.
void count_lock_wait(int cpu, uint64_t ns);

} // namespace pw::detail
