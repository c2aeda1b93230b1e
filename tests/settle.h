// SPDX-License-Identifier: MIT
#pragma once

#include "both.h"
#include "this_process.h"

// Before a fork: AddressSanitizer does not hold its allocator's locks across one, so nobody else must be in
// there, such as a thread that is just starting and does not bear its name yet. (Without sanitizers there is
// nothing to wait for.)
inline void let_threads_settle()
{
    if (sanitized)
        eventually([] {
            for (pid_t thread : threads())
                if (thread != gettid() && status_field(thread, "State").rfind("S", 0) != 0)
                    return false;
            return true;
        });
}
