// SPDX-License-Identifier: MIT
// What text is composed for: a terminal with its width and colours, or a file, which has neither.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pw::tool {

struct screen {
    size_t columns = 0; // 0: not a terminal, lines may have any length and numbers are exact
    size_t lines = 0;   // 0: not a terminal
    bool colours = false;
    bool unicode = false; // what reads this knows UTF-8
};

inline constexpr size_t least_columns = 40; // narrower terminals are treated as that wide

// What `fd` is. Colours: on a terminal that is not "dumb", unless NO_COLOR is there and not empty.
screen screen_of(int fd);

// What a cell or a word says at a glance. Few, so that they stand out.
enum class tone {
    plain,
    heading,
    notice, // look here
    alarm,  // something is wrong
};

// The text in its tone; without colours, the text.
std::string toned(std::string_view text, tone how, const screen &to);

// Printable text cut to that many columns, with an ellipsis in place of what is missing.
std::string fitted(std::string_view text, size_t columns, const screen &to);

// `first`, then the words, in lines that fit, those after the first one indented; ends with a newline. Words
// that are longer than a line are broken. `indent` is less than least_columns.
std::string paragraph(std::string_view first, std::string_view words, size_t indent, const screen &to);

} // namespace pw::tool
