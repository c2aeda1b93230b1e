// SPDX-License-Identifier: MIT
// Hidden cases that end in an abort, and the line that the library writes then.
#pragma once

#include "capture.h"
#include "catch.h"
#include "lock_memory.h"

#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

// Runs one of this program's hidden cases in a process of its own, which is expected to abort; its stderr.
inline std::string aborts(const char *hidden_case)
{
    stderr_capture capture;
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(nowhere, STDOUT_FILENO);
        alarm(60); // a self-deadlock that is not seen would wait for ever
        execl("/proc/self/exe", "test", hidden_case, static_cast<char *>(nullptr));
        _exit(126);
    }
    int status = -1;
    pid_t ended = waitpid(child, &status, 0);
    std::string text = capture.text();
    INFO(text);
    REQUIRE(ended == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGABRT);
    return text;
}

// In a hidden case: which lock and which process will be named; and no handler of Catch2's in between.
inline void expect_death(const lock_memory &lock, int cpu)
{
    signal(SIGABRT, SIG_DFL);
    fprintf(stderr, "%p %d\n", static_cast<void *>(&lock.of(cpu)), getpid());
}

// What a hidden case wrote before it died, and the line that the library wrote then.
struct last_words {
    char lock[32] = "";
    unsigned pid = 0;
    std::string line;

    explicit last_words(const std::string &text)
    {
        if (sscanf(text.c_str(), "%31s %u", lock, &pid) == 2)
            line = text.substr(text.find('\n') + 1);
    }
    std::string start_of_line(int cpu) const
    {
        return std::string("pwlocks: lock ") + lock + " of cpu " + std::to_string(cpu) +
               ": self-deadlock: thread ";
    }
};
