// SPDX-License-Identifier: MIT
// The stat segment for who may come at any time: threads that the runtime does not know, signal handlers among them. The runtime's own
// threads and those that call in have it while the gate is open. doc/MEMORY-ORDER.md, "Visits".
#pragma once

#include "stat.h"

namespace pw::detail {

// While it exists, the segment stays, and who has a worker. Short: a stop waits for it.
class stat_visit {
  public:
    stat_visit();
    ~stat_visit();
    stat_visit(const stat_visit &) = delete;
    stat_visit &operator=(const stat_visit &) = delete;

    stat_segment *segment() const { return segment_; } // null while the runtime does not run

  private:
    stat_segment *segment_;
};

// Start: behind the workers' becoming active, and whatever may fail. Stop: before they no longer are; waits until no visitor is left.
void publish_stat(stat_segment &segment);
void withdraw_stat();

void stat_after_fork_child();

} // namespace pw::detail
