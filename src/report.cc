// SPDX-License-Identifier: MIT
#include "report.h"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

namespace pw::detail {
namespace {

void write_line(const char *format, va_list arguments)
{
    char line[512] = "pwlocks: ";
    size_t prefix = strlen(line);
    int saved = errno;
    int wanted = vsnprintf(line + prefix, sizeof line - prefix - 1, format, arguments);
    size_t length = prefix + (wanted < 0 ? 0 : static_cast<size_t>(wanted));
    if (length > sizeof line - 2)
        length = sizeof line - 2;
    // What we quote comes from outside: a terminal must not obey it, and the message stays one line.
    for (size_t i = prefix; i < length; ++i)
        if (static_cast<unsigned char>(line[i]) < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[length++] = '\n';
    [[maybe_unused]] ssize_t written = write(STDERR_FILENO, line, length);
    errno = saved;
}

} // namespace

void report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(format, arguments);
    va_end(arguments);
}

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    write_line(format, arguments);
    va_end(arguments);
    abort();
}

} // namespace pw::detail
