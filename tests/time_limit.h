// SPDX-License-Identifier: MIT
// Ends a test program whose case does not end: a hang is a failure with a name. Include it first, in the one source file
// of the program: Catch2 2.13 shows listeners only to those who ask before.
#pragma once

#ifndef CATCH_CONFIG_EXTERNAL_INTERFACES
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#endif
#include "catch.h"

#include "both.h"

#include <csignal>
#include <unistd.h>

namespace {

#if __has_include(<catch2/catch_all.hpp>)
using listener_base = Catch::EventListenerBase;
#else
using listener_base = Catch::TestEventListenerBase;
#endif

// Seconds for one case: far more than the slowest needs on a slow machine.
constexpr unsigned case_limit = sanitized ? 400 : 180;

class time_limit : public listener_base {
  public:
    using listener_base::listener_base;

    void testCaseStarting(const Catch::TestCaseInfo &) override
    {
        // Catch2 takes SIGABRT and names the case.
        signal(SIGALRM, [](int) { abort(); });
        alarm(case_limit);
    }
    void testCaseEnded(const Catch::TestCaseStats &) override { alarm(0); }
};
CATCH_REGISTER_LISTENER(time_limit)

} // namespace
