// SPDX-License-Identifier: MIT
// What pw-stat topology prints.
#pragma once

#include "machine.h"
#include "screen.h"

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace pw::tool {

// A head, a line per CPU, per kind of cache and per node.
std::string machine_report(const machine &shown, const screen &to);

// See doc/pw-stat.schema.json.
nlohmann::ordered_json machine_document(const machine &shown);

} // namespace pw::tool
