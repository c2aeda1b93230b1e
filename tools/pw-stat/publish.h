// SPDX-License-Identifier: MIT
// Output for other programs: in which format, and where to.
#pragma once

#include "commands.h"

namespace pw::tool {

// Whether the options ask for that. Throws misuse if they do not go together.
bool is_for_programs(const request &asked);

// Writes it, once or at each interval. Returns the exit status. Throws misuse, cannot_show and
// cannot_write.
int publish(const request &asked);

} // namespace pw::tool
