// SPDX-License-Identifier: MIT
// The allocator behind pw_alloc_percpu(). Needs no constructor and no heap (a program's own malloc may stand
// on it), and is never destroyed: static destructors and exit handlers may still allocate and free.
#pragma once

#include "strategy.h"

#include <pwlocks/percpu.h>

#include <cstddef>
#include <mutex>

namespace pw::detail {

// For pthread_atfork(): no fork happens in the middle of an allocation, so the child finds a whole allocator.
// All of the parent's objects are in the child too, copied on write.
void percpu_before_fork();
void percpu_after_fork_parent();
void percpu_after_fork_child();

// What a percpu_space has to know of the machine; tests put machines of their own here.
struct percpu_machine {
    int (*cpus)();      // how many instances an object has; never changes
    system_roots roots; // whose node directories tell which CPU is where
    // Makes a node the preferred one for a range. 0 or -errno, which leaves the kernel's default in force.
    int (*bind_to_node)(void *start, size_t length, int node);
};

// The binding of the process's own memory: prefers `node` for pages that are not there yet. 0 or -errno.
int bind_to_node(void *start, size_t length, int node);

struct percpu_usage {
    size_t chunks = 0;
    size_t objects = 0;
    size_t allocated = 0;    // bytes in objects, per CPU
    size_t free_extents = 0; // runs of free space, over all chunks
    size_t committed = 0;    // bytes that may be touched, per CPU
};

// Per-CPU memory in chunks of one stride per CPU. Any thread may call anything but from a signal handler; one
// mutex serializes them.
class percpu_space {
  public:
    constexpr explicit percpu_space(const percpu_machine &machine) : machine_(machine) {}
    percpu_space(const percpu_space &) = delete;
    percpu_space &operator=(const percpu_space &) = delete;

    // As pw_alloc_percpu().
    void *allocate(size_t size, size_t align);

    // Frees an object. Null if that was done, else what is wrong with `ptr`, and nothing has happened.
    const char *release(void *ptr);

    percpu_usage usage();

    void lock() { mutex_.lock(); }
    void unlock() { mutex_.unlock(); }

  private:
    struct chunk;

    void *take(chunk &from, size_t first, size_t units);
    chunk *open_chunk();
    bool commit(chunk &grown, size_t end);
    void clear(const chunk &reused, size_t begin, size_t end);
    void give_back(chunk &freed, size_t begin, size_t end);
    size_t cpus() const { return static_cast<size_t>(machine_.cpus()); }

    percpu_machine machine_;
    std::mutex mutex_; // all below
    chunk *first_ = nullptr;
    chunk *last_ = nullptr;
};

} // namespace pw::detail
