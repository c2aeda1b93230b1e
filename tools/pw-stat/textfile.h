// SPDX-License-Identifier: MIT
// Files that another program reads while we write them again and again.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace pw::tool {

// what() names the file and says why.
struct cannot_write : std::runtime_error {
    using runtime_error::runtime_error;
};

// The text as that file, readable by everybody: whoever opens it finds all of an older text or all of this
// one, also behind a crash. What is there already must be a regular file; a link is not followed. Throws
// cannot_write, and then nothing has changed.
void replace_file(const std::string &path, std::string_view text);

// The same for pwlocks.prom in the folder where node_exporter looks for text files.
void write_textfile(const std::string &folder, std::string_view text);

} // namespace pw::tool
