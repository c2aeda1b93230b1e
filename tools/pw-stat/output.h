// SPDX-License-Identifier: MIT
// What pw-stat prints.
#pragma once

#include "processes.h"

#include <string>

namespace pw::tool {

// One line per process, below a line of headings.
std::string process_list(const survey &found);

// A head, then one line per CPU, then one per workqueue if there are any.
std::string process_report(const process &shown);

} // namespace pw::tool
