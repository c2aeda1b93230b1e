// SPDX-License-Identifier: MIT
// Which CPUs the user asked for.
#pragma once

#include <string_view>
#include <vector>

namespace pw::tool {

// "0-3,8" as rising numbers, each once; "ALL" or "all" as all of `known`. Throws misuse, also for a CPU that
// is not among `known`.
std::vector<int> chosen_cpus(std::string_view text, const std::vector<int> &known);

} // namespace pw::tool
