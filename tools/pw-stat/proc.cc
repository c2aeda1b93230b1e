// SPDX-License-Identifier: MIT
#include "proc.h"

#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <unistd.h>

namespace pw::tool {

directory open_directory(int at, const char *path)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *opened = fd < 0 ? nullptr : fdopendir(fd);
    if (fd >= 0 && !opened)
        close(fd);
    return directory(opened);
}

descriptor open_process(int pid)
{
    std::string path = "/proc/" + std::to_string(pid);
    return descriptor(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

std::string read_text(int folder, const char *name)
{
    descriptor file(openat(folder, name, O_RDONLY | O_CLOEXEC));
    std::string text(8192, '\0');
    size_t length = 0;
    while (file.valid() && length < text.size()) {
        ssize_t got = read(file.get(), text.data() + length, text.size() - length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        length += static_cast<size_t>(got);
    }
    text.resize(length);
    return text;
}

// What follows the key on its line. The first line, the name, cannot be taken for another one: the kernel
// writes its newlines as two characters.
std::string_view process_status::field(std::string_view key) const
{
    std::string_view text = text_;
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        if (line.starts_with(key))
            return line.substr(key.size());
        text.remove_prefix(std::min(line.size() + 1, text.size()));
    }
    return {};
}

// Of ids in nested namespaces, the innermost.
int process_status::last_number(std::string_view text)
{
    size_t start = text.find_last_of(" \t");
    std::string_view digits = start == std::string_view::npos ? text : text.substr(start + 1);
    int number = -1;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

bool process_status::has_no_leader() const
{
    return field("State:").find_first_of("ZX") != std::string_view::npos;
}

bool process_status::is_ours() const
{
    std::string_view ids = field("Uid:"); // real, effective, saved, of file systems
    for (size_t before = 0; before < 2; ++before)
        ids.remove_prefix(std::min(ids.find('\t'), ids.size() - 1) + 1);
    uid_t effective = static_cast<uid_t>(-1);
    std::from_chars(ids.data(), ids.data() + ids.size(), effective);
    return effective == geteuid();
}

std::string raw_command(int folder)
{
    std::string name = read_text(folder, "comm");
    if (name.ends_with('\n'))
        name.pop_back();
    return name;
}

std::string raw_command_line(int folder)
{
    std::string line = read_text(folder, "cmdline");
    while (!line.empty() && line.back() == '\0')
        line.pop_back();
    return line;
}

std::string_view program_name(std::string_view raw_command_line)
{
    std::string_view path = raw_command_line.substr(0, raw_command_line.find('\0'));
    return path.substr(path.rfind('/') + 1); // npos + 1 is 0
}

} // namespace pw::tool
