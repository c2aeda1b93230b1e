// SPDX-License-Identifier: MIT
// Scripts by which shells complete pw-stat's command lines.
#pragma once

#include <string>
#include <vector>

namespace pw::tool {

struct offered_option {
    enum class value { none, any, word, file, folder };
    std::vector<std::string> names; // "-h", "--help"
    std::string what;
    value takes = value::none;
    std::vector<std::string> words; // of which it takes one
};

struct offered_command {
    std::string name; // empty: what pw-stat does without a subcommand
    std::string what;
    bool about_process = false;     // takes an id or a name
    std::vector<std::string> words; // of which it takes one instead
    std::vector<offered_option> options;
};

// The one without a name first.
std::string bash_completion(const std::vector<offered_command> &offered);
std::string zsh_completion(const std::vector<offered_command> &offered);

} // namespace pw::tool
