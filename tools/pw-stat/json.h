// SPDX-License-Identifier: MIT
// Everything in a snapshot as a JSON document; its schema is doc/pw-stat.schema.json. Members, once released,
// are only added.
#pragma once

#include "sample.h"

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace pw::tool {

inline constexpr int json_schema = 1; // rises when a member changes its meaning or goes

// What every document starts with.
nlohmann::ordered_json document_head();

// Of one process or of all.
nlohmann::ordered_json process_document(const sample_set &samples);

// With a line for each member, or all in one line; valid UTF-8, ends in a newline.
std::string document_text(const nlohmann::ordered_json &document, bool in_one_line);

} // namespace pw::tool
