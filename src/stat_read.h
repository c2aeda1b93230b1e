// SPDX-License-Identifier: MIT
// The stat segment for pw_stat_read(), while the runtime runs. doc/MEMORY-ORDER.md, "Visits".
#pragma once

#include "stat.h"

namespace pw::detail {

// Start: behind the workers' becoming active. Stop: before they no longer are; waits until nobody reads.
void publish_stat(stat_segment &segment);
void withdraw_stat();

void stat_after_fork_child();

} // namespace pw::detail
