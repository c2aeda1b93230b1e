// SPDX-License-Identifier: MIT
// Machines for tests of per-CPU memory, and looks at objects' instances.
#pragma once

#include "percpu.h"

#include <cstddef>
#include <cstring>

inline constexpr size_t stride = PW_PERCPU_MAX;

inline int no_binding(void *, size_t, int)
{
    return 0;
}

inline constexpr const char *no_sys = "/nonexistent";

// A machine of its own with `Cpus` CPUs on one node.
template <int Cpus>
constexpr pw::detail::percpu_machine machine_of{[] { return Cpus; }, {no_sys, no_sys}, no_binding};

inline char *instance(void *ptr, int cpu)
{
    return static_cast<char *>(pw_per_cpu_ptr(ptr, cpu));
}

inline bool all_bytes_are(const char *start, size_t size, char value)
{
    return *start == value && memcmp(start, start + 1, size - 1) == 0;
}

inline bool zero_everywhere(void *ptr, size_t size, int cpus)
{
    for (int cpu = 0; cpu < cpus; ++cpu)
        if (!all_bytes_are(instance(ptr, cpu), size, 0))
            return false;
    return true;
}
