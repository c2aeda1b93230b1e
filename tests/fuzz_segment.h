// SPDX-License-Identifier: MIT
// A stat segment of any bytes, through everything in pw-stat that reads or shows it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// Each view for each width, and each format.
inline constexpr unsigned views = 32;

// Reads what the descriptor refers to, twice, and composes one view of it, by any number. Aborts, saying why,
// if one of its lines could steer a terminal or is too long for it. Returns whether it was a segment.
bool show_segment(int fd, unsigned view);

// A sealed memfd with those bytes. Aborts if there is none to be had.
int segment_file(const uint8_t *bytes, size_t size);

struct seed {
    std::string name;
    std::vector<uint8_t> bytes;
};

// Segments that the library's writer made, small ones of each kind.
std::vector<seed> make_seeds();
