// SPDX-License-Identifier: MIT
// Text for a terminal, from numbers and from strings that another process chose.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pw::tool {

// The text with a '?' for every control character, for what changes the direction of writing, and for every
// byte that is not part of valid UTF-8: nothing in it can steer a terminal.
std::string printable(std::string_view text);

// Columns of a terminal that printable text takes: two for wide characters of East Asia, none for those that
// combine with the one before.
size_t width(std::string_view text);

// Bytes of the longest beginning of printable text that takes at most so many columns. What combines with its
// last character belongs to it.
size_t prefix_of_width(std::string_view text, size_t columns);

// Printable text of at most so many bytes, without half a character at its end.
std::string shortened(std::string text, size_t most);

// A symbol as a person would write it: C++ names demangled, without the parameter that every work function
// has. A symbol that could demangle into an enormous text stays as it is.
std::string readable_symbol(const std::string &symbol);

// "0-3,8". Numbers in rising order.
std::string cpu_list(const std::vector<int> &cpus);

// "12s", "3m05s", "2h10m", "4d02h".
std::string duration(uint64_t seconds);

} // namespace pw::tool
