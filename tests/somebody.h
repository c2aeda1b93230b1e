// SPDX-License-Identifier: MIT
#pragma once

#include "catch.h"

#include <grp.h>
#include <sys/prctl.h>
#include <unistd.h>

// For a limit on threads: a user of its own, if we may, since the kernel counts a user's threads, everywhere.
// Whether it is one.
inline bool become_somebody()
{
    constexpr uid_t somebody = 54322;
    if (geteuid() != 0)
        return false;
    REQUIRE(setgroups(0, nullptr) == 0);
    REQUIRE(setresgid(somebody, somebody, somebody) == 0);
    REQUIRE(setresuid(somebody, somebody, somebody) == 0);
    REQUIRE(prctl(PR_SET_DUMPABLE, 1) == 0); // /proc/self stays ours
    return true;
}
