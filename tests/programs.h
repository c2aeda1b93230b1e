// SPDX-License-Identifier: MIT
// Runs programs as children: helpers that stand beside this test, and hidden cases of this test in a process of their own.
// Every child is bounded.
#pragma once

#include "both.h"
#include "catch.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <optional>
#include <spawn.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

// Changes to the environment; nullopt takes a variable away.
using environment = std::map<std::string, std::optional<std::string>>;

struct ended {
    int status = -1; // as from waitpid()
    bool in_time = false;
    std::string out, err;

    bool exited(int code) const { return in_time && WIFEXITED(status) && WEXITSTATUS(status) == code; }
    bool killed_by(int number) const { return in_time && WIFSIGNALED(status) && WTERMSIG(status) == number; }
};

// A child process, started by the constructor; killed if nobody waits for it, or if it does not end in time.
class child {
  public:
    explicit child(std::vector<std::string> command, const environment &changes = {})
    {
        std::vector<std::string> variables;
        for (char **each = environ; *each; ++each)
            if (std::string text = *each; !changes.count(text.substr(0, text.find('='))))
                variables.push_back(text);
        for (const auto &[name, value] : changes)
            if (value)
                variables.push_back(name + "=" + *value);
        if (thread_sanitized && !changes.count("TSAN_OPTIONS")) {
            // It sleeps for a second at each process's end.
            const char *options = getenv("TSAN_OPTIONS");
            std::erase_if(variables, [](const std::string &each) { return each.rfind("TSAN_OPTIONS=", 0) == 0; });
            variables.push_back(std::string("TSAN_OPTIONS=") + (options ? options : "") + " atexit_sleep_ms=0");
        }

        for (FILE *file : {out_, err_})
            fcntl(fileno(file), F_SETFD, FD_CLOEXEC); // for other children
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, fileno(out_), STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, fileno(err_), STDERR_FILENO);
        error_ = posix_spawnp(&pid_, command[0].c_str(), &actions, nullptr, pointers(command).data(),
                              pointers(variables).data());
        posix_spawn_file_actions_destroy(&actions);
    }
    ~child()
    {
        if (pid_ > 0)
            wait(std::chrono::seconds(0));
        fclose(out_);
        fclose(err_);
    }
    child(const child &) = delete;
    child &operator=(const child &) = delete;

    pid_t pid() const { return pid_; }

    ended wait(std::chrono::seconds limit = std::chrono::seconds(sanitized ? 240 : 100))
    {
        ended result;
        if (error_ != 0) {
            result.err = std::string("not started: ") + strerror(error_);
            return result;
        }
        result.in_time = eventually([&] { return waitpid(pid_, &result.status, WNOHANG) == pid_; }, limit);
        if (!result.in_time) {
            kill(pid_, SIGKILL);
            waitpid(pid_, &result.status, 0);
        }
        pid_ = 0;
        result.out = contents(out_);
        result.err = contents(err_);
        return result;
    }

  private:
    static std::vector<char *> pointers(std::vector<std::string> &texts)
    {
        std::vector<char *> all;
        for (std::string &each : texts)
            all.push_back(each.data());
        all.push_back(nullptr);
        return all;
    }
    static std::string contents(FILE *file)
    {
        std::string all;
        char part[4096];
        rewind(file);
        while (size_t got = fread(part, 1, sizeof part, file))
            all.append(part, got);
        return all;
    }

    FILE *out_ = tmpfile();
    FILE *err_ = tmpfile();
    pid_t pid_ = 0;
    int error_ = 0;
};

inline ended run_program(std::vector<std::string> command, const environment &changes = {})
{
    return child(std::move(command), changes).wait();
}

// A program that was built beside this one.
inline std::string helper(const std::string &name)
{
    return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / ("helper_" + name)).string();
}

inline std::string this_program()
{
    return std::filesystem::read_symlink("/proc/self/exe").string();
}

// Runs a hidden case of this test program in a process of its own.
inline ended in_fresh_process(const std::string &name, const environment &changes = {})
{
    return run_program({this_program(), name}, changes);
}

// Whether that process ran its case, with assertions, and all of them held.
inline bool passed(const ended &result)
{
    return result.exited(0) && result.out.find("All tests passed (") != std::string::npos;
}

inline std::string shown(const ended &result)
{
    return "status " + std::to_string(result.status) + (result.in_time ? "" : ", killed at its time limit") +
           "\n--- its stdout\n" + result.out + "--- its stderr\n" + result.err;
}

inline void require_passes(const std::string &name, const environment &changes = {})
{
    ended result = in_fresh_process(name, changes);
    INFO(shown(result));
    REQUIRE(passed(result));
}
