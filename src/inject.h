// SPDX-License-Identifier: MIT
// Points at which stress builds (Meson: b_sanitize other than none) delay a thread at random, to widen the windows between
// the steps of a protocol. Nothing in other builds.
#pragma once

#ifdef PWLOCKS_INJECT
#include <cstdint>
#include <sched.h>

namespace pw::detail {
inline void inject_delay()
{
    static thread_local uint32_t state = 0;
    if (state == 0)
        state = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(&state) >> 4) | 1;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    if (state % 256 == 0)
        sched_yield();
    else if (state % 16 == 0)
        for (uint32_t i = 0; i < state % 512; ++i)
            __asm__ volatile("" ::: "memory");
}
} // namespace pw::detail
#define PW_INJECT() ::pw::detail::inject_delay()
#else
#define PW_INJECT() ((void)0)
#endif
