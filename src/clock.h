// SPDX-License-Identifier: MIT
// The clocks by which the library goes.
#pragma once

#include <cstdint>
#include <time.h>

namespace pw::detail {

inline uint64_t to_ns(const timespec &time)
{
    return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(time.tv_nsec);
}

// CLOCK_MONOTONIC.
inline uint64_t now_ns()
{
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return to_ns(time);
}

// From one moment to another of the same clock. They may be of two CPUs, whose clocks need not agree to the
// last nanosecond.
inline uint64_t elapsed(uint64_t since, uint64_t now)
{
    return now > since ? now - since : 0;
}

} // namespace pw::detail
