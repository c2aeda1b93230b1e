// SPDX-License-Identifier: MIT
// Numbers at random, the same for the same seed: xorshift (G. Marsaglia, 2003).
#pragma once

#include <cstdint>

class small_random {
  public:
    explicit small_random(uint32_t seed) : state_(seed * 2654435761u | 1) {}

    uint32_t below(uint32_t limit)
    {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 17;
        state_ ^= state_ << 5;
        return state_ % limit;
    }

    bool happens(int in_1000) { return static_cast<int>(below(1000)) < in_1000; }

  private:
    uint32_t state_;
};
