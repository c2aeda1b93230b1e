// SPDX-License-Identifier: MIT
// What pw-stat prints.
#pragma once

#include "processes.h"
#include "screen.h"

#include <string>

namespace pw::tool {

// One line per process, below a line of headings.
std::string process_list(const survey &found, const screen &to);

// A head, then one line per CPU, then one per workqueue if there are any.
std::string process_report(const process &shown, const screen &to);

} // namespace pw::tool
