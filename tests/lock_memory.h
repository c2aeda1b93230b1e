// SPDX-License-Identifier: MIT
// Locks for tests, and a look at the words that they show to debuggers.
#pragma once

#include "both.h"
#include "on_cpu.h"

#include <atomic>
#include <unistd.h>

using lock_memory = per_cpu_memory<pw_lock_t>;

inline uint32_t owner_of(const lock_memory &lock, int cpu)
{
    return __atomic_load_n(&lock.of(cpu).owner, __ATOMIC_RELAXED);
}

inline uint32_t waiters_of(const lock_memory &lock, int cpu)
{
    return __atomic_load_n(&lock.of(cpu).waiters, __ATOMIC_RELAXED);
}

inline uint32_t my_id()
{
    return static_cast<uint32_t>(gettid());
}

inline bool free_everywhere(const lock_memory &lock)
{
    for (int cpu = 0; cpu < pw_nr_cpus(); ++cpu)
        if (owner_of(lock, cpu) != 0)
            return false;
    return true;
}

// Another thread that holds a CPU's lock until it is told to let go.
class holder {
  public:
    holder(const lock_memory &lock, int cpu, int from)
        : thread_([this, &lock, cpu, from] {
              pinned here(from);
              pw_lock(lock.get(), cpu);
              id_.store(my_id(), std::memory_order_release);
              eventually([this] { return released_.load(std::memory_order_acquire); });
              pw_unlock(lock.get(), cpu);
          })
    {
        eventually([this] { return id() != 0; });
    }
    ~holder()
    {
        release();
        thread_.join();
    }
    holder(const holder &) = delete;
    holder &operator=(const holder &) = delete;

    uint32_t id() const { return id_.load(std::memory_order_acquire); }
    void release() { released_.store(true, std::memory_order_release); }

  private:
    std::atomic<uint32_t> id_{0};
    std::atomic<bool> released_{false};
    std::thread thread_;
};
