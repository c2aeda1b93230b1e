// SPDX-License-Identifier: MIT
// What behavioural tests share: which strategy this run is under, and a bounded wait.
#pragma once

#include <pwlocks/pwlocks.h>

#include <chrono>
#include <cstdlib>
#include <thread>

inline bool under_lock()
{
    return pw_strategy() == PW_STRATEGY_LOCK;
}

#if defined(__SANITIZE_THREAD__)
inline constexpr bool thread_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool thread_sanitized = true;
#else
inline constexpr bool thread_sanitized = false;
#endif
#else
inline constexpr bool thread_sanitized = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = thread_sanitized;
#endif
#else
inline constexpr bool sanitized = thread_sanitized;
#endif
// Sanitized runs do less of the same.
inline constexpr int scale = sanitized ? 20 : 1;

// Waits until condition() holds: never a sleep that hopes. False after ten seconds or more.
template <typename Condition>
bool eventually(Condition condition, std::chrono::seconds limit = std::chrono::seconds(10 + scale))
{
    auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline)
            return false;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    return true;
}

// The CPUs with a worker, first and last: the same one where there is only one.
inline int first_cpu()
{
    return pw_next_cpu(-1);
}
inline int last_cpu()
{
    int last = -1;
    pw_for_each_cpu(cpu) last = cpu;
    return last;
}
