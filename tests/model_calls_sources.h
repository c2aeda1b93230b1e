// SPDX-License-Identifier: MIT
// The sources that model_calls.h explores, with what they wait by replaced: mutexes, futexes, time. Threads may be
// overtaken before every read-modify-write of an item's state, before a mutex is taken, at the points of
// inject.h, and where they wait.
#pragma once

#include "model_threads.h"

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstring>
#include <mutex>
#include <new>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

static long model_syscall(long number, ...);
static int model_clock(timespec *time);
static void model_point();
static void model_wait(std::function<bool()> ready);
static void model_state(const void *word, uint64_t before, uint64_t after);

namespace std {

class model_mutex {
  public:
    void lock()
    {
        model_point();
        while (held_)
            model_wait([this] { return !held_; });
        held_ = true;
    }
    void unlock() { held_ = false; }

  private:
    bool held_ = false;
};

// Only an item's words are of interest: others than 64-bit integers are as they were.
template <typename T>
class model_atomic_ref : public atomic_ref<T> {
  public:
    explicit model_atomic_ref(T &of) : atomic_ref<T>(of), at_(&of) {}

    T load(memory_order order) const
    {
        if (is_word && order != memory_order_relaxed)
            model_point();
        T value = atomic_ref<T>::load(order);
        told(value, value);
        return value;
    }
    void store(T value, memory_order order) const
    {
        model_point();
        told(atomic_ref<T>::load(order == memory_order_release ? memory_order_relaxed : order), value);
        atomic_ref<T>::store(value, order);
    }
    bool compare_exchange_strong(T &expected, T value, memory_order success, memory_order failure) const
    {
        model_point();
        bool done = atomic_ref<T>::compare_exchange_strong(expected, value, success, failure);
        if (done)
            told(expected, value);
        return done;
    }
    bool compare_exchange_weak(T &expected, T value, memory_order success, memory_order failure) const
    {
        return compare_exchange_strong(expected, value, success, failure);
    }
    T fetch_or(T value, memory_order order) const
    {
        model_point();
        T before = atomic_ref<T>::fetch_or(value, order);
        told(before, before | value);
        return before;
    }
    T fetch_and(T value, memory_order order) const
    {
        model_point();
        T before = atomic_ref<T>::fetch_and(value, order);
        told(before, before & value);
        return before;
    }

  private:
    static constexpr bool is_word = is_same_v<T, uint64_t>;
    void told(T before, T after) const
    {
        if constexpr (is_word)
            model_state(at_, before, after);
    }
    const void *at_;
};
template <typename T>
model_atomic_ref(T &) -> model_atomic_ref<T>;

} // namespace std

#include "inject.h"
#undef PW_INJECT
#define PW_INJECT() model_point()
#define syscall model_syscall
#define clock_gettime(clock, time) model_clock(time)
#include "futex_mutex.h"
#define mutex model_mutex
#define futex_mutex ::std::model_mutex
#define atomic_ref model_atomic_ref
#include "callers.h"
namespace pw::detail {
static thread_context *context_here;
}
#define this_thread (*::pw::detail::context_here)
#include "refusal.cc"
#include "waits.cc"

#include "lane.cc"
#include "lane_run.cc"
#include "lane_wait.cc"
#include "timer_heap.cc"
#include "timer.cc"
#include "work.cc"
#include "workqueue.cc"
#include "worker.cc"
#include "worker_stat.cc"
#include "each_cpu.cc"
#undef syscall
#undef mutex
#undef futex_mutex
#undef atomic_ref
