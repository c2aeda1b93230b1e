// SPDX-License-Identifier: MIT
// Who refuses an item's queueing: callers of pw_cancel_sync(), any number at once, none of which waits for
// another.
//
// What is shared: lists of refusals, each one on its caller's stack, chosen by the item's address; and the
// item's `cancelling` bit, which says whether its list has any for it. Both change under the list's mutex,
// which is held for a few steps, inside of a passage or of a lane's mutex, and across a fork: so what a
// fork's child finds in the lists is what the bits say, and it forgets other threads' refusals.
#pragma once

#include <pwlocks/work.h>

namespace pw::detail {

class refusal {
  public:
    explicit refusal(pw_struct &item) : item_(&item) {}
    refusal(const refusal &) = delete;
    refusal &operator=(const refusal &) = delete;

    // Nobody queues the item, but a timer that finds it armed, until end(), which any thread may call. Under
    // lock both are under the lane's mutex, as whatever changes the item's state. `gone`: no queue holds the
    // item any more.
    void begin();
    void end(bool gone);

  private:
    friend struct refusal_list;
    pw_struct *item_;
    const void *thread_ = nullptr; // whose
    refusal *next_ = nullptr;
};

// Fork: behind whatever is held while somebody waits for passages. The child forgets what its parent's other
// threads refused.
void refusals_before_fork();
void refusals_after_fork(bool child);

} // namespace pw::detail
