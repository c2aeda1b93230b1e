// SPDX-License-Identifier: MIT
// pw-stat top: the full screen on a terminal.
#pragma once

#include <optional>

namespace pw::tool {

// Shows all processes, or that one only, until the user ends it; returns the exit status. Colours: if the
// terminal has any. The terminal is as it was on every return, and if a signal ends us. Throws misuse if
// standard input and output are no terminal that this works on, and cannot_show if there is nothing to show
// at first.
int show_top(std::optional<int> only, bool colours);

} // namespace pw::tool
