// SPDX-License-Identifier: MIT
// A forked child that prepares itself, says so, and waits to be told to go on or to be ended.
#pragma once

#include "catch.h"

#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

class child_process {
  public:
    // Both functions return whether they succeeded; `later` runs at each go_on().
    template <typename Function, typename Later>
    child_process(Function prepare, Later later) : child_process(prepare, later, [] { return fork(); })
    {
    }
    template <typename Function>
    explicit child_process(Function prepare) : child_process(prepare, [] { return true; })
    {
    }
    template <typename Function, typename Later, typename Fork>
    child_process(Function prepare, Later later, Fork make)
    {
        int orders[2], answers[2];
        REQUIRE(pipe2(orders, O_CLOEXEC) == 0);
        REQUIRE(pipe2(answers, O_CLOEXEC) == 0);
        pid_ = make();
        if (pid_ == 0) {
            // Its parent's end of the orders is closed, so that it ends with its parent.
            close(orders[1]);
            char order, result = prepare() ? 'y' : 'n';
            while (write(answers[1], &result, 1) == 1 && read(orders[0], &order, 1) == 1)
                result = later() ? 'y' : 'n';
            _exit(1);
        }
        close(orders[0]);
        close(answers[1]);
        orders_ = orders[1];
        answers_ = answers[0];
        if (pid_ > 0)
            require_success();
    }
    ~child_process()
    {
        end();
        reap();
        close(orders_);
        close(answers_);
    }
    child_process(const child_process &) = delete;
    child_process &operator=(const child_process &) = delete;

    int pid() const { return pid_; }

    void go_on()
    {
        tell();
        require_success();
    }

    // Without waiting for its answer, if it has one.
    void tell() { REQUIRE(write(orders_, "g", 1) == 1); }

    bool has_answered()
    {
        pollfd answer = {answers_, POLLIN, 0};
        return poll(&answer, 1, 0) > 0;
    }

    // Afterwards it is a zombie, until it is reaped.
    void end()
    {
        siginfo_t info;
        if (pid_ > 0 && kill(pid_, SIGKILL) == 0)
            waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
    }

    void reap()
    {
        if (pid_ > 0)
            waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

  private:
    void require_success()
    {
        char result = '?';
        bool told = read(answers_, &result, 1) == 1;
        REQUIRE(told);
        REQUIRE(result == 'y');
    }

    pid_t pid_ = -1;
    int orders_ = -1;
    int answers_ = -1;
};
