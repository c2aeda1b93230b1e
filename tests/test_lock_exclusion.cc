// SPDX-License-Identifier: MIT
// Mutual exclusion: no two threads hold one CPU's instance of a lock at once, wherever they run and however
// they take it.
#include "both.h"
#include "catch.h"
#include "lock_arena.h"

namespace {

void require_exclusion(arena_plan plan)
{
    plan.acquisitions /= scale;
    arena_result result = lock_arena(plan).run();
    INFO(result.acquired << " acquired, " << result.remote << " remotely, " << result.refused << " refused, "
                         << result.migrations << " migrations");
    CHECK(result.acquired == plan.acquisitions);
    CHECK(result.overlaps == 0);
    CHECK(result.miscounted == 0);
    CHECK(result.wrong_cpu == 0);
    CHECK((result.remote > 0) == (plan.remote > 0 && pw_nr_cpus() > 1));
    CHECK((result.refused > 0) == (plan.tried > 0));
    CHECK((result.migrations > 0) == (plan.migrate > 0 || plan.shaken));
}

} // namespace

TEST_CASE("threads that are not pinned exclude each other")
{
    arena_plan plan;
    plan.acquisitions = 10'000'000;
    require_exclusion(plan);
}

TEST_CASE("many threads on few CPUs exclude each other, also when holders lose their CPU")
{
    arena_plan plan;
    plan.threads = 32;
    plan.acquisitions = 400'000;
    plan.dwell = 5;
    require_exclusion(plan);
}

TEST_CASE("threads that move while they take a lock, and while they hold it, exclude each other")
{
    arena_plan plan;
    plan.acquisitions = 200'000;
    plan.migrate = 100;
    require_exclusion(plan);
}

TEST_CASE("threads that are moved at any instruction of an acquisition exclude each other")
{
    arena_plan plan;
    plan.acquisitions = 20'000'000;
    plan.shaken = true;
    require_exclusion(plan);
}

TEST_CASE("lockers from other CPUs and lockers on their own CPU exclude each other")
{
    arena_plan plan;
    plan.acquisitions = 2'000'000;
    plan.remote = 100;
    require_exclusion(plan);
}

TEST_CASE("lockers that all name one CPU, from there and from others, exclude each other")
{
    arena_plan plan;
    plan.acquisitions = 200'000;
    plan.remote = 1000;
    plan.one_target = true;
    require_exclusion(plan);
}

TEST_CASE("trylocks exclude each other and waiting lockers")
{
    arena_plan plan;
    plan.threads = 6;
    plan.acquisitions = 1'000'000;
    plan.remote = 100;
    plan.tried = 500;
    plan.dwell = 5; // somebody must be refused, also on one CPU
    require_exclusion(plan);
}

TEST_CASE("holders that sleep keep every other locker out")
{
    arena_plan plan;
    plan.threads = 6;
    plan.acquisitions = 40'000;
    plan.remote = 50;
    plan.dwell = 100;
    require_exclusion(plan);
}

TEST_CASE(
    "lockers of every kind at once exclude each other, and so they do for threads that the runtime knows")
{
    REQUIRE(pw_next_cpu(-1) >= 0); // the runtime runs: acquisitions are counted
    arena_plan plan;
    plan.threads = 8;
    plan.acquisitions = 500'000;
    plan.remote = 100;
    plan.tried = 300;
    plan.dwell = 5;
    plan.migrate = 10;
    plan.shaken = true;
    require_exclusion(plan);
}
