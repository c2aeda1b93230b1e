// SPDX-License-Identifier: MIT
// Sets of CPUs, as tests make them up and compare them.
#pragma once

#include "cpu_mask.h"

#include <initializer_list>
#include <string>

inline pw::detail::cpu_mask mask_of(std::initializer_list<int> cpus)
{
    pw::detail::cpu_mask mask;
    for (int cpu : cpus)
        mask.insert(cpu);
    return mask;
}

// As the operator writes it.
inline std::string listed(const pw::detail::cpu_mask &mask)
{
    char buffer[65536];
    return std::string(format_cpu_list(mask, buffer, sizeof buffer));
}
