// SPDX-License-Identifier: MIT
// Runs what a test cannot survive, or must not do to itself, in a child process.
#pragma once

#include "capture.h"
#include "catch.h"

#include <csignal>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

struct outcome {
    int status;
    std::string text; // stderr
};

// Runs a function in a child, which ends with what it returns.
template <typename Function>
outcome in_child(Function function)
{
    stderr_capture capture;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        _exit(function());
    }
    int status = -1;
    pid_t ended = waitpid(child, &status, 0);
    std::string text = capture.text();
    REQUIRE(ended == child);
    return {status, text};
}
