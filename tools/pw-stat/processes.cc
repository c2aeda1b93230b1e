// SPDX-License-Identifier: MIT
#include "processes.h"

#include "proc.h"
#include "stat_layout.h"
#include "text.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <optional>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <utility>

namespace pw::tool {
namespace {

constexpr int most_segments = 64;      // of one process are looked into; an honest one has few
constexpr size_t longest_command = 15; // that the kernel keeps

cannot_show no_process(int pid)
{
    // Signal 0 only asks.
    if (pid > 0 && (kill(pid, 0) == 0 || errno == EPERM))
        return {obstacle::denied, "hidden from us by how /proc is mounted (try as root)"};
    return {obstacle::no_process, "no such process"};
}

cannot_show denied(const process_status &status)
{
    if (geteuid() == 0)
        return {obstacle::denied, "permission denied (needs CAP_SYS_PTRACE)"};
    if (status.is_ours())
        return {obstacle::denied, "permission denied: it protects itself (try as root)"};
    return {obstacle::denied, "permission denied (try as its user or as root)"};
}

cannot_show not_a_user()
{
    return {obstacle::not_a_user, "does not use the pwlocks runtime (or it is not running)"};
}

// What its folder says of one that has ended: nothing, unless nobody has asked yet how it ended.
cannot_show ended(int pid, const process_status &status)
{
    bool used_again = status.empty() && open_process(pid).valid();
    return {obstacle::ended, used_again ? "has ended; its id belongs to another process now" : "has ended"};
}

bool is_denial(int error)
{
    return error == EACCES || error == EPERM;
}

// Ours, not the process's.
bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
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

struct found_segment {
    segment stat;
    std::string place;
};

// The segments that one process, or one of its threads, holds.
class segment_search {
  public:
    segment_search(int folder, const process_status &status) : folder_(folder), status_(status) {}

    // Looks through a folder "fd"; returns whether there was anything in it. Throws cannot_show.
    bool look_into(const std::string &path)
    {
        directory descriptors = open_directory(folder_, path.c_str());
        // Nobody may look into what has ended.
        if (!descriptors && is_denial(errno) && !process_status(folder_).has_no_leader())
            throw denied(status_);
        if (!descriptors && is_shortage(errno))
            throw cannot_show(obstacle::unreadable, strerror(errno));
        bool any = false;
        while (const dirent *entry = descriptors ? readdir(descriptors.get()) : nullptr) {
            if (entry->d_name[0] == '.')
                continue;
            any = true;
            if (is_segment_link(dirfd(descriptors.get()), entry->d_name) && ++looked_into_ <= most_segments)
                take(dirfd(descriptors.get()), entry->d_name, path + '/' + entry->d_name);
        }
        return any;
    }

    // The process's own segment. One that it inherited through fork, or that somebody passed to it, carries
    // another pid. Throws cannot_show.
    found_segment result()
    {
        if (newest_)
            return std::move(*newest_);
        throw problem_ ? *problem_ : not_a_user();
    }

  private:
    // False too when the descriptor was closed meanwhile.
    bool is_segment_link(int descriptors, const char *name) const
    {
        char target[64];
        ssize_t length = readlinkat(descriptors, name, target, sizeof target);
        if (length < 0 && is_denial(errno))
            throw denied(status_);
        static const std::string wanted = std::string("/memfd:") + stat::segment_name;
        std::string_view link(target, length < 0 ? 0 : static_cast<size_t>(length));
        return link.starts_with(wanted) &&
               (link.size() == wanted.size() || link.substr(wanted.size()) == " (deleted)");
    }

    void take(int descriptors, const char *name, std::string place)
    {
        try {
            std::optional<segment> found = open_segment(descriptors, name);
            if (!found || found->facts().pid != status_.innermost_pid())
                return;
            if (!newest_ || newest_->stat.facts().start_ns < found->facts().start_ns)
                newest_ = found_segment{std::move(*found), std::move(place)};
        } catch (const unfinished_segment &early) {
            problem_.emplace(obstacle::not_a_user, early.what());
        } catch (const bad_segment &bad) {
            problem_.emplace(obstacle::unreadable, bad.what());
        }
    }

    // None if it was closed meanwhile.
    std::optional<segment> open_segment(int descriptors, const char *name) const
    {
        descriptor path(openat(descriptors, name, O_PATH | O_CLOEXEC));
        require(path);
        if (!path.valid())
            return std::nullopt;
        if (!is_memfd(path.get()))
            throw bad_segment("its stat segment is not an ordinary memfd");
        std::string again = "/proc/self/fd/" + std::to_string(path.get());
        descriptor file(open(again.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
        require(file);
        if (!file.valid())
            throw bad_segment(std::string("its stat segment cannot be opened: ") + strerror(errno));
        return segment(file.get());
    }

    void require(const descriptor &opened) const
    {
        if (!opened.valid() && is_denial(errno))
            throw denied(status_);
        if (!opened.valid() && is_shortage(errno))
            throw bad_segment(std::string("its stat segment cannot be opened: ") + strerror(errno));
    }

    int folder_;
    const process_status &status_;
    int looked_into_ = 0;
    std::optional<found_segment> newest_;
    std::optional<cannot_show> problem_;
};

// A thread besides the leading one, by its folder in the process's; empty if there is none.
std::string other_thread(int folder, int leader)
{
    directory tasks = open_directory(folder, "task");
    while (const dirent *entry = tasks ? readdir(tasks.get()) : nullptr)
        if (entry->d_name[0] != '.' && entry->d_name != std::to_string(leader))
            return std::string("task/") + entry->d_name;
    return {};
}

found_segment own_segment(int folder, const process_status &status)
{
    segment_search search(folder, status);
    // A leading thread that has ended, or is about to, holds nothing; the others share what they hold.
    if (status.has_no_leader() || !search.look_into("fd"))
        if (std::string other = other_thread(folder, status.leader()); !other.empty())
            search.look_into(other + "/fd");
    return search.result();
}

std::string printable_command(int folder)
{
    return printable(raw_command(folder));
}

std::string printable_command_line(int folder)
{
    std::string line = raw_command_line(folder);
    std::replace(line.begin(), line.end(), '\0', ' ');
    return line.empty() ? '[' + printable_command(folder) + ']' : printable(line);
}

void require_proc()
{
    if (access("/proc/self/fd", X_OK) != 0)
        throw cannot_show(obstacle::unreadable, "/proc is not mounted");
}

// Every process of those that `wanted` is content with, by its folder.
survey survey_of(const std::function<bool(int folder)> &wanted)
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
        if (!folder.valid() || !wanted(folder.get()))
            continue;
        try {
            process_status status(folder.get());
            result.processes.push_back(
                {pid, printable_command(folder.get()), own_segment(folder.get(), status).stat.facts()});
        } catch (const cannot_show &failure) {
            // Nobody misses kernel threads, which have no command line.
            if (failure.kind == obstacle::denied && !raw_command_line(folder.get()).empty())
                ++result.denied;
            else if (failure.kind == obstacle::unreadable)
                result.problems.push_back(std::to_string(pid) + ": " + failure.what());
        }
    }
    std::sort(result.processes.begin(), result.processes.end(),
              [](const listed_process &one, const listed_process &other) { return one.pid < other.pid; });
    return result;
}

} // namespace

process find_process(int pid)
{
    require_proc();
    descriptor folder = open_process(pid);
    process_status status(folder.get());
    int leader = status.leader();
    if (leader < 0)
        throw no_process(pid);
    if (leader != pid) // a thread's id
        return find_process(leader);
    try {
        found_segment found = own_segment(folder.get(), status);
        return {pid,
                printable_command(folder.get()),
                printable_command_line(folder.get()),
                std::move(found.stat),
                std::move(folder),
                std::move(found.place)};
    } catch (const cannot_show &failure) {
        if (process_status(folder.get()).empty()) // it ended while we looked
            throw no_process(pid);
        throw;
    }
}

bool look_again(process &shown)
{
    int folder = shown.folder.get();
    process_status status(folder);
    if (status.empty() || (status.has_no_leader() && other_thread(folder, shown.pid).empty()))
        throw ended(shown.pid, status);
    descriptor same(openat(folder, shown.place.c_str(), O_PATH | O_CLOEXEC));
    if (same.valid() && shown.stat.is_all_of(same.get()))
        return false;
    try {
        found_segment found = own_segment(folder, status);
        bool restarted = found.stat.inode() != shown.stat.inode();
        shown.stat = std::move(found.stat);
        shown.place = std::move(found.place);
        // It may have become another program.
        shown.command = printable_command(folder);
        shown.command_line = printable_command_line(folder);
        return restarted;
    } catch (const cannot_show &) {
        if (process_status now(folder); now.empty()) // it ended while we looked
            throw ended(shown.pid, now);
        throw;
    }
}

survey find_processes()
{
    return survey_of([](int) { return true; });
}

survey find_named(std::string_view name)
{
    return survey_of([name](int folder) {
        std::string command = raw_command(folder);
        // Scripts are known by their command, cut to what the kernel keeps, and not by their interpreter's
        // path.
        return command == name || program_name(raw_command_line(folder)) == name ||
               (command.size() == longest_command && name.starts_with(command));
    });
}

} // namespace pw::tool
