// SPDX-License-Identifier: MIT
// pw-bench: measures the library on this machine, beside what else there is.
#include "call.h"
#include "delay.h"
#include "lock.h"
#include "peers.h"
#include "process.h"
#include "queue.h"
#include "queue_peers.h"
#include "report.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace {

using nlohmann::json;
using namespace pw::bench;

constexpr int success = 0, failure = 1, usage_error = 2;

constexpr char groups_help[] = R"(
A process has one strategy, so each is measured in a process of its own, beside its references and peers.
  own        the library
  reference  the least that it could cost, written by hand
  peer       other packages, as far as they were there when pw-bench was built
Exit status: 0, whether targets are reached or not; 1 if it cannot measure, or if delayed work
started early; 2 for a usage error.)";

int print(const std::string &text)
{
    if (fwrite(text.data(), 1, text.size(), stdout) == text.size() && fflush(stdout) == 0)
        return success;
    if (errno == EPIPE)
        return success; // the reader has gone
    fmt::print(stderr, "pw-bench: cannot write: {}\n", strerror(errno));
    return failure;
}

// A subcommand: its options, what it measures in processes of its own, and how it tells of that.
class subcommand {
  public:
    subcommand(CLI::App &app, const char *name, const char *what, bench_options &options,
               bool compares = true)
        : command_(*app.add_subcommand(name, what)), options_(options), compares_(compares)
    {
        command_.footer(groups_help);
        command_.add_flag("--json", json_, "Write one JSON document; see pw-bench(1)");
        if (compares_) {
            command_
                .add_option("--repetitions", options_.repetitions,
                            "Repetitions of which medians are taken (15)")
                ->check(CLI::Range(1, 10'000));
            command_.add_flag("--no-peers", no_peers_, "Leave the other packages out");
        }
        command_.add_option("--measure", measured_)->group(""); // in the measuring process: which run
    }
    virtual ~subcommand() = default;
    subcommand(const subcommand &) = delete;
    subcommand &operator=(const subcommand &) = delete;

    bool parsed() const { return command_.parsed(); }
    std::string help() const { return command_.help(); }

    // Throws CLI::ValidationError.
    void check()
    {
        options_.peers = !no_peers_;
        check_cpu("--cpu", options_.cpu);
        check_cpu(other_cpu_name_, options_.other_cpu);
        if (options_.other_cpu && options_.other_cpu == options_.cpu)
            throw CLI::ValidationError(other_cpu_name_, "is the same CPU as --cpu");
    }

    // The options behind the program's name are handed on to the measuring processes.
    int run(std::vector<std::string> arguments)
    {
        if (!measured_.empty())
            return print(measure(measured_).dump());
        if (needs_two_cpus_)
            choose_two_cpus(options_); // says so before anything is measured
        json runs = json::array();
        for (const auto &[strategy, which] : processes()) {
            std::vector<std::string> all = arguments;
            all.insert(all.end(), {"--measure", which});
            json run = measured_under(strategy, all);
            // A library without the lock strategy has none of its runs.
            if (!run.is_null() && (runs.empty() || which != "lock" || run["strategy"] == "lock"))
                runs.push_back(std::move(run));
        }
        json result = {{"schema", fmt::format("pw-bench {} 1", command_.get_name())},
                       {"version", PWLOCKS_VERSION},
                       {"machine", this_machine()},
                       {"peers_not_built_in", options_.peers ? json(missing()) : json::array()},
                       {"targets", targets(runs)}};
        if (compares_)
            result["repetitions"] = options_.repetitions;
        erase_samples(runs);
        result["runs"] = std::move(runs);
        complete(result);
        int printed = print(json_ ? result.dump(2) + "\n" : report(result));
        return printed == success ? verdict(result) : printed;
    }

  protected:
    CLI::App &command() { return command_; }

    struct process {
        const char *strategy;
        std::string which;
    };
    virtual std::vector<process> processes() const { return {{"0", "queue"}, {"1", "lock"}}; }
    virtual json measure(const std::string &which) = 0;
    virtual json targets(const json &runs) = 0;
    virtual std::vector<std::string> missing() { return {}; }
    virtual void complete(json &result) = 0; // with the options that no other subcommand has
    virtual std::string report(const json &result) = 0;
    virtual int verdict(const json &) { return success; }

    void add_cpus(const char *cpu_is, const char *other_name, const char *other_is, bool needs_two)
    {
        needs_two_cpus_ = needs_two;
        other_cpu_name_ = other_name;
        command_.add_option("--cpu", options_.cpu, cpu_is);
        command_.add_option(other_name, options_.other_cpu, other_is);
    }

  private:
    static void check_cpu(const char *option, std::optional<int> cpu)
    {
        std::vector<int> allowed = allowed_cpus();
        if (cpu && std::find(allowed.begin(), allowed.end(), *cpu) == allowed.end())
            throw CLI::ValidationError(option, fmt::format("CPU {} is not ours to run on", *cpu));
    }

    CLI::App &command_;
    bench_options &options_;
    const bool compares_; // with peers, in repetitions, and has targets
    const char *other_cpu_name_ = "";
    bool json_ = false, no_peers_ = false, needs_two_cpus_ = false;
    std::string measured_;
};

class lock_command : public subcommand {
  public:
    explicit lock_command(CLI::App &app)
        : subcommand(app, "lock", "What an uncontended lock costs under both strategies", options_)
    {
        command()
            .add_option("--pairs", options_.pairs, "Locks and unlocks in each repetition (200000)")
            ->check(CLI::Range(1000L, 1'000'000'000L));
        add_cpus("CPU to measure on (the last one that is ours)", "--remote-cpu",
                 "CPU whose lock is taken from there (another one of ours)", false);
    }

  private:
    json measure(const std::string &) override { return measure_locks(options_); }
    json targets(const json &runs) override { return lock_targets(runs); }
    std::vector<std::string> missing() override { return missing_peers(); }
    void complete(json &result) override { result["pairs"] = options_.pairs; }
    std::string report(const json &result) override { return lock_report(result); }

    lock_options options_;
};

constexpr char worker_cpu[] = "--worker-cpu",
               worker_cpu_is[] = "CPU of the worker (the last one that is ours)";

class queue_command : public subcommand {
  public:
    explicit queue_command(CLI::App &app)
        : subcommand(app, "queue", "What an item costs where many are queued", options_)
    {
        command()
            .add_option("--items", options_.items, "Items that each producer queues in a repetition (100000)")
            ->check(CLI::Range(1000L, 10'000'000L));
        command()
            .add_option("--producers", options_.producers, "Threads where there are several (4)")
            ->check(CLI::Range(2, 64));
        add_cpus("CPU of the producer (another one of ours)", worker_cpu, worker_cpu_is, true);
    }

  private:
    json measure(const std::string &) override { return measure_queues(options_); }
    json targets(const json &runs) override { return queue_targets(runs); }
    std::vector<std::string> missing() override { return missing_queue_peers(); }
    void complete(json &result) override { result["items"] = options_.items; }
    std::string report(const json &result) override { return queue_report(result); }

    queue_options options_;
};

class call_command : public subcommand {
  public:
    explicit call_command(CLI::App &app)
        : subcommand(app, "call", "How long one item takes there and back", options_)
    {
        command()
            .add_option("--calls", options_.calls,
                        "Calls in each repetition (10000); a twentieth of them where both sides sleep")
            ->check(CLI::Range(100L, 10'000'000L));
        add_cpus("CPU that calls (another one of ours)", worker_cpu, worker_cpu_is, true);
    }

  private:
    std::vector<process> processes() const override
    {
        return {{"0", "awake"}, {"0", "asleep"}, {"1", "lock"}};
    }
    json measure(const std::string &which) override
    {
        return measure_calls(options_, which == "awake"    ? call_run::awake
                                       : which == "asleep" ? call_run::asleep
                                                           : call_run::lock);
    }
    json targets(const json &runs) override { return call_targets(runs); }
    std::vector<std::string> missing() override { return missing_call_peers(); }
    void complete(json &result) override { result["calls"] = options_.calls; }
    std::string report(const json &result) override { return call_report(result); }

    call_options options_;
};

class delay_command : public subcommand {
  public:
    explicit delay_command(CLI::App &app)
        : subcommand(app, "delay", "How late delayed work runs, and what it costs to arm it", options_, false)
    {
        command()
            .add_option("--samples", options_.samples, "How often an item is armed 1 ms ahead (2000)")
            ->check(CLI::Range(1L, 10'000'000L));
        command()
            .add_option("--armed", options_.armed, "Other items, armed an hour ahead and more (1000000)")
            ->check(CLI::Range(100L, 10'000'000L));
        add_cpus("CPU that arms (another one of ours)", worker_cpu, worker_cpu_is, true);
    }

  private:
    json measure(const std::string &) override { return measure_delays(options_); }
    json targets(const json &) override { return json::array(); }
    void complete(json &result) override
    {
        result["samples"] = options_.samples;
        result["armed"] = options_.armed;
        result["early"] = early_starts(result["runs"]);
    }
    std::string report(const json &result) override { return delay_report(result); }
    int verdict(const json &result) override
    {
        if (result["early"] == 0)
            return success;
        fmt::print(stderr, "pw-bench: delayed work started early\n");
        return failure;
    }

    delay_options options_;
};

int run(int argc, char **argv)
{
    CLI::App app("Measures pwlocks on this machine, beside what else there is.", "pw-bench");
    app.set_version_flag("--version", "pw-bench " PWLOCKS_VERSION, "Print the version and exit");
    app.require_subcommand(1);
    lock_command lock(app);
    queue_command queue(app);
    call_command call(app);
    delay_command delay(app);
    subcommand *const all[] = {&lock, &queue, &call, &delay};
    auto chosen = [&] {
        return *std::find_if(std::begin(all), std::end(all), [](subcommand *each) { return each->parsed(); });
    };
    try {
        app.parse(argc, argv);
        chosen()->check();
    } catch (const CLI::CallForHelp &) {
        for (subcommand *each : all)
            if (each->parsed())
                return print(each->help());
        return print(app.help());
    } catch (const CLI::CallForVersion &version) {
        return print(fmt::format("{}\n", version.what()));
    } catch (const CLI::ParseError &error) {
        fmt::print(stderr, "pw-bench: {}\nusage: pw-bench {} [--json] ... (see --help)\n", error.what(),
                   "lock|queue|call|delay");
        return usage_error;
    }
    return chosen()->run({argv, argv + argc});
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
