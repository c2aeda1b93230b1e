// SPDX-License-Identifier: MIT
// What is done once, src/once.h: by one of several threads, and with no signal handler in its middle.
#include "catch.h"

#include "once.h"

#include <cerrno>
#include <csignal>
#include <thread>
#include <vector>

using namespace pw::detail;

namespace {
volatile sig_atomic_t handled;
}

TEST_CASE("what is done once is done once, and everybody sees it")
{
    for (int round = 0; round < 100; ++round) {
        once first;
        int runs = 0, seen[4] = {};
        std::vector<std::thread> threads;
        for (int &mine : seen)
            threads.emplace_back([&] {
                errno = 4711;
                first.run([&] {
                    std::this_thread::yield();
                    ++runs;
                    errno = 1;
                });
                mine = errno == 4711 ? runs : -1;
            });
        for (std::thread &thread : threads)
            thread.join();
        for (int mine : seen)
            REQUIRE(mine == 1);
    }
}

TEST_CASE("no signal handler runs in the middle of what is done once")
{
    once first;
    handled = 0;
    auto before = signal(SIGUSR1, [](int) { handled = 1; });
    int inside = -1;
    first.run([&] {
        raise(SIGUSR1);
        inside = handled;
    });
    signal(SIGUSR1, before);
    CHECK(inside == 0);
    CHECK(handled == 1);
}
