// SPDX-License-Identifier: MIT
#include "processes.h"

#include "descriptor.h"
#include "stat_layout.h"
#include "text.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <memory>
#include <optional>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utility>

namespace pw::tool {
namespace {

struct close_directory {
    void operator()(DIR *directory) const { closedir(directory); }
};
using directory = std::unique_ptr<DIR, close_directory>;

directory open_directory(int at, const char *path)
{
    int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *opened = fd < 0 ? nullptr : fdopendir(fd);
    if (fd >= 0 && !opened)
        close(fd);
    return directory(opened);
}

cannot_show no_process()
{
    return {obstacle::no_process, "no such process"};
}

cannot_show denied()
{
    return {obstacle::denied, geteuid() == 0 ? "permission denied (needs CAP_SYS_PTRACE)"
                                             : "permission denied (try as its user or as root)"};
}

cannot_show not_a_user()
{
    return {obstacle::not_a_user, "does not use the pwlocks runtime (or it is not running)"};
}

// The start of a small file in a process's folder; empty if it cannot be read.
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

// What follows `key` on its line of a status file.
std::string_view status_field(std::string_view status, std::string_view key)
{
    size_t start = status.find(key);
    if (start == std::string_view::npos)
        return {};
    std::string_view rest = status.substr(start + key.size());
    return rest.substr(0, rest.find('\n'));
}

// The last number in the text: of ids in nested namespaces, the innermost.
int last_number(std::string_view text)
{
    size_t start = text.find_last_of(" \t");
    std::string_view digits = start == std::string_view::npos ? text : text.substr(start + 1);
    int number = -1;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    return number;
}

// Every memfd lies in one internal file system of the kernel. Nothing else is opened: a file of that name
// elsewhere could be a device, or block us.
bool is_memfd(int path)
{
    static const dev_t memfd_device = [] {
        descriptor own(memfd_create("pw-stat", MFD_CLOEXEC));
        struct stat made = {};
        return own.valid() && fstat(own.get(), &made) == 0 ? made.st_dev : 0;
    }();
    struct statx found = {};
    if (statx(path, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &found) != 0)
        return false;
    return S_ISREG(found.stx_mode) && memfd_device != 0 &&
           makedev(found.stx_dev_major, found.stx_dev_minor) == memfd_device;
}

// Whether that descriptor of the process is a segment. False too when it was closed meanwhile.
bool is_segment_link(int folder, const char *name)
{
    char target[64];
    ssize_t length = readlinkat(folder, name, target, sizeof target);
    if (length < 0 && (errno == EACCES || errno == EPERM))
        throw denied();
    std::string_view link(target, length < 0 ? 0 : static_cast<size_t>(length));
    const std::string wanted = std::string("/memfd:") + stat::segment_name;
    return link == wanted || link == wanted + " (deleted)";
}

std::optional<segment> open_segment(int folder, const char *name)
{
    descriptor path(openat(folder, name, O_PATH | O_CLOEXEC));
    if (!path.valid() && errno == ENOENT)
        return std::nullopt;
    if (!path.valid())
        throw denied();
    if (!is_memfd(path.get()))
        throw bad_segment("its stat segment is not an ordinary memfd");
    std::string again = "/proc/self/fd/" + std::to_string(path.get());
    descriptor file(open(again.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file.valid())
        throw denied();
    return segment(file.get());
}

// The process's own segment. One that it inherited through fork, or that somebody passed to it, carries
// another pid.
segment own_segment(int folder)
{
    directory descriptors = open_directory(folder, "fd");
    if (!descriptors)
        throw errno == EACCES || errno == EPERM ? denied() : no_process();
    int place = dirfd(descriptors.get());
    std::optional<segment> newest;
    std::optional<cannot_show> problem;
    while (const dirent *entry = readdir(descriptors.get())) {
        if (entry->d_name[0] == '.' || !is_segment_link(place, entry->d_name))
            continue;
        try {
            std::optional<segment> found = open_segment(place, entry->d_name);
            if (!found ||
                found->facts().pid != last_number(status_field(read_text(folder, "status"), "NStgid:")))
                continue;
            if (!newest || newest->facts().start_ns < found->facts().start_ns)
                newest.emplace(std::move(*found));
        } catch (const bad_segment &bad) {
            problem.emplace(obstacle::unreadable, bad.what());
        }
    }
    if (!newest)
        throw problem ? *problem : not_a_user();
    return std::move(*newest);
}

std::string command_of(int folder)
{
    std::string name = read_text(folder, "comm");
    return printable(name.substr(0, name.find('\n')));
}

std::string command_line_of(int folder)
{
    std::string line = read_text(folder, "cmdline");
    while (!line.empty() && line.back() == '\0')
        line.pop_back();
    std::replace(line.begin(), line.end(), '\0', ' ');
    return line.empty() ? '[' + command_of(folder) + ']' : printable(line);
}

descriptor open_process(int pid)
{
    std::string path = "/proc/" + std::to_string(pid);
    return descriptor(open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

void require_proc()
{
    if (access("/proc/self/fd", X_OK) != 0)
        throw cannot_show(obstacle::unreadable, "/proc is not mounted");
}

} // namespace

process find_process(int pid)
{
    require_proc();
    descriptor folder = open_process(pid);
    std::string status = folder.valid() ? read_text(folder.get(), "status") : "";
    int leader = last_number(status_field(status, "Tgid:"));
    if (leader < 0)
        throw no_process();
    if (leader != pid) // a thread's id
        return find_process(leader);
    try {
        segment stat = own_segment(folder.get());
        return {pid, command_of(folder.get()), command_line_of(folder.get()), std::move(stat)};
    } catch (const cannot_show &failure) {
        // Nobody may look into a process that has ended, and it uses nothing any more.
        bool ended = status_field(status, "State:").find_first_of("ZX") != std::string_view::npos;
        if (ended && failure.kind == obstacle::denied)
            throw not_a_user();
        throw;
    }
}

survey find_processes()
{
    require_proc();
    survey result;
    directory processes = open_directory(AT_FDCWD, "/proc");
    if (!processes)
        throw cannot_show(obstacle::unreadable, std::string("/proc: ") + strerror(errno));
    while (const dirent *entry = readdir(processes.get())) {
        std::string_view name = entry->d_name;
        int pid = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc() || pid <= 0)
            continue;
        descriptor folder = open_process(pid);
        if (!folder.valid())
            continue;
        try {
            result.processes.push_back({pid, command_of(folder.get()), own_segment(folder.get()).facts()});
        } catch (const cannot_show &failure) {
            if (failure.kind == obstacle::denied)
                ++result.denied;
            else if (failure.kind == obstacle::unreadable)
                result.problems.push_back(std::to_string(pid) + ": " + failure.what());
        }
    }
    std::sort(result.processes.begin(), result.processes.end(),
              [](const listed_process &one, const listed_process &other) { return one.pid < other.pid; });
    return result;
}

} // namespace pw::tool
