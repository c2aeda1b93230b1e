// SPDX-License-Identifier: MIT
// pw-stat: looks into running programs that use pwlocks.
#include "output.h"
#include "processes.h"
#include "text.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <unistd.h>

namespace {

using namespace pw::tool;

constexpr int success = 0;
constexpr int failure = 1;
constexpr int usage_error = 2;

constexpr char columns_help[] = R"(
Without PID: one line per process.
  CPUS      CPUs that have a worker
  UPTIME    since the runtime started
With PID: what that process is set to, then one line per CPU. Counts are since the runtime started.
  NODE      NUMA node
  ISOLATED  whether the CPU is isolated (isolcpus, nohz_full)
  QUEUED    items accepted for this CPU, whoever ran them
  EXECUTED  items run to the end, by the CPU's worker or by callers
  CANCELLED items taken back before they started
  PENDING   items queued and neither executed nor cancelled yet, now
  BATCHES   times the worker took everything that was queued
  WAKEUPS   times the worker was woken from sleep
  REMOTE    times a lock of this CPU was taken from another CPU with membarrier (queue strategy)
  CONTENDED times somebody had to wait for a lock of this CPU
  STATE     of the worker: idle (asleep), waking (it has work, but did not get its CPU yet), awake, or running
            and the function; under the lock strategy also what callers run for this CPU
Then one line per workqueue, if the program created any.
  PRIORITY  normal, or high: served before normal ones
Exit status: 0; 1 if the process cannot be shown; 2 for a usage error.)";

// All of it, to a descriptor. A reader that went away is no error; anything else is, and 1.
int write_all(int fd, std::string_view text)
{
    while (!text.empty()) {
        ssize_t written = write(fd, text.data(), text.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EPIPE)
            return success;
        if (written < 0) {
            int error = errno;
            if (fd != STDERR_FILENO)
                write_all(STDERR_FILENO, fmt::format("pw-stat: cannot write: {}\n", strerror(error)));
            return failure;
        }
        text.remove_prefix(static_cast<size_t>(written));
    }
    return success;
}

void complain(std::string_view text)
{
    write_all(STDERR_FILENO, fmt::format("pw-stat: {}\n", text));
}

int misuse(std::string_view text)
{
    complain(text);
    write_all(STDERR_FILENO, "usage: pw-stat [PID] (see pw-stat --help)\n");
    return usage_error;
}

// A file that we open must not become standard output because that was closed.
void open_standard_descriptors()
{
    for (int fd = 0; fd <= STDERR_FILENO; ++fd)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", O_RDWR);
}

std::optional<int> parse_pid(std::string_view text)
{
    int pid = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (error != std::errc() || end != text.data() + text.size() || pid <= 0)
        return std::nullopt;
    return pid;
}

int show_list()
{
    survey found = find_processes();
    for (const std::string &problem : found.problems)
        complain(problem);
    if (!found.processes.empty())
        return write_all(STDOUT_FILENO, process_list(found));
    std::string unseen;
    if (found.denied > 0)
        unseen = fmt::format(" ({} could not be looked into{})", found.denied,
                             geteuid() == 0 ? "" : ": try as root");
    complain("no process uses the pwlocks runtime" + unseen);
    return success;
}

int show_process(int pid)
{
    try {
        return write_all(STDOUT_FILENO, process_report(find_process(pid)));
    } catch (const std::runtime_error &error) {
        complain(fmt::format("{}: {}", pid, error.what()));
        return failure;
    }
}

int run(int argc, char **argv)
{
    CLI::App app("Shows the processes that use the pwlocks runtime, or what it does in one of them.",
                 "pw-stat");
    app.set_version_flag("--version", "pw-stat " PWLOCKS_VERSION, "Print the version and exit");
    app.footer(columns_help);
    std::optional<std::string> pid_text;
    app.add_option("PID", pid_text, "Process to look into");
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp &) {
        return write_all(STDOUT_FILENO, app.help());
    } catch (const CLI::CallForVersion &version) {
        return write_all(STDOUT_FILENO, fmt::format("{}\n", version.what()));
    } catch (const CLI::ParseError &error) {
        return misuse(printable(error.what()));
    }
    if (!pid_text)
        return show_list();
    if (std::optional<int> pid = parse_pid(*pid_text))
        return show_process(*pid);
    return misuse(fmt::format("\"{}\": not a process id", printable(*pid_text)));
}

} // namespace

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    open_standard_descriptors();
    try {
        return run(argc, argv);
    } catch (const std::exception &error) {
        complain(error.what());
        return failure;
    }
}
