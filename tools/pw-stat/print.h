// SPDX-License-Identifier: MIT
// Where output and complaints go, and the statuses with which the command ends.
#pragma once

#include <stdexcept>
#include <string_view>

namespace pw::tool {

constexpr int success = 0;
constexpr int failure = 1;
constexpr int usage_error = 2;
constexpr int has_ended = 3; // the process that was watched

// Nobody reads any further, or it cannot be written and that was complained of: the command ends with this
// status.
struct cannot_print {
    int status;
};

// A command line that asks for nothing we have; what() says what is wrong with it, safe to print.
struct misuse : std::runtime_error {
    using runtime_error::runtime_error;
};

// All of the text, to standard output. Throws cannot_print.
void print(std::string_view text);

// One line on standard error.
void complain(std::string_view text);

} // namespace pw::tool
