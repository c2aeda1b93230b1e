// SPDX-License-Identifier: MIT
// Looking again and again: how often, and how long.
#pragma once

#include "commands.h"
#include "processes.h"

#include <cstdint>
#include <ctime>
#include <optional>

namespace pw::tool {

struct pace {
    uint64_t interval_ns;
    std::optional<uint64_t> count; // of looks; none: for ever
};

// Of the interval and the count that were given; one look if there is no interval. Throws misuse.
pace parse_pace(const request &asked);

// Moments that far apart, from now on.
class ticker {
  public:
    explicit ticker(uint64_t interval_ns);

    // Until the next one: looks do not drift. After a pause, as from Ctrl-Z, it begins anew.
    void wait();

  private:
    uint64_t interval_ns_;
    timespec last_;
};

// The process has ended, or its runtime has.
bool has_gone(const cannot_show &error);

} // namespace pw::tool
