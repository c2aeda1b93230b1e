// SPDX-License-Identifier: MIT
#include "process.h"

#include "measure.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <sys/wait.h>
#include <unistd.h>

namespace pw::bench {

using nlohmann::json;

// Everything that a descriptor holds until it ends.
static std::string read_all(int fd)
{
    std::string all;
    char part[4096];
    for (ssize_t got; (got = read(fd, part, sizeof part)) != 0;) {
        if (got < 0 && errno != EINTR)
            throw std::runtime_error(std::string("cannot read from the measuring process: ") +
                                     strerror(errno));
        if (got > 0)
            all.append(part, static_cast<size_t>(got));
    }
    return all;
}

json measured_under(const char *strategy, const std::vector<std::string> &arguments)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        throw std::runtime_error(std::string("pipe: ") + strerror(errno));
    pid_t child = fork();
    if (child < 0)
        throw std::runtime_error(std::string("fork: ") + strerror(errno));
    if (child == 0) {
        setenv("PWLOCKS", strategy, 1);
        dup2(ends[1], STDOUT_FILENO);
        std::vector<char *> pointers;
        for (const std::string &each : arguments)
            pointers.push_back(const_cast<char *>(each.c_str()));
        pointers.push_back(nullptr);
        execv("/proc/self/exe", pointers.data());
        _exit(127);
    }
    close(ends[1]);
    std::string text = read_all(ends[0]);
    close(ends[0]);
    int status = -1;
    while (waitpid(child, &status, 0) != child && errno == EINTR) {
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error(fmt::format("measuring with PWLOCKS={} failed", strategy));
    return json::parse(text);
}

json this_machine()
{
    return {{"processor", processor_name()},
            {"kernel", kernel_name()},
            {"compiler", PW_BENCH_COMPILER},
            {"cycles_per_ns", cycles_per_ns()}};
}

} // namespace pw::bench
