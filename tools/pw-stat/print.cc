// SPDX-License-Identifier: MIT
#include "print.h"

#include <cerrno>
#include <cstring>
#include <fmt/format.h>
#include <unistd.h>

namespace pw::tool {
namespace {

// 0 or an errno.
int write_all(int fd, std::string_view text)
{
    while (!text.empty()) {
        ssize_t written = write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno;
        text.remove_prefix(static_cast<size_t>(written));
    }
    return 0;
}

} // namespace

void print(std::string_view text)
{
    int error = write_all(STDOUT_FILENO, text);
    if (error == EPIPE) // a reader that went away is no error
        throw cannot_print{success};
    if (error != 0) {
        complain(fmt::format("cannot write: {}", strerror(error)));
        throw cannot_print{failure};
    }
}

void complain(std::string_view text)
{
    write_all(STDERR_FILENO, fmt::format("pw-stat: {}\n", text));
}

} // namespace pw::tool
