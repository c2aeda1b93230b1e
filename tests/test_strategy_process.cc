// SPDX-License-Identifier: MIT
// The process's own strategy: there before its constructors, and the program's to choose until it is used; and
// the affinity at launch.
#include "catch.h"
#include "cpu_masks.h"
#include "strategy_child.h"

#include "strategy.h"

#include <string>

using namespace pw::detail;
using strategy_child::play;
using strategy_child::played;
using namespace std::string_literals;

namespace {

// What this machine and this build decide without an operator.
resolution left_alone()
{
    resolution found;
    resolve({nullptr, nullptr, "/dev/null"}, {}, launch_affinity(), found);
    return found;
}

std::string name_of(pw_strategy_t strategy)
{
    return strategy == PW_STRATEGY_LOCK ? "lock" : "queue";
}

} // namespace

TEST_CASE("the strategy is there before ordinary constructors, and before libc's own")
{
    for (const char *when : {"", "!"}) {
        CAPTURE(when);
        resolution base = left_alone();
        CHECK(play({}, when + "esf"s).printed == "kept|" + name_of(base.strategy) + "|" + base.source + "|");
        CHECK(play({{"PWLOCKS", "0"}}, when + "usf"s).printed ==
              (base.lock_built ? "queue|queue|PWLOCKS|" : "queue|queue|build|"));
        played garbage = play({{"PWLOCKS", "2x"}, {"PWLOCKS_OPTIONS", "foo"}}, when + "fi"s);
        CHECK(garbage.printed == base.source + "|PWLOCKS: invalid value \"2x\", ignored|"s);
        CHECK(garbage.messages == "pwlocks: PWLOCKS: invalid value \"2x\", ignored\n"
                                  "pwlocks: PWLOCKS_OPTIONS: \"foo\" has no value, ignored\n");
        if (!base.lock_built)
            continue;
        CHECK(play({{"PWLOCKS", "1"}}, when + "sf"s).printed == "lock|PWLOCKS|");
        CHECK(play({{"PWLOCKS_OPTIONS", "stats=on pwlocks=1"}}, when + "fs"s).printed ==
              "PWLOCKS_OPTIONS|lock|");
        scratch_folder folder;
        std::string file = folder.write("x.conf", "pwlocks=1");
        CHECK(play({{"PWLOCKS_CONF", file}}, when + "sf"s).printed == "lock|" + file + "|");
    }
}

TEST_CASE("the process's strategy follows the program until it is used, never against the operator")
{
    resolution base = left_alone();
    if (!base.lock_built) {
        played asked = play({}, "10sf");
        CHECK(asked.printed == "ok|ok|queue|build|");
        CHECK(asked.messages == "pwlocks: program: the lock strategy is not compiled in, ignored\n");
        return;
    }
    std::string own = name_of(base.strategy), from = base.source;
    for (const char *when : {"", "!"}) {
        CHECK(play({}, when + "1sf0sfasf"s).printed ==
              "ok|lock|program|ok|queue|program|ok|" + own + "|" + from + "|");
        CHECK(play({}, when + "1u10asf"s).printed ==
              "ok|lock|ok|busy|"s + (own == "lock" ? "ok|" : "busy|") + "lock|program|");
        CHECK(play({}, when + "0u01sf"s).printed == "ok|queue|ok|busy|queue|program|");
        CHECK(play({}, when + "uaf"s).printed == own + "|ok|" + from + "|");
        CHECK(play({{"PWLOCKS", "1"}}, when + "0sfu0sf"s).printed == "ok|lock|PWLOCKS|lock|ok|lock|PWLOCKS|");
        CHECK(play({{"PWLOCKS", "auto"}}, when + "01sf"s).printed == "ok|ok|" + own + "|" + from + "|");
    }
}

TEST_CASE("the affinity at launch stays known when a thread pins itself")
{
    std::string all = listed(launch_affinity());
    int last = launch_affinity().highest();
    for (const char *when : {"", "!"}) {
        CHECK(play({}, when + "lpl"s).printed == all + "|ok|" + all + "|");
        CHECK(play({}, when + "l"s, last).printed == std::to_string(last) + "|");
    }
    // Pinning before anybody asks: the constructor has asked already.
    CHECK(play({}, "pl").printed == "ok|" + all + "|");
}
