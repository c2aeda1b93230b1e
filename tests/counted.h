// SPDX-License-Identifier: MIT
// What tests of the stat segment's counts share: a runtime of their own, functions that are known by their
// addresses, and what this process's segment says of them.
#pragma once

#include "on_cpu.h"
#include "own_segment.h"
#include "queues.h"

using pw::stat::histogram_kind;

// A runtime of the test's own, so that all counts start at zero.
class fresh_runtime {
  public:
    explicit fresh_runtime(const char *options = nullptr)
    {
        pw_runtime_stop();
        REQUIRE(pw_runtime_start(options) == 0);
    }
    ~fresh_runtime() { pw_runtime_stop(); }
    fresh_runtime(const fresh_runtime &) = delete;
    fresh_runtime &operator=(const fresh_runtime &) = delete;
};

// Functions with addresses of their own, also where a linker folds what is the same.
inline std::atomic<int> ran_a, ran_b;
inline void function_a(pw_struct *)
{
    ++ran_a;
}
inline void function_b(pw_struct *)
{
    ++ran_b;
}

inline constexpr uint64_t long_ns = 20 * ms;
inline void stay(uint64_t ns = long_ns)
{
    std::this_thread::sleep_for(std::chrono::nanoseconds(ns));
}
inline void long_function(pw_struct *)
{
    stay();
}
inline void long_call(int, void *)
{
    stay();
}
inline void calling_function(pw_struct *)
{
    pw_on_each_cpu(long_call, nullptr);
}

template <typename Function>
const void *address_of(Function *function)
{
    return reinterpret_cast<const void *>(function);
}

// An item that is nothing but its function.
struct plain_item : pw_struct {
    plain_item(pw_func_t function, int on) { INIT_PW(this, function, on); }
    ~plain_item() { pw_cancel_sync(this); }
    plain_item(const plain_item &) = delete;
    plain_item &operator=(const plain_item &) = delete;

    // So often, one execution each.
    int run(busy_item::route way, int times, pw_workqueue *through = nullptr)
    {
        int accepted = 0;
        for (int i = 0; i < times; ++i) {
            accepted += queue_by(way, *this, through);
            if (pw_flush(this) != 0)
                return -1;
        }
        return accepted;
    }
};

// Whether items that go this way run on their CPU's worker.
inline bool is_here(busy_item::route way)
{
    return way == busy_item::by_worker || !under_lock();
}

// Behind a flush the worker may not have said yet that it has nothing to do.
inline bool rests(int cpu)
{
    return eventually([&] {
        own_segment now;
        return now.block(cpu).running == 0 && now.block(cpu).turn_since == 0;
    });
}

inline uint64_t side(const tally_counts &tally, busy_item::route way)
{
    return is_here(way) ? tally.here : tally.away;
}
