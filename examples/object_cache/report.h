// SPDX-License-Identifier: MIT
// What a run found, for people and for programs.
#pragma once

#include "run.h"

namespace object_cache {

// Whether every object is accounted for; each thing that is wrong becomes a line on stderr.
bool check_balance(const run_result &result);

// A readable block, then one line "result key=value ...".
void print_text(const run_result &result, bool balanced);

// One JSON object with the keys of the result line.
void print_json(const run_result &result, bool balanced);

} // namespace object_cache
