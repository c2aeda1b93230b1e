// SPDX-License-Identifier: MIT
// What /proc tells of this process: threads, their names and affinities, descriptors, mappings.
#pragma once

#include "both.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/types.h>
#include <unistd.h>
#include <vector>

inline std::vector<pid_t> threads()
{
    std::vector<pid_t> all;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/task"))
        all.push_back(std::stoi(entry.path().filename()));
    return all;
}

// A thread's file, without its last newline; empty if the thread is gone.
inline std::string thread_file(pid_t thread, const std::string &name)
{
    std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/" + name);
    std::stringstream all;
    all << file.rdbuf();
    std::string text = all.str();
    return text.substr(0, text.find_last_not_of('\n') + 1);
}

inline std::string status_field(pid_t thread, const std::string &name)
{
    std::istringstream lines(thread_file(thread, "status"));
    for (std::string line; std::getline(lines, line);)
        if (line.rfind(name + ":", 0) == 0)
            return line.substr(line.find_first_not_of(" \t", name.size() + 1));
    return "";
}

inline bool stays_on(pid_t thread, int cpu)
{
    return status_field(thread, "Cpus_allowed_list") == std::to_string(cpu);
}

// The library's threads: all that are named "pw/...".
inline std::vector<pid_t> library_threads()
{
    std::vector<pid_t> all;
    for (pid_t thread : threads())
        if (thread_file(thread, "comm").rfind("pw/", 0) == 0)
            all.push_back(thread);
    return all;
}

// Behind a stop: pthread_join() returns a moment before the kernel forgets the thread.
inline bool no_library_thread_stays()
{
    return eventually([] { return library_threads().empty(); });
}

// The worker of a CPU; 0 if there is none, or more than one.
inline pid_t worker_thread(int cpu)
{
    pid_t found = 0;
    for (pid_t thread : library_threads())
        if (thread_file(thread, "comm") == "pw/" + std::to_string(cpu)) {
            if (found != 0)
                return 0;
            found = thread;
        }
    return found;
}

inline std::vector<std::string> descriptors()
{
    std::vector<std::string> all;
    for (const auto &entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone; // the directory's own
        std::filesystem::path target = std::filesystem::read_symlink(entry.path(), gone);
        if (!gone && target.string().find("/proc/") == std::string::npos)
            all.push_back(target);
    }
    std::sort(all.begin(), all.end());
    return all;
}

inline long mappings()
{
    std::ifstream maps("/proc/self/maps");
    long count = 0;
    for (std::string line; std::getline(maps, line);)
        ++count;
    return count;
}

// Address space in KiB.
inline long address_space()
{
    return std::stol(status_field(getpid(), "VmSize"));
}
