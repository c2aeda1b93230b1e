// SPDX-License-Identifier: MIT
// Whole processes: when the strategy is known, life before and after main(), loaded modules, what the operator got wrong, ends with a
// message. The programs are in helper_*.cc.
#include "time_limit.h"

#include "capture.h"
#include "on_cpu.h"
#include "programs.h"
#include "this_process.h"

#include <csignal>
#include <memory>

namespace {

// This run's strategy, as words show it.
std::string strategy()
{
    return under_lock() ? "lock" : "queue";
}

// Nobody has said anything, but for what a case sets.
environment only(const environment &changes)
{
    environment all = {{"PWLOCKS", std::nullopt}, {"PWLOCKS_OPTIONS", std::nullopt}, {"PWLOCKS_CONF", "/dev/null"}};
    for (const auto &[name, value] : changes)
        all[name] = value;
    return all;
}

bool lock_is_built()
{
    static const bool built = run_program({helper("work")}, only({{"PWLOCKS", "1"}})).out.rfind("lock", 0) == 0;
    return built;
}

// What helper_work says under a strategy from a source.
std::string found(const std::string &strategy, const std::string &source, const std::vector<int> &cpus = given_cpus)
{
    std::string line = strategy + ", from " + source + ", cpus";
    for (int cpu : cpus)
        line += " " + std::to_string(cpu);
    return line + "\n";
}

// What it says when nobody asks for a strategy: the machine, or else the build, decides.
std::string by_default()
{
    static const std::string line = run_program({helper("work")}, only({})).out;
    return line;
}

void require_found(const environment &changes, const std::string &out, const std::string &err)
{
    ended result = run_program({helper("work")}, only(changes));
    INFO(shown(result));
    CHECK(result.exited(0));
    CHECK(result.out == out);
    CHECK(result.err == err);
}

ended lifetime(const std::string &words)
{
    return run_program({helper("lifetime")}, {{"LIFETIME", words}});
}

void require_lifetime(const std::string &words, const std::string &out)
{
    CAPTURE(words);
    ended result = lifetime(words);
    INFO(shown(result));
    CHECK(result.exited(0));
    CHECK(result.out == out);
    CHECK(result.err == "");
}

// What helper_abort announced of itself.
struct announced {
    std::string cpu, thread, lock;

    explicit announced(const ended &result)
    {
        char c[16] = "", t[16] = "", l[32] = "";
        if (sscanf(result.out.c_str(), "cpu %15s thread %15s lock %31s", c, t, l) == 3)
            cpu = c, thread = t, lock = l;
    }

    std::string self_deadlock() const { return "pwlocks: lock " + lock + " of cpu " + cpu + ": self-deadlock: thread "; }
};

// Sanitizers have something to say about an abort, behind the library's line.
std::string first_line(const std::string &text)
{
    return text.substr(0, text.find('\n') + 1);
}

} // namespace

TEST_CASE("the strategy is known before any constructor, and the same in all of a program's life")
{
    for (const auto &[setting, name] : {std::pair("0", "queue"), std::pair("1", "lock")}) {
        if (setting == std::string("1") && !lock_is_built()) {
            WARN("skipped: the lock strategy is not compiled in");
            continue;
        }
        ended result = run_program({helper("early")}, only({{"PWLOCKS", setting}}));
        INFO(shown(result));
        CHECK(result.exited(0));
        const std::string facts = std::string(" ") + name + " PWLOCKS\n";
        CHECK(result.out == "preinit" + facts + "constructor" + facts + "main" + facts);
        CHECK(result.err == "");
    }
}

TEST_CASE("the runtime starts and works from a static constructor")
{
    require_lifetime("constructor-start", "constructor start 0\nmain ends 0\n");
    require_lifetime("constructor-start constructor-queue main-queue",
                     "constructor start 0\nconstructor queued 1\nconstructor flushed 0\nconstructor runs 1\n"
                     "main queued 1\nmain flushed 0\nmain runs 1\nmain ends 0\n");
    require_lifetime("constructor-queue", "constructor queued 1\nconstructor flushed 0\nconstructor runs 1\nmain ends 0\n");
}

TEST_CASE("the runtime works and stops in an atexit handler")
{
    require_lifetime("main-queue atexit-stop", "main queued 1\nmain flushed 0\nmain runs 1\nmain ends 0\n"
                                               "atexit stop 0\natexit late -108\n");
    require_lifetime("constructor-start atexit-queue", "constructor start 0\nmain ends 0\n"
                                                       "atexit queued 1\natexit flushed 0\natexit runs 1\n");
    require_lifetime("atexit-queue atexit-stop", "main ends 0\natexit queued 1\natexit flushed 0\natexit runs 1\n"
                                                 "atexit stop 0\natexit late -108\n");
}

TEST_CASE("the runtime works and stops in a static destructor")
{
    require_lifetime("main-queue destructor-queue destructor-stop",
                     "main queued 1\nmain flushed 0\nmain runs 1\nmain ends 0\n"
                     "destructor queued 1\ndestructor flushed 0\ndestructor runs 1\ndestructor stop 0\ndestructor late -108\n");
    require_lifetime("destructor-queue", "main ends 0\ndestructor queued 1\ndestructor flushed 0\ndestructor runs 1\n");
}

TEST_CASE("a process ends although its runtime runs, other threads queue, or a function never returns")
{
    require_lifetime("main-queue", "main queued 1\nmain flushed 0\nmain runs 1\nmain ends 0\n");
    for (int i = 0; i < (sanitized ? 2 : 10); ++i)
        require_lifetime("threads", "main ends 0\n");
    require_lifetime("endless", "main ends 0\n");
}

TEST_CASE("a module that uses the library is loaded, used, unloaded, and loaded again")
{
    const std::string module = helper("plugin.so");
    REQUIRE(std::filesystem::exists(module));
    for (const char *stops : {"0", "1"}) {
        CAPTURE(stops);
        ended result = run_program({helper("dlopen"), module, stops});
        INFO(shown(result));
        CHECK(result.exited(0));
        CHECK(result.out == "round 0: 0 0\nround 1: 0 0\nround 2: 0 0\nround 3: 0 0\nround 4: 0 0\nends\n");
        CHECK(result.err == "");
    }
}

TEST_CASE("garbage in PWLOCKS gives one line, and the next source decides")
{
    require_found({{"PWLOCKS", "2x"}}, by_default(), "pwlocks: PWLOCKS: invalid value \"2x\", ignored\n");
    require_found({{"PWLOCKS", "2x"}, {"PWLOCKS_OPTIONS", "pwlocks=0"}}, found("queue", "PWLOCKS_OPTIONS"),
                  "pwlocks: PWLOCKS: invalid value \"2x\", ignored\n");
    require_found({{"PWLOCKS", "ON"}}, by_default(), "pwlocks: PWLOCKS: invalid value \"ON\", ignored\n");
    require_found({{"PWLOCKS", "\x1b]0;owned\x07\n"}}, by_default(),
                  "pwlocks: PWLOCKS: invalid value \"?]0;owned??\", ignored\n");
    require_found({{"PWLOCKS", std::string(100'000, 'x')}}, by_default(),
                  "pwlocks: PWLOCKS: invalid value \"" + std::string(40, 'x') + "...\", ignored\n");
    // Nothing is not garbage.
    require_found({{"PWLOCKS", ""}}, by_default(), "");
}

TEST_CASE("garbage in PWLOCKS_OPTIONS gives one line each, and what is right there counts")
{
    const std::string cpu = std::to_string(given_cpus.back());
    require_found({{"PWLOCKS_OPTIONS", "pwlocks=3 nonsense color=red sched=fast cpus=" + cpu + " stats="}},
                  by_default().substr(0, by_default().find(" cpus")) + " cpus " + cpu + "\n",
                  "pwlocks: PWLOCKS_OPTIONS: pwlocks: invalid value \"3\", ignored\n"
                  "pwlocks: PWLOCKS_OPTIONS: \"nonsense\" has no value, ignored\n"
                  "pwlocks: PWLOCKS_OPTIONS: unknown key \"color\", ignored\n"
                  "pwlocks: PWLOCKS_OPTIONS: sched: invalid value \"fast\", ignored\n"
                  "pwlocks: PWLOCKS_OPTIONS: \"stats\" has no value, ignored\n");
    require_found({{"PWLOCKS", "0"}, {"PWLOCKS_OPTIONS", "cpus=8191"}}, found("queue", "PWLOCKS"),
                  "pwlocks: PWLOCKS_OPTIONS: cpus: none of these CPUs is ours, ignored\n");
    require_found({{"PWLOCKS", "0"}, {"PWLOCKS_OPTIONS", "cpus=8191," + cpu}}, found("queue", "PWLOCKS", {given_cpus.back()}),
                  "pwlocks: PWLOCKS_OPTIONS: cpus: not ours or not online, left out: 8191\n");
}

TEST_CASE("garbage in the configuration file gives one line each with its number, and what is right there counts")
{
    scratch_folder folder;
    std::string conf = folder.write("conf", "# a comment\n"
                                            "pwlocks = 0\n"
                                            "\n"
                                            "stats off\n"
                                            "idle_spin_us=fast # too fast\n"
                                            "\xff\xfe=\x01\n");
    require_found({{"PWLOCKS_CONF", conf}}, found("queue", conf),
                  "pwlocks: " + conf + ":4: \"stats off\" has no value, ignored\n" + "pwlocks: " + conf +
                      ":5: idle_spin_us: invalid value \"fast\", ignored\n" + "pwlocks: " + conf +
                      ":6: unknown key \"\xff\xfe\", ignored\n");
    // The environment comes first.
    require_found({{"PWLOCKS_CONF", conf}, {"PWLOCKS", "off"}}, found("queue", "PWLOCKS"),
                  "pwlocks: " + conf + ":4: \"stats off\" has no value, ignored\n" + "pwlocks: " + conf +
                      ":5: idle_spin_us: invalid value \"fast\", ignored\n" + "pwlocks: " + conf +
                      ":6: unknown key \"\xff\xfe\", ignored\n");

    require_found({{"PWLOCKS_CONF", folder.path("none")}}, by_default(),
                  "pwlocks: " + folder.path("none") + ": cannot be read: No such file or directory, ignored\n");
    require_found({{"PWLOCKS_CONF", "/"}}, by_default(), "pwlocks: /: cannot be read: Is a directory, ignored\n");
    std::string large = folder.write("large", std::string(100'000, '#'));
    require_found({{"PWLOCKS_CONF", large}}, by_default(), "pwlocks: " + large + ": larger than 64 KiB, ignored\n");
    std::string binary = folder.write("binary", std::string("pwlocks=0\n\0\0\0", 13));
    require_found({{"PWLOCKS_CONF", binary}}, by_default(), "pwlocks: " + binary + ": contains NUL bytes, ignored\n");
}

TEST_CASE("garbage everywhere at once: the build or the machine decides, and the program runs on")
{
    scratch_folder folder;
    std::string conf = folder.write("conf", "pwlocks=maybe\n");
    require_found({{"PWLOCKS", "yes"}, {"PWLOCKS_OPTIONS", "pwlocks=no"}, {"PWLOCKS_CONF", conf}}, by_default(),
                  "pwlocks: PWLOCKS: invalid value \"yes\", ignored\n"
                  "pwlocks: PWLOCKS_OPTIONS: pwlocks: invalid value \"no\", ignored\n"
                  "pwlocks: " +
                      conf + ":1: pwlocks: invalid value \"maybe\", ignored\n");
}

TEST_CASE("a process that is bound to one CPU has that one")
{
    for (int cpu : given_cpus) {
        std::optional<ended> result = on_cpu(cpu, [] { return run_program({helper("work")}); });
        REQUIRE(result);
        INFO(shown(*result));
        CHECK(result->exited(0));
        CHECK(result->out == found(strategy(), pw_strategy_source(), {cpu}));
        CHECK(result->err == "");
    }
}

TEST_CASE("many processes at once do not disturb each other")
{
    const std::string expected = found(strategy(), pw_strategy_source());
    std::vector<std::unique_ptr<child>> all;
    for (int i = 0; i < (sanitized ? 6 : 24); ++i)
        all.push_back(std::make_unique<child>(std::vector<std::string>{helper("work")}));
    for (auto &each : all) {
        ended result = each->wait();
        INFO(shown(result));
        CHECK(result.exited(0));
        CHECK(result.out == expected);
        CHECK(result.err == "");
    }
}

TEST_CASE("a thread that takes a lock twice aborts with the lock, the CPU and the thread")
{
    for (const char *way : {"lock", "lock-local"}) {
        CAPTURE(way);
        ended result = run_program({helper("abort"), way});
        INFO(shown(result));
        announced facts(result);
        REQUIRE_FALSE(facts.lock.empty());
        CHECK(result.killed_by(SIGABRT));
        CHECK(first_line(result.err) == facts.self_deadlock() + facts.thread + " holds it already\n");
    }
}

TEST_CASE("a work function that takes a lock twice is named")
{
    ended result = run_program({helper("abort"), "lock-in-work"});
    INFO(shown(result));
    announced facts(result);
    REQUIRE_FALSE(facts.lock.empty());
    CHECK(result.killed_by(SIGABRT));
    // Under queue the thread is the worker.
    const std::string begin = facts.self_deadlock() + (under_lock() ? facts.thread : "");
    const std::string end = " holds it already, in work function function_that_locks_twice\n";
    const std::string line = first_line(result.err);
    REQUIRE(line.size() > begin.size() + end.size() - (under_lock() ? 1 : 0));
    CHECK(line.substr(0, begin.size()) == begin);
    CHECK(line.substr(line.size() - end.size()) == end);
    const std::string between = line.substr(begin.size(), line.size() - begin.size() - end.size());
    CHECK(between.find_first_not_of("0123456789") == std::string::npos);
    CHECK(between.empty() == under_lock());
}

TEST_CASE("a lock of a CPU that cannot occur aborts with the range")
{
    ended result = run_program({helper("abort"), "lock-out-of-range"});
    INFO(shown(result));
    CHECK(result.killed_by(SIGABRT));
    CHECK(first_line(result.err) == "pwlocks: pw_lock: cpu " + std::to_string(pw_nr_cpus()) + " is out of range: 0 to " +
                                        std::to_string(pw_nr_cpus() - 1) + "\n");
}

TEST_CASE("an exception out of a work function aborts with the function and what it says")
{
    ended result = run_program({helper("abort"), "throw"});
    INFO(shown(result));
    CHECK(result.killed_by(SIGABRT));
    CHECK(first_line(result.err) == "pwlocks: work function function_that_throws: threw an exception: something?else\n");

    result = run_program({helper("abort"), "throw-number"});
    INFO(shown(result));
    CHECK(result.killed_by(SIGABRT));
    CHECK(first_line(result.err) == "pwlocks: work function function_that_throws_a_number: threw an exception\n");
}

TEST_CASE("a work function that ends its thread aborts on a worker, and under lock ends just its caller")
{
    ended result = run_program({helper("abort"), "thread-exit"});
    INFO(shown(result));
    if (under_lock()) {
        CHECK(result.exited(3));
        CHECK(result.err == "");
    } else {
        CHECK(result.killed_by(SIGABRT));
        CHECK(first_line(result.err) ==
              "pwlocks: work function function_that_ends_its_thread: ended its worker's thread, which serves cpu " +
                  announced(result).cpu + ": return instead\n");
    }
}
