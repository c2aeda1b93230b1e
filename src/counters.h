// SPDX-License-Identifier: MIT
// Counters of the stat segment that have one writer at a time: plain stores, no locked instruction.
// doc/MEMORY-ORDER.md, "Tallies".
#pragma once

#include "stat_layout.h"

#include <algorithm>
#include <bit>

namespace pw::detail {

inline void add(stat::counter &counter, uint64_t amount)
{
    // Relaxed load: single writer. Release: a reader that sees an item executed sees it queued; see
    // stat_layout.h.
    counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_release);
}

inline void count(stat::counter &counter)
{
    add(counter, 1);
}

inline void raise(stat::counter &counter, uint64_t value)
{
    if (counter.load(std::memory_order_relaxed) < value) // relaxed, twice: single writer, a statistic
        counter.store(value, std::memory_order_relaxed);
}

inline stat::counter &bucket_of(stat::histogram &histogram, uint64_t ns)
{
    return histogram
        .buckets[std::min<unsigned>(static_cast<unsigned>(std::bit_width(ns)), stat::histogram_buckets - 1)];
}

} // namespace pw::detail
