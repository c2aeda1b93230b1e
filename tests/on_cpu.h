// SPDX-License-Identifier: MIT
// Where a test's threads run, what they cost, and memory of every CPU that goes with its scope.
#pragma once

#include <pwlocks/pwlocks.h>

#include <cerrno>
#include <new>
#include <optional>
#include <sched.h>
#include <sys/resource.h>
#include <thread>
#include <vector>

inline cpu_set_t affinity_of(pid_t thread)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(thread, sizeof set, &set);
    return set;
}

// The CPUs that the process was given, as they were before a test pinned anything.
inline const cpu_set_t given_set = affinity_of(0);
inline const std::vector<int> given_cpus = [] {
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &given_set))
            cpus.push_back(cpu);
    return cpus;
}();

// Pins a thread, 0 for the caller. False if that CPU cannot be had: it went offline.
inline bool pin(pid_t thread, int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(thread, sizeof set, &set) == 0;
}

inline bool unpin(pid_t thread)
{
    return sched_setaffinity(thread, sizeof given_set, &given_set) == 0;
}

// The calling thread is on that CPU for as long as this exists, and wherever the process may run afterwards.
class pinned {
  public:
    explicit pinned(int cpu) : done_(pin(0, cpu)) {}
    ~pinned() { unpin(0); }
    pinned(const pinned &) = delete;
    pinned &operator=(const pinned &) = delete;

    explicit operator bool() const { return done_; }

  private:
    bool done_;
};

// Runs a function in a thread of its own that is pinned to `cpu`; its result, or nothing if there is no such
// place.
template <typename Function>
auto on_cpu(int cpu, Function function) -> std::optional<decltype(function())>
{
    std::optional<decltype(function())> result;
    std::thread runner([&] {
        if (pinned here(cpu); here)
            result = function();
    });
    runner.join();
    return result;
}

// What the calling thread has used so far.
struct thread_usage {
    long cpu_us = 0;
    long sleeps = 0; // times that it gave up its CPU by itself

    static thread_usage now()
    {
        rusage used = {};
        getrusage(RUSAGE_THREAD, &used);
        return {(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1'000'000L + used.ru_utime.tv_usec +
                    used.ru_stime.tv_usec,
                used.ru_nvcsw};
    }

    thread_usage since(const thread_usage &earlier) const
    {
        return {cpu_us - earlier.cpu_us, sleeps - earlier.sleeps};
    }
};

// One zeroed T for every CPU.
template <typename T>
class per_cpu_memory {
  public:
    per_cpu_memory() : memory_(static_cast<T *>(pw_alloc_percpu(sizeof(T), alignof(T))))
    {
        if (!memory_)
            throw std::bad_alloc();
    }
    ~per_cpu_memory() { pw_free_percpu(memory_); }
    per_cpu_memory(const per_cpu_memory &) = delete;
    per_cpu_memory &operator=(const per_cpu_memory &) = delete;

    T *get() const { return memory_; } // a per-CPU pointer
    T &of(int cpu) const { return *pw_per_cpu_ptr(memory_, cpu); }

  private:
    T *memory_;
};
