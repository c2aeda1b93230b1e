// SPDX-License-Identifier: MIT
// A CPU's tallies: a table with open addressing that only grows. Two may put something there at once, the
// worker and whoever holds the lane's mutex.
//
//   function, workqueue   whoever claimed the element, once
//   here*                 the worker
//   away*                 whoever holds the lane's mutex
//
// Both may claim an element for the same function: then there are two of it, each with one writer's counts or
// with both's, and a reader adds. doc/MEMORY-ORDER.md, "Tallies".
#pragma once

#include "stat_layout.h"

#include <span>

namespace pw::detail {

struct found_tally {
    stat::tally *tally;
    bool fresh; // nobody has named its function yet, or nobody may have: it is among the others
};

inline found_tally find_tally(std::span<stat::tally> table, uint64_t function, uint64_t workqueue)
{
    constexpr size_t longest_probe = 16;
    size_t places = table.size() - 1;
    size_t place = ((function >> 4) + (workqueue << 40)) * 0x9e3779b97f4a7c15 >> 32;
    for (size_t probe = 0; probe < longest_probe; ++probe, ++place) {
        stat::tally &each = table[place % places];
        // Acquire: pairs with the release below: the workqueue beside it.
        uint64_t found = each.function.load(std::memory_order_acquire);
        // Relaxed: who claims the element is alone with it until the function is published.
        if (found == 0 &&
            each.function.compare_exchange_strong(found, stat::claimed, std::memory_order_relaxed)) {
            each.workqueue.store(workqueue, std::memory_order_relaxed);
            each.function.store(function,
                                std::memory_order_release); // pairs with the acquires above and in pw-stat
            return {&each, true};
        }
        // Relaxed: written before the function was published. One that is being filled is passed over, also
        // if it becomes ours.
        if (found == function && each.workqueue.load(std::memory_order_relaxed) == workqueue)
            return {&each, false};
    }
    stat::tally &others = table[places];
    others.function.store(stat::other_functions, std::memory_order_relaxed); // relaxed: the same by whomever
    return {&others, true};
}

} // namespace pw::detail
