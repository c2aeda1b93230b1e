// SPDX-License-Identifier: MIT
// A cache of equal objects with a magazine per CPU, the user-space twin of a slab allocator's per-CPU layer.
// alloc() and free() touch only the magazine of the CPU that they run on; a depot that all CPUs share stands
// behind. Emptying the magazine of some CPU, from anywhere, is the rare remote operation: drain().
//
// Shared memory and who writes it:
//   per_cpu::lock      protects that CPU's slots, count and counters
//   per_cpu::drain     the work item: whoever queues it and whoever runs it, through the library only
//   depot              everything under its mutex
// No thread ever holds two of these locks, so no order between them can be got wrong, and none is held for
// longer than it takes to copy a magazine.
#pragma once

#include <pwlocks/pwlocks.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <pthread.h>
#include <span>
#include <vector>

namespace object_cache {

struct alignas(PW_CACHE_LINE) object {
    object *next;   // link in the depot
    uint64_t owner; // the user's mark, 0 while nobody uses the object
    unsigned char payload[112];
};

// A mutex whose holder inherits the priority of a waiter: a real-time thread may have to wait for the depot.
class priority_mutex {
  public:
    priority_mutex();
    ~priority_mutex() { pthread_mutex_destroy(&mutex_); }
    priority_mutex(const priority_mutex &) = delete;
    priority_mutex &operator=(const priority_mutex &) = delete;
    void lock() { pthread_mutex_lock(&mutex_); }
    void unlock() { pthread_mutex_unlock(&mutex_); }

  private:
    pthread_mutex_t mutex_;
};

// What all CPUs share: objects that no magazine holds, and the memory of all objects.
class depot {
  public:
    struct totals {
        uint64_t carved;   // objects ever made
        uint64_t issued;   // objects handed to magazines and users
        uint64_t returned; // objects that came back
        uint64_t stored;   // objects that are here, counted one by one
    };

    // Fills `out`; makes new objects when there are not enough. Throws std::bad_alloc.
    void take(std::span<object *> out);
    void give(std::span<object *const> objects);
    totals count();

  private:
    static constexpr size_t slab_objects = 64;
    void carve();

    priority_mutex mutex_;
    object *free_ = nullptr;
    std::vector<std::unique_ptr<object[]>> slabs_;
    uint64_t issued_ = 0;
    uint64_t returned_ = 0;
};

class cache {
  public:
    struct totals {
        uint64_t allocated; // calls of alloc()
        uint64_t freed;     // calls of free()
        uint64_t refills;   // allocations that found the magazine empty
        uint64_t spills;    // frees that found it full
        uint64_t cached;    // objects in magazines now
    };

    // Starts the pwlocks runtime. Throws std::bad_alloc.
    cache();
    cache(const cache &) = delete;
    cache &operator=(const cache &) = delete;

    // Hands out an object, or takes one back. Any thread; the CPU's own magazine in nearly every case.
    object *alloc();
    void free(object *freed);

    // Empties a CPU's magazine into the depot, by the chosen strategy, and returns when that is done. One
    // thread at a time for each CPU. 0 or -errno.
    int drain(int cpu);

    totals count();
    depot::totals count_depot() { return depot_.count(); }

  private:
    static constexpr size_t capacity = 32; // of a magazine
    static constexpr size_t batch = capacity / 2;

    struct drain_item : pw_struct {
        cache *owner;
    };
    struct per_cpu {
        pw_lock_t lock;
        uint64_t count;
        std::array<object *, capacity> slots;
        uint64_t allocated, freed, refills, spills;
        alignas(PW_CACHE_LINE) drain_item drain; // a line of its own: other CPUs write to it
    };
    struct free_per_cpu {
        void operator()(per_cpu *ptr) const { pw_free_percpu(ptr); }
    };

    object *alloc_from_depot();
    static void run_drain(pw_struct *work);

    depot depot_;
    std::unique_ptr<per_cpu, free_per_cpu> cpus_; // a per-CPU pointer: the address of CPU 0's instance
};

} // namespace object_cache
