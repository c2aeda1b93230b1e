// SPDX-License-Identifier: MIT
// Which thread keeps a worker from its CPU, as far as /proc shows. Calls no malloc(), for the watchdog.
#pragma once

#include "cpu_mask.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <sys/types.h>

namespace pw::detail {

inline constexpr int deadline_policy = 6; // SCHED_DEADLINE: glibc has no name for it
inline constexpr int highest_fifo = 99;

// What a thread's line in /proc/PID/task/TID/stat says of it.
struct thread_facts {
    static constexpr size_t longest_name = 24; // longer ones, of kernel threads, are cut
    pid_t tid;
    char name[longest_name + 1];
    char state;
    uint64_t ticks; // on a CPU, in the kernel's clock ticks
    int nice;
    int cpu; // where it is, or was last
    int rt_priority;
    int policy; // SCHED_...
};
bool parse_thread_stat(std::string_view line, thread_facts &out);

// /proc/PID/task/TID/schedstat.
struct thread_times {
    uint64_t on_cpu_ns, waited_ns;
};
bool parse_thread_times(std::string_view line, thread_times &out);

// A thread that may be the one that keeps a worker from its CPU: runnable and on that CPU.
struct hog_candidate {
    pid_t pid;
    thread_facts thread;
    uint64_t on_cpu_ns; // when it was first seen
    uint64_t grown_ns;  // what it ran since
};

// How much a thread ran between two looks. The first pair is exact but stands still on a CPU without a tick;
// the ticks are coarse.
uint64_t grown_ns(uint64_t on_cpu_before, uint64_t on_cpu_now, uint64_t ticks_before, uint64_t ticks_now,
                  uint64_t tick_ns);

// The thread that keeps a CPU from its worker: the one that ran most; if none was seen to run, the real-time
// one of the highest priority. Null if there is none such.
const hog_candidate *choose_hog(std::span<const hog_candidate> candidates, int cpu, pid_t worker);

// The threads that were runnable on some CPUs, from /proc. No memory but its own.
class hog_search {
  public:
    // Lists them, unless `stop` becomes nonzero meanwhile. Beyond the capacity the rest is left out.
    void list(const cpu_mask &cpus, const std::atomic<uint32_t> &stop);

    // What each ran since.
    void measure();

    std::span<const hog_candidate> candidates() const { return {candidates_, count_}; }

  private:
    static constexpr size_t most_candidates = 256;
    void consider(pid_t pid, pid_t tid, const cpu_mask &cpus);

    hog_candidate candidates_[most_candidates];
    size_t count_ = 0;
};

// How a thread ranks by its scheduling class: what a FIFO priority would have to exceed.
int rank(const thread_facts &thread);

// The files of a thread, of any process that /proc shows.
class thread_files {
  public:
    thread_files(pid_t pid, pid_t tid) : pid_(pid), tid_(tid) {}

    bool facts(thread_facts &out) const;
    thread_times times() const; // zeros where the kernel keeps none

  private:
    pid_t pid_, tid_;
};

} // namespace pw::detail
