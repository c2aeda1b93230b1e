// SPDX-License-Identifier: MIT
// What a process calls its functions, for one snapshot of its segment.
#pragma once

#include "segment.h"

#include <cstdint>
#include <string>
#include <unordered_map>

namespace pw::tool {

class segment::function_names {
  public:
    explicit function_names(const segment &from);

    // Printable, readable and never empty; the address where the process knows no name.
    const std::string &of(uint64_t address);

  private:
    std::string label(uint64_t address);

    const segment &from_;
    std::unordered_map<uint64_t, uint64_t> places_; // in the table, by address
    std::unordered_map<uint64_t, std::string> labels_;
    size_t demangled_ = 0;
};

} // namespace pw::tool
