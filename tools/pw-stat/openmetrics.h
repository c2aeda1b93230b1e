// SPDX-License-Identifier: MIT
// Everything in a snapshot as metrics.
#pragma once

#include "exposition.h"
#include "sample.h"

#include <span>
#include <string>

namespace pw::tool {

// One text for all of them, ending in "# EOF". Series of one process differ from another's by the label pid.
std::string metrics_text(std::span<const process_sample> processes, dialect wanted);

} // namespace pw::tool
