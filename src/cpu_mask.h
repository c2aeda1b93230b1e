// SPDX-License-Identifier: MIT
// A set of CPU numbers of fixed size: usable before constructors, without allocating.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pw::detail {

// Linux's own upper bound (NR_CPUS) on every architecture that we build for.
inline constexpr int max_cpus = 8192;

class cpu_mask {
  public:
    constexpr bool contains(int cpu) const { return in_range(cpu) && (words_[cpu / 64] >> (cpu % 64) & 1) != 0; }
    constexpr void insert(int cpu)
    {
        if (in_range(cpu))
            words_[cpu / 64] |= uint64_t{1} << (cpu % 64);
    }
    constexpr void erase(int cpu)
    {
        if (in_range(cpu))
            words_[cpu / 64] &= ~(uint64_t{1} << (cpu % 64));
    }
    // The next member after `cpu`, or -1. Start with -1.
    constexpr int next(int cpu) const
    {
        for (++cpu; cpu < max_cpus; ++cpu)
            if (contains(cpu))
                return cpu;
        return -1;
    }
    constexpr bool empty() const { return next(-1) < 0; }
    constexpr int count() const
    {
        int n = 0;
        for (uint64_t word : words_)
            n += __builtin_popcountll(word);
        return n;
    }
    constexpr int highest() const
    {
        for (int cpu = max_cpus - 1; cpu >= 0; --cpu)
            if (contains(cpu))
                return cpu;
        return -1;
    }
    constexpr cpu_mask operator&(const cpu_mask &other) const
    {
        cpu_mask both;
        for (size_t i = 0; i < word_count; ++i)
            both.words_[i] = words_[i] & other.words_[i];
        return both;
    }
    constexpr cpu_mask without(const cpu_mask &other) const
    {
        cpu_mask rest;
        for (size_t i = 0; i < word_count; ++i)
            rest.words_[i] = words_[i] & ~other.words_[i];
        return rest;
    }
    constexpr bool operator==(const cpu_mask &) const = default;

  private:
    static constexpr size_t word_count = max_cpus / 64;
    static constexpr bool in_range(int cpu) { return cpu >= 0 && cpu < max_cpus; }
    uint64_t words_[word_count] = {};
};

// Parses the kernel's list form, "0-3,8" (blanks and a final newline allowed, "" is the empty set). Returns false, and leaves
// `mask` alone, if the text is malformed, a range runs backwards or a number is not below max_cpus.
bool parse_cpu_list(std::string_view text, cpu_mask &mask);

// Writes the list form into `buffer`, cut off at a comma if it does not fit; returns what was written.
std::string_view format_cpu_list(const cpu_mask &mask, char *buffer, size_t size);

} // namespace pw::detail
