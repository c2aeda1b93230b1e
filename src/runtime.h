// SPDX-License-Identifier: MIT
// Start and stop; see include/pwlocks/runtime.h.
#pragma once

namespace pw::detail {

// The first call that needs a worker: starts with the operator's options. 0 also if another thread was faster; -ESHUTDOWN if it was
// started and stopped meanwhile; else what pw_runtime_start() returns.
int start_on_first_use();

} // namespace pw::detail
