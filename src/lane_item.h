// SPDX-License-Identifier: MIT
// An item's state and link as a lane's rooms see them: all under the lane's mutex. Who writes what: lane.h.
#pragma once

#include "item.h"

#include <pwlocks/work.h>

namespace pw::detail {

inline pw_struct *next_of(const pw_struct *item)
{
    return static_cast<pw_struct *>(item->next);
}

// Relaxed, all: ordered by the mutex. Atomic, since others look at an item's kind without it.
inline uint64_t state_of(const pw_struct &item)
{
    return std::atomic_ref(const_cast<uint64_t &>(item.state)).load(std::memory_order_relaxed);
}

inline void set_state(pw_struct &item, uint64_t state)
{
    std::atomic_ref(item.state).store(state, std::memory_order_relaxed);
}

// With stats=full, else 0.
inline uint64_t handed_over_at(const pw_struct &item)
{
    return gate.stats == stats_choice::full ? item_state::handed_over_at(state_of(item)) : 0;
}

inline bool is_pending(const pw_struct &item)
{
    return state_of(item) & item_state::pending;
}

inline void set_pending(pw_struct &item)
{
    set_state(item, state_of(item) | item_state::pending);
}

inline void clear_pending(pw_struct &item)
{
    set_state(item, state_of(item) & ~item_state::pending);
}

} // namespace pw::detail
