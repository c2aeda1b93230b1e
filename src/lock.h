// SPDX-License-Identifier: MIT
// What the runtime needs to know of locks; the locks themselves are in include/pwlocks/lock.h and lock.cc.
#pragma once

#include "stat_layout.h"

namespace pw::detail {

// At load: finds out whether restartable sequences can be used, and registers with membarrier(2) for them.
void prepare_locks();

// The method that lockers use, or will use.
stat::lock_method lock_method();

// Start, when the strategy is in use: the first lock would do it. From here on pw_this_cpu() is inline.
void fix_lock_method();

// A fork's child: this thread has a new id, and membarrier must be asked again.
void lock_after_fork_child();

} // namespace pw::detail
