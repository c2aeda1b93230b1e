// SPDX-License-Identifier: MIT
// Finding the processes that use the runtime: those that hold a stat segment, seen through /proc/PID/fd.
#pragma once

#include "segment.h"

#include <stdexcept>
#include <string>
#include <vector>

namespace pw::tool {

enum class obstacle { no_process, denied, not_a_user, unreadable };

// Why a process cannot be shown; what() says it without the pid.
struct cannot_show : std::runtime_error {
    cannot_show(obstacle why, const std::string &text) : std::runtime_error(text), kind(why) {}
    obstacle kind;
};

struct process {
    int pid;
    std::string command;      // its name, printable
    std::string command_line; // with its arguments, printable; the name in brackets where there is none
    segment stat;
};

// The process with that id (or with a thread of that id). Throws cannot_show.
process find_process(int pid);

struct listed_process {
    int pid;
    std::string command;
    segment_facts facts;
};

struct survey {
    std::vector<listed_process> processes; // by rising pid
    std::vector<std::string> problems;     // "1234: why": segments that could not be read
    int denied = 0;                        // processes that are not ours to read
};

// Every process that uses the runtime and is ours to read. Throws cannot_show if there is no /proc.
survey find_processes();

} // namespace pw::tool
