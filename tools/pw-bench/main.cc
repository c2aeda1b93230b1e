// SPDX-License-Identifier: MIT
// pw-bench: measures the library on this machine, beside what else there is.
#include "lock.h"
#include "measure.h"
#include "peers.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using nlohmann::json;
using namespace pw::bench;

constexpr int success = 0, failure = 1, usage_error = 2;

constexpr char lock_help[] = R"(
A process has one strategy, so each is measured in a process of its own, beside its references and peers.
  own        the library's locks
  reference  the least that such a lock can cost, written by hand
  peer       other packages' locks, as far as they were there when pw-bench was built
Exit status: 0, whether targets are reached or not; 1 if it cannot measure; 2 for a usage error.)";

// Everything that a descriptor holds until it ends.
std::string read_all(int fd)
{
    std::string all;
    char part[4096];
    for (ssize_t got; (got = read(fd, part, sizeof part)) != 0;) {
        if (got < 0 && errno != EINTR)
            throw std::runtime_error(std::string("cannot read from the measuring process: ") +
                                     strerror(errno));
        if (got > 0)
            all.append(part, static_cast<size_t>(got));
    }
    return all;
}

// Measures in a child process that has the strategy; it writes JSON to its standard output.
json measured_under(const char *strategy, const std::vector<std::string> &arguments)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        throw std::runtime_error(std::string("pipe: ") + strerror(errno));
    pid_t child = fork();
    if (child < 0)
        throw std::runtime_error(std::string("fork: ") + strerror(errno));
    if (child == 0) {
        setenv("PWLOCKS", strategy, 1);
        dup2(ends[1], STDOUT_FILENO);
        std::vector<char *> pointers;
        for (const std::string &each : arguments)
            pointers.push_back(const_cast<char *>(each.c_str()));
        pointers.push_back(nullptr);
        execv("/proc/self/exe", pointers.data());
        _exit(127);
    }
    close(ends[1]);
    std::string text = read_all(ends[0]);
    close(ends[0]);
    int status = -1;
    while (waitpid(child, &status, 0) != child && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error(fmt::format("measuring with PWLOCKS={} failed", strategy));
    return json::parse(text);
}

json whole_result(const lock_options &options, std::vector<std::string> arguments)
{
    arguments.insert(arguments.begin() + 1, {"lock", "--measure"});
    json runs = json::array();
    for (const char *strategy : {"0", "1"}) {
        json run = measured_under(strategy, arguments);
        // A library without the lock strategy has one run.
        if (runs.empty() || run["strategy"] != runs[0]["strategy"])
            runs.push_back(std::move(run));
    }
    json result = {{"schema", "pw-bench lock 1"},
                   {"version", PWLOCKS_VERSION},
                   {"machine",
                    {{"processor", processor_name()},
                     {"kernel", kernel_name()},
                     {"compiler", PW_BENCH_COMPILER},
                     {"cycles_per_ns", cycles_per_ns()}}},
                   {"repetitions", options.repetitions},
                   {"pairs", options.pairs},
                   {"peers_not_built_in", options.peers ? json(missing_peers()) : json::array()},
                   {"targets", lock_targets(runs)}};
    for (json &run : runs)
        for (json &row : run["rows"])
            row.erase("samples_cycles");
    result["runs"] = runs;
    return result;
}

int print(const std::string &text)
{
    if (fwrite(text.data(), 1, text.size(), stdout) == text.size() && fflush(stdout) == 0)
        return success;
    if (errno == EPIPE)
        return success; // the reader has gone
    fmt::print(stderr, "pw-bench: cannot write: {}\n", strerror(errno));
    return failure;
}

void check_cpu(const char *option, std::optional<int> cpu)
{
    std::vector<int> allowed = allowed_cpus();
    if (cpu && std::find(allowed.begin(), allowed.end(), *cpu) == allowed.end())
        throw CLI::ValidationError(option, fmt::format("CPU {} is not ours to run on", *cpu));
}

int run(int argc, char **argv)
{
    CLI::App app("Measures pwlocks on this machine, beside what else there is.", "pw-bench");
    app.set_version_flag("--version", "pw-bench " PWLOCKS_VERSION, "Print the version and exit");
    app.require_subcommand(1);
    CLI::App *lock = app.add_subcommand("lock", "What an uncontended lock costs under both strategies");
    lock->footer(lock_help);
    lock_options options;
    bool as_json = false, no_peers = false, measures = false;
    lock->add_flag("--json", as_json, "Write one JSON document; see pw-bench(1)");
    lock->add_option("--repetitions", options.repetitions, "Repetitions of which medians are taken (15)")
        ->check(CLI::Range(1, 10'000));
    lock->add_option("--pairs", options.pairs, "Locks and unlocks in each repetition (200000)")
        ->check(CLI::Range(1000L, 1'000'000'000L));
    lock->add_option("--cpu", options.cpu, "CPU to measure on (the last one that is ours)");
    lock->add_option("--remote-cpu", options.remote_cpu,
                     "CPU whose lock is taken from there (another one of ours)");
    lock->add_flag("--no-peers", no_peers, "Leave the other packages' locks out");
    lock->add_flag("--measure", measures)->group("");
    try {
        app.parse(argc, argv);
        options.peers = !no_peers;
        check_cpu("--cpu", options.cpu);
        check_cpu("--remote-cpu", options.remote_cpu);
        if (options.remote_cpu && options.remote_cpu == options.cpu)
            throw CLI::ValidationError("--remote-cpu", "is the same CPU as --cpu");
    } catch (const CLI::CallForHelp &) {
        return print(lock->parsed() ? lock->help() : app.help());
    } catch (const CLI::CallForVersion &version) {
        return print(fmt::format("{}\n", version.what()));
    } catch (const CLI::ParseError &error) {
        fmt::print(
            stderr,
            "pw-bench: {}\nusage: pw-bench lock [--json] [--repetitions N] ... (see pw-bench lock --help)\n",
            error.what());
        return usage_error;
    }
    if (measures)
        return print(measure_locks(options).dump());
    std::vector<std::string> arguments = {argv[0], "--repetitions", std::to_string(options.repetitions),
                                          "--pairs", std::to_string(options.pairs)};
    if (options.cpu)
        arguments.insert(arguments.end(), {"--cpu", std::to_string(*options.cpu)});
    if (options.remote_cpu)
        arguments.insert(arguments.end(), {"--remote-cpu", std::to_string(*options.remote_cpu)});
    if (no_peers)
        arguments.push_back("--no-peers");
    json result = whole_result(options, arguments);
    return print(as_json ? result.dump(2) + "\n" : lock_report(result));
}

} // namespace

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    try {
        return run(argc, argv);
    } catch (const std::exception &error) {
        fmt::print(stderr, "pw-bench: {}\n", error.what());
        return failure;
    }
}
