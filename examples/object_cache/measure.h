// SPDX-License-Identifier: MIT
// Time stamps, and a histogram of durations of fixed size.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <ctime>

namespace object_cache {

inline uint64_t now_ns()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Durations in ns: exact below 64, above that 32 buckets for each doubling, so a quantile is at most 3 % too
// high. One thread writes it; whoever reads it has joined that thread.
class histogram {
  public:
    void add(uint64_t ns)
    {
        ++buckets_[bucket_of(ns)];
        ++count_;
        sum_ += ns;
        max_ = std::max(max_, ns);
    }
    uint64_t count() const { return count_; }
    uint64_t max() const { return max_; }
    uint64_t mean() const { return count_ == 0 ? 0 : sum_ / count_; }

    // The duration that `share` (0 to 1) of all samples do not exceed; 0 without samples.
    uint64_t quantile(double share) const
    {
        auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_));
        uint64_t seen = 0;
        for (size_t bucket = 0; bucket < buckets_.size(); ++bucket) {
            seen += buckets_[bucket];
            if (seen > wanted)
                return std::min(upper_edge(bucket), max_);
        }
        return max_;
    }

  private:
    static size_t bucket_of(uint64_t ns)
    {
        int shift = std::max(0, static_cast<int>(std::bit_width(ns)) - 6);
        return static_cast<size_t>(shift) * 32 + static_cast<size_t>(ns >> shift);
    }
    static uint64_t upper_edge(size_t bucket)
    {
        if (bucket < 64)
            return bucket;
        return ((uint64_t{bucket % 32} + 33) << (bucket / 32 - 1)) - 1;
    }

    std::array<uint64_t, size_t{58} * 32 + 64> buckets_ = {};
    uint64_t count_ = 0;
    uint64_t sum_ = 0;
    uint64_t max_ = 0;
};

} // namespace object_cache
