// SPDX-License-Identifier: MIT
// Which strategy, from which source, and until when the program may choose: on machines of a test's own. The
// process's is in test_strategy_process.cc.
#include "capture.h"
#include "catch.h"
#include "cpu_masks.h"

#include "strategy.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

using namespace pw::detail;
using namespace std::string_literals;

namespace {

constexpr build_facts default_queue = {true, false};
constexpr build_facts default_lock = {true, true};

// A machine of a test's own: its /sys, its /etc, its environment.
struct world {
    scratch_folder folder;
    std::optional<std::string> pwlocks, options, conf;
    cpu_mask ours = mask_of({0, 1});
    std::string messages;

    void isolated(std::string_view text) const { folder.write("sys/devices/system/cpu/isolated", text); }
    void nohz_full(std::string_view text) const { folder.write("sys/devices/system/cpu/nohz_full", text); }
    std::string etc_file(std::string_view text) const { return folder.write("etc/pwlocks.conf", text); }

    resolution resolve(const build_facts &build = default_queue)
    {
        std::string sys = folder.path("sys"), etc = folder.path("etc");
        auto text = [](const std::optional<std::string> &value) { return value ? value->c_str() : nullptr; };
        resolution out;
        stderr_capture capture;
        resolve_in_build(build, {text(pwlocks), text(options), text(conf)}, {sys.c_str(), etc.c_str()}, ours,
                         out);
        messages = capture.text();
        return out;
    }
};

std::string decision(const resolution &found)
{
    return (found.strategy == PW_STRATEGY_LOCK ? "lock by "s : "queue by "s) + found.source +
           (found.by_operator ? ", operator" : "");
}

} // namespace

TEST_CASE("without any source the build's default decides")
{
    world machine;
    CHECK(decision(machine.resolve(default_queue)) == "queue by build");
    CHECK(decision(machine.resolve(default_lock)) == "lock by build");
    machine.pwlocks = machine.options = machine.conf = "";
    CHECK(decision(machine.resolve(default_queue)) == "queue by build");
    CHECK(machine.messages.empty());

    resolution here;
    std::string sys = machine.folder.path("sys"), etc = machine.folder.path("etc");
    resolve({nullptr, nullptr, nullptr}, {sys.c_str(), etc.c_str()}, machine.ours, here);
    bool lock = PWLOCKS_LOCK_STRATEGY != 0 && PWLOCKS_DEFAULT_LOCK != 0;
    CHECK(decision(here) == (lock ? "lock by build" : "queue by build"));
    CHECK(here.lock_built == (PWLOCKS_LOCK_STRATEGY != 0));
}

TEST_CASE("the first source that says something valid decides")
{
    // Every combination of three sources (absent, empty, malformed, 0, 1, auto), the isolation rule and the
    // default.
    const std::vector<std::string> sayings = {"-", "", "2x", "0", "1", "auto"};
    world machine;
    std::string etc_path = machine.folder.path("etc/pwlocks.conf");
    for (bool isolation : {false, true}) {
        machine.isolated(isolation ? "1-7\n" : "2-7\n");
        for (const std::string &file : sayings) {
            machine.etc_file(file == "-" ? "stats = off\n" : "# a comment\npwlocks = " + file + "\n");
            for (const std::string &option : sayings)
                for (const std::string &variable : sayings)
                    for (bool lock_default : {false, true}) {
                        machine.pwlocks = variable == "-" ? std::nullopt : std::optional(variable);
                        machine.options = "idle_spin_us=5" + (option == "-" ? "" : " pwlocks=" + option);
                        std::string rest = isolation      ? "lock by isolation"
                                           : lock_default ? "lock by build"
                                                          : "queue by build";
                        std::string expected = rest, complaints;
                        bool decided = false;
                        auto ask = [&](const std::string &said, const std::string &source) {
                            if (decided || said == "-" || said.empty() || said == "2x")
                                return;
                            decided = true;
                            expected = (said == "auto" ? rest
                                        : said == "1"  ? "lock by " + source
                                                       : "queue by " + source) +
                                       ", operator";
                        };
                        ask(variable, "PWLOCKS");
                        ask(option, "PWLOCKS_OPTIONS");
                        ask(file, etc_path);
                        if (variable == "2x")
                            complaints += "pwlocks: PWLOCKS: invalid value \"2x\", ignored\n";
                        if (option == "2x")
                            complaints +=
                                "pwlocks: PWLOCKS_OPTIONS: pwlocks: invalid value \"2x\", ignored\n";
                        if (option.empty())
                            complaints += "pwlocks: PWLOCKS_OPTIONS: \"pwlocks\" has no value, ignored\n";
                        if (file == "2x")
                            complaints +=
                                "pwlocks: " + etc_path + ":2: pwlocks: invalid value \"2x\", ignored\n";
                        if (file.empty())
                            complaints += "pwlocks: " + etc_path + ":2: \"pwlocks\" has no value, ignored\n";

                        resolution found = machine.resolve({true, lock_default});
                        CAPTURE(variable, option, file, isolation, lock_default);
                        REQUIRE(decision(found) == expected);
                        REQUIRE(machine.messages == complaints);
                        REQUIRE(found.ignored.count ==
                                std::count(complaints.begin(), complaints.end(), '\n'));
                        REQUIRE(found.options.idle_spin_us == 5);
                        REQUIRE(found.options.stats ==
                                (file == "-" ? stats_choice::off : stats_choice::unset));
                    }
        }
    }
}

TEST_CASE("the file named by PWLOCKS_CONF replaces the usual one")
{
    world machine;
    machine.etc_file("pwlocks=1\nidle_spin_us=9\n");
    machine.conf = machine.folder.write("own.conf", "pwlocks=0\nstats=off\nsched=x\n");
    resolution found = machine.resolve();
    CHECK(decision(found) == "queue by " + *machine.conf + ", operator");
    CHECK(found.options.stats == stats_choice::off);
    CHECK(found.options.idle_spin_us == -1);
    CHECK(machine.messages == "pwlocks: " + *machine.conf + ":3: sched: invalid value \"x\", ignored\n");

    machine.options = "stats=on";
    CHECK(machine.resolve().options.stats == stats_choice::on);

    machine.conf = "";
    CHECK(decision(machine.resolve()) == "lock by " + machine.folder.path("etc/pwlocks.conf") + ", operator");
    machine.conf = "/dev/null";
    CHECK(decision(machine.resolve()) == "queue by build");
    CHECK(machine.messages.empty());
}

TEST_CASE("a file that cannot be used is ignored as a whole, with one line")
{
    world machine;
    auto require_unused = [&](const std::string &why) {
        resolution found = machine.resolve();
        CHECK(decision(found) == "queue by build");
        CHECK(found.options.stats == stats_choice::unset);
        std::string path = machine.conf.value_or(machine.folder.path("etc/pwlocks.conf"));
        CHECK(machine.messages == "pwlocks: " + path + ": " + why + ", ignored\n");
        CHECK(found.ignored.count == 1);
    };

    machine.conf = machine.folder.path("missing.conf");
    require_unused("cannot be read: No such file or directory");
    machine.conf = "/";
    require_unused("cannot be read: Is a directory");

    const std::string small = "pwlocks=1\nstats=off\n";
    machine.conf = machine.folder.write("large.conf", small + std::string(65537 - small.size(), '\n'));
    require_unused("larger than 64 KiB");
    machine.conf = "/dev/zero";
    require_unused("larger than 64 KiB");
    machine.conf = machine.folder.write("nul.conf", small + "\0"s);
    require_unused("contains NUL bytes");

    // A pipe that somebody holds open, but writes nothing to, must not hold the program up.
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    machine.conf = "/dev/fd/" + std::to_string(ends[0]);
    require_unused("cannot be read: Resource temporarily unavailable");
    REQUIRE(write(ends[1], small.data(), small.size()) == static_cast<ssize_t>(small.size()));
    close(ends[1]);
    CHECK(decision(machine.resolve()) == "lock by " + *machine.conf + ", operator");
    close(ends[0]);

    // The largest that counts.
    machine.conf = machine.folder.write("full.conf", small + std::string(65536 - small.size(), '\n'));
    CHECK(decision(machine.resolve()) == "lock by " + *machine.conf + ", operator");

    // The usual file may be missing, with or without its folder, but not be unusable.
    machine.conf.reset();
    CHECK(decision(machine.resolve()) == "queue by build");
    CHECK(machine.messages.empty());
    machine.folder.write("etc", "a file, not a folder");
    CHECK(decision(machine.resolve()) == "queue by build");
    CHECK(machine.messages.empty());
    REQUIRE(unlink(machine.folder.path("etc").c_str()) == 0);
    machine.folder.write("etc/pwlocks.conf/file", "");
    require_unused("cannot be read: Is a directory");
}

TEST_CASE("a very long path or value is cut, never overflows")
{
    world machine;
    machine.pwlocks = std::string(100000, '1');
    machine.conf = "/" + std::string(5000, 'p');
    resolution found = machine.resolve();
    CHECK(decision(found) == "queue by build");
    std::string value = "PWLOCKS: invalid value \"" + std::string(40, '1') + "...\", ignored";
    CHECK(machine.messages.substr(0, value.size() + 10) == "pwlocks: " + value + "\n");
    CHECK(found.ignored.text[0] == value);
    REQUIRE(found.ignored.count == 2);
    CHECK(found.ignored.text[1] == "/" + std::string(115, 'p') + "...");

    std::string deep = machine.folder.path("");
    for (int i = 0; i < 10; ++i)
        deep += std::string(50, static_cast<char>('a' + i)) + "/";
    machine.pwlocks.reset();
    machine.conf = deep + "x.conf";
    std::filesystem::create_directories(deep);
    std::ofstream(*machine.conf) << "pwlocks=1\nfoo\n";
    found = machine.resolve();
    CHECK(found.strategy == PW_STRATEGY_LOCK);
    CHECK(found.source == machine.conf->substr(0, 255));
    CHECK(machine.messages ==
          "pwlocks: " + machine.conf->substr(0, 255) + ":2: \"foo\" has no value, ignored\n");
}

TEST_CASE("an isolated CPU of ours selects lock")
{
    struct {
        const char *isolated, *nohz_full; // null: no such file
        const char *both;
        bool lock;
    } const cases[] = {
        {nullptr, nullptr, "", false},
        {"", "", "", false},
        {"\n", "\n", "", false},
        {"96\n", nullptr, "96", true},
        {nullptr, "32\n", "32", true},
        {"33-95\n", "0-31,97-8191\n", "0-31,33-95,97-8191", false},
        {"33-95,96\n", "\n", "33-96", true},
        {"0-8191\n", "\n", "0-8191", true},
        {"1-3,8\n", "32", "1-3,8,32", true}, // no line end
        {"\n", "(null)\n", "", false},       // a kernel without nohz_full=
        {"32,x\n", "\n", "", false},
        {"8192\n", "96\n", "96", true},
    };
    for (const auto &one : cases) {
        world machine;
        machine.ours = mask_of({32, 96});
        if (one.isolated)
            machine.isolated(one.isolated);
        if (one.nohz_full)
            machine.nohz_full(one.nohz_full);
        CAPTURE(one.both);
        CHECK(decision(machine.resolve()) == (one.lock ? "lock by isolation" : "queue by build"));
        CHECK(decision(machine.resolve(default_lock)) == (one.lock ? "lock by isolation" : "lock by build"));
        CHECK(machine.messages.empty());
        std::string sys = machine.folder.path("sys");
        CHECK(listed(read_isolated({sys.c_str(), "/etc"})) == one.both);
    }
}

TEST_CASE("where the lock strategy is compiled out it is queue, and who asks for lock is told")
{
    world machine;
    machine.isolated("0-7\n");
    std::string etc = machine.etc_file("pwlocks=y\n");
    machine.pwlocks = "1";
    machine.options = "pwlocks=on stats=off";
    for (bool lock_default : {false, true}) {
        resolution found = machine.resolve({false, lock_default});
        CHECK(decision(found) == "queue by build");
        const char *line = ": the lock strategy is not compiled in, ignored\n";
        CHECK(machine.messages ==
              "pwlocks: PWLOCKS"s + line + "pwlocks: PWLOCKS_OPTIONS" + line + "pwlocks: " + etc + line);
        CHECK(found.ignored.count == 3);
        CHECK(found.ignored.text[0] == "PWLOCKS: the lock strategy is not compiled in, ignored"s);
        CHECK(found.options.stats == stats_choice::off);

        strategy_word word;
        word.settle(found);
        stderr_capture capture;
        CHECK(word.choose(strategy_choice::queue, found) == 0);
        CHECK(word.choose(strategy_choice::automatic, found) == 0);
        CHECK(word.choose(strategy_choice::lock, found) == 0);
        CHECK(capture.text() == "pwlocks: program"s + line);
        CHECK(word.use() == PW_STRATEGY_QUEUE);
        CHECK_FALSE(word.by_program());
    }
    for (const char *said : {"0", "auto"}) {
        machine.pwlocks = said;
        CHECK(decision(machine.resolve({false, true})) == "queue by build");
        CHECK(machine.messages.empty());
    }
}

TEST_CASE("the program chooses until the first use, and only where the operator did not")
{
    for (bool lock : {false, true}) {
        world machine;
        resolution found = machine.resolve({true, lock});
        auto own = lock ? strategy_choice::lock : strategy_choice::queue;
        auto other = lock ? strategy_choice::queue : strategy_choice::lock;
        auto own_value = lock ? PW_STRATEGY_LOCK : PW_STRATEGY_QUEUE;
        auto other_value = lock ? PW_STRATEGY_QUEUE : PW_STRATEGY_LOCK;

        strategy_word word;
        CHECK_FALSE(word.settled());
        word.settle(found);
        CHECK(word.settled());
        CHECK(word.strategy() == own_value);
        CHECK(word.choose(strategy_choice::unset, found) == 0);
        CHECK_FALSE(word.by_program());
        CHECK(word.choose(other, found) == 0);
        CHECK(word.strategy() == other_value);
        CHECK(word.by_program());
        CHECK(word.choose(strategy_choice::automatic, found) == 0);
        CHECK(word.strategy() == own_value);
        CHECK_FALSE(word.by_program());
        CHECK(word.choose(own, found) == 0);
        CHECK(word.by_program());
        CHECK(word.choose(other, found) == 0);

        CHECK(word.use() == other_value);
        CHECK(word.choose(own, found) == -EBUSY);
        CHECK(word.choose(strategy_choice::automatic, found) == -EBUSY);
        CHECK(word.choose(other, found) == 0);
        CHECK(word.choose(strategy_choice::unset, found) == 0);
        CHECK(word.use() == other_value);
        CHECK(word.by_program());

        strategy_word used;
        used.settle(found);
        CHECK(used.use() == own_value);
        CHECK(used.choose(other, found) == -EBUSY);
        CHECK(used.choose(own, found) == 0);
        CHECK(used.choose(strategy_choice::automatic, found) == 0);
        CHECK(used.strategy() == own_value);
        CHECK_FALSE(used.by_program()); // it did not decide

        for (const char *said : {lock ? "1" : "0", "auto"}) {
            machine.pwlocks = said;
            resolution operators = machine.resolve({true, lock});
            strategy_word firm;
            firm.settle(operators);
            CHECK(firm.choose(other, operators) == 0);
            CHECK(firm.strategy() == own_value);
            CHECK_FALSE(firm.by_program());
            CHECK(firm.use() == own_value);
            CHECK(firm.choose(other, operators) == 0);
        }
    }
}

TEST_CASE("a choice and the first use cannot cross")
{
    world machine;
    resolution found = machine.resolve();
    for (int round = 0; round < 2000; ++round) {
        strategy_word word;
        word.settle(found);
        std::atomic<int> ready{0};
        auto meet = [&] {
            ready.fetch_add(1);
            while (ready.load() < 2)
                std::this_thread::yield();
        };
        pw_strategy_t used = PW_STRATEGY_QUEUE;
        std::thread user([&] {
            meet();
            used = word.use();
        });
        meet();
        int refused = word.choose(strategy_choice::lock, found);
        user.join();
        REQUIRE(used == word.strategy());
        REQUIRE(refused == (used == PW_STRATEGY_LOCK ? 0 : -EBUSY));
    }
}
