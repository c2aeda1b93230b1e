// SPDX-License-Identifier: MIT
// Lock strategy: a thread ends inside a function, by pthread_exit() or cancellation, and the item has been
// handed to it once more.
//
// Somebody else must run it, and not the lane's deputy: that may be waiting for it, in a function that it
// runs, which was no circle while there was a runner; nor may the function end the deputy. So a thread is
// made for it, the heir. It is the runner's kind: it has his priority and CPUs, is handed what comes next,
// and may end inside the function, too, which makes another heir.
#pragma once

namespace pw::detail {

class lane;
struct run_record;

// By the thread that ends, outside of the lane's mutex. Returns when the heir is listed and `from` is not, or
// both have nothing left to run. False, and nothing has changed, where no thread can be made.
bool start_heir(lane &through, run_record &from);

} // namespace pw::detail
