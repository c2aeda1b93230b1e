// SPDX-License-Identifier: MIT
// Finding the processes that use the runtime: those that hold a stat segment, seen through /proc/PID/fd.
// Nothing here writes to a process, stops it or waits for it.
#pragma once

#include "descriptor.h"
#include "segment.h"

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pw::tool {

enum class obstacle {
    no_process,
    denied,
    not_a_user,
    unreadable,
    ended, // it was there before
};

// Why a process cannot be shown; what() says it without the pid.
struct cannot_show : std::runtime_error {
    cannot_show(obstacle why, const std::string &text) : std::runtime_error(text), kind(why) {}
    obstacle kind;
};

struct process {
    int pid;                  // as our /proc counts; in its own pid namespace it may have another one
    std::string command;      // its name, printable
    std::string command_line; // with its arguments, printable; the name in brackets where there is none
    segment stat;
    descriptor folder; // stays this process's, whoever has its id later
    std::string place; // of the segment's descriptor, in the folder
};

// The process with that id (or with a thread of that id). Throws cannot_show.
process find_process(int pid);

// Looks whether it still is there, and maps what it holds now: `shown` is as fresh as if it had been found
// again. Returns whether the runtime is another one since, so that all counts began anew. Throws cannot_show:
// `ended` even if another process has its id by now, `not_a_user` if the runtime was stopped.
bool look_again(process &shown);

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

// Those of that name: as the kernel keeps it, up to 15 bytes, or the last part of the path by which it was
// started. Others count for nothing, not even as denied.
survey find_named(std::string_view name);

} // namespace pw::tool
