// SPDX-License-Identifier: MIT
// Numbers as a person reads them, each with its unit.
#pragma once

#include "screen.h"

#include <cstdint>
#include <string>

namespace pw::tool {

// Of three digits: "0ns", "850ns", "12.3us", "4.56ms", "3.20s"; from a minute on as duration() does.
std::string time_text(uint64_t ns);

// In a file exact, on a terminal of at most six characters: "999999", "1.23M", "45.6G".
std::string count_text(uint64_t count, const screen &to);

// Events a second over `ns`: "0", "0.25", "12.3", "4567", "1.23M"; "-" over no time.
std::string rate_text(uint64_t count, uint64_t ns);

// What part of `whole` it is: "0.0", "12.3", "100"; at most 100, and "-" of nothing.
std::string percent_text(uint64_t part, uint64_t whole);

// "1 item", "2 items".
std::string counted(uint64_t count, const char *one, const char *many);

// The sum, or the largest number if it is larger than that: counts of a hostile process may be anything.
constexpr uint64_t sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

} // namespace pw::tool
