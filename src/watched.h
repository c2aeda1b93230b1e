// SPDX-License-Identifier: MIT
// What the watchdog watches of a running runtime.
#pragma once

#include "cpu_mask.h"
#include "stat.h"

namespace pw::detail {

// Start, when the workers are there: watches them, and callers under the lock strategy. Where there is no thread to be had, that is
// reported, and nothing is watched.
void start_watching(int limit_ms, const cpu_mask &housekeeping, const stat_segment &segment);

// Stop, while the workers and the segment are still there. Nothing if nothing is watched.
void stop_watching();

// Fork's child.
void forget_watching();

} // namespace pw::detail
