// SPDX-License-Identifier: MIT
// The process's own state, in processes of their own: this program, started again with the environment that a
// case wants. A script in PWLOCKS_TEST_SCRIPT runs in an ordinary constructor, or, if it begins with '!', in
// .preinit_array, a character a step; what it prints is the case's result.
#pragma once

#include "capture.h"
#include "catch.h"

#include "strategy.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sched.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace strategy_child {

using namespace pw::detail;

inline void print(const char *text)
{
    [[maybe_unused]] ssize_t written = write(STDOUT_FILENO, text, strlen(text));
}

inline void print_list(const cpu_mask &mask)
{
    char buffer[65536];
    std::string_view list = format_cpu_list(mask, buffer, sizeof buffer);
    [[maybe_unused]] ssize_t written = write(STDOUT_FILENO, list.data(), list.size());
}

inline int pin_to_last()
{
    cpu_set_t mine, last;
    if (sched_getaffinity(0, sizeof mine, &mine) != 0)
        return -errno;
    size_t cpu = CPU_SETSIZE - 1;
    while (!CPU_ISSET(cpu, &mine))
        --cpu;
    CPU_ZERO(&last);
    CPU_SET(cpu, &last);
    return sched_setaffinity(0, sizeof last, &last) == 0 ? 0 : -errno;
}

inline void step(char what)
{
    auto print_result = [](int result) { print(result == 0 ? "ok" : result == -EBUSY ? "busy" : "?"); };
    switch (what) {
    case 's': // the strategy
        return print(pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue");
    case 'f': // where from
        return print(pw_strategy_source());
    case 'u': // use it
        return print(use_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue");
    case '0':
        return print_result(strategy_from_program(strategy_choice::queue));
    case '1':
        return print_result(strategy_from_program(strategy_choice::lock));
    case 'a':
        return print_result(strategy_from_program(strategy_choice::automatic));
    case 'l': // the affinity at launch
        return print_list(launch_affinity());
    case 'p': // pin this thread to the last CPU that it may use
        return print_result(pin_to_last());
    case 'e': // errno as it is after the first resolution
        errno = 4711;
        resolved();
        return print(errno == 4711 ? "kept" : "lost");
    case 'i': // the first ignored option
        return print(resolved().ignored.text[0]);
    }
}

inline void run_script(const char *script)
{
    for (; *script != '\0'; ++script) {
        step(*script);
        print("|");
    }
    _exit(0);
}

inline void early(int, char **, char **environment)
{
    constexpr std::string_view name = "PWLOCKS_TEST_SCRIPT=!";
    for (; *environment != nullptr; ++environment)
        if (strncmp(*environment, name.data(), name.size()) == 0)
            run_script(*environment + name.size());
}
[[gnu::section(".preinit_array"), gnu::used]] static void (*early_entry)(int, char **, char **) = early;

[[maybe_unused]] static const bool constructed = [] {
    if (const char *script = getenv("PWLOCKS_TEST_SCRIPT"))
        run_script(script);
    return true;
}();

struct played {
    std::string printed, messages;
};

inline played play(std::map<std::string, std::string> variables, const std::string &script, int only_cpu = -1)
{
    variables.emplace("PWLOCKS_CONF", "/dev/null"); // this machine's own file does not matter
    variables["PWLOCKS_TEST_SCRIPT"] = script;
    std::vector<std::string> texts;
    for (const auto &[name, value] : variables)
        texts.push_back(name + "=" + value);
    std::vector<char *> environment;
    for (std::string &text : texts)
        environment.push_back(text.data());
    environment.push_back(nullptr);
    char self[] = "/proc/self/exe";
    char *arguments[] = {self, nullptr};

    int ends[2];
    REQUIRE(pipe(ends) == 0);
    stderr_capture capture;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        if (only_cpu >= 0) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET(static_cast<size_t>(only_cpu), &set);
            sched_setaffinity(0, sizeof set, &set);
        }
        execve(self, arguments, environment.data());
        _exit(127);
    }
    close(ends[1]);
    played result;
    char part[4096];
    for (ssize_t got; (got = read(ends[0], part, sizeof part)) > 0;)
        result.printed.append(part, static_cast<size_t>(got));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    result.messages = capture.text();
    CAPTURE(result.printed, result.messages);
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    return result;
}

} // namespace strategy_child
