// SPDX-License-Identifier: MIT
// Runs the protocol headers of src/ under the Relacy model checker: atomics with std::atomic's interface that
// explore what the C++ memory model allows. A model's own bookkeeping is in plain variables: Relacy runs all
// threads of a model in one, so these order nothing.
#pragma once

#include <atomic>
#include <cassert>
#include <cerrno>
#include <cstdint>
#include <iostream>
#include <streambuf>
#include <string_view>

// Relacy replaces these names by macros: not for us.
#pragma push_macro("assert")
#pragma push_macro("errno")
#include <relacy/relacy.hpp>
#pragma pop_macro("assert")
#pragma pop_macro("errno")
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free
#undef futex
#undef memory_order_relaxed
#undef memory_order_consume
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_acq_rel
#undef memory_order_seq_cst
#undef atomic_thread_fence

namespace model {

inline rl::memory_order order_of(std::memory_order order)
{
    switch (order) {
    case std::memory_order_relaxed:
        return rl::mo_relaxed;
    case std::memory_order_consume:
    case std::memory_order_acquire:
        return rl::mo_acquire;
    case std::memory_order_release:
        return rl::mo_release;
    case std::memory_order_acq_rel:
        return rl::mo_acq_rel;
    default:
        return rl::mo_seq_cst;
    }
}

template <typename T>
class atomic {
  public:
    atomic(T value = T()) : value_(value) {}
    atomic(const atomic &) = delete;
    atomic &operator=(const atomic &) = delete;

    T load(std::memory_order order) const { return value_.load(order_of(order), RL_INFO); }
    void store(T value, std::memory_order order) { value_.store(value, order_of(order), RL_INFO); }
    T exchange(T value, std::memory_order order) { return value_(RL_INFO).exchange(value, order_of(order)); }
    T fetch_add(T value, std::memory_order order)
    {
        return value_(RL_INFO).fetch_add(value, order_of(order));
    }
    T fetch_sub(T value, std::memory_order order)
    {
        return value_(RL_INFO).fetch_sub(value, order_of(order));
    }
    T fetch_or(T value, std::memory_order order) { return value_(RL_INFO).fetch_or(value, order_of(order)); }
    T fetch_and(T value, std::memory_order order)
    {
        return value_(RL_INFO).fetch_and(value, order_of(order));
    }

    bool compare_exchange_strong(T &expected, T value, std::memory_order success, std::memory_order failure)
    {
        return value_.compare_exchange_strong(expected, value, order_of(success), RL_INFO, order_of(failure),
                                              RL_INFO);
    }

    bool compare_exchange_weak(T &expected, T value, std::memory_order success, std::memory_order failure)
    {
        return value_.compare_exchange_weak(expected, value, order_of(success), RL_INFO, order_of(failure),
                                            RL_INFO);
    }

    // What the kernel compares: the newest value.
    T newest() { return value_(RL_INFO).fetch_add(0, rl::mo_relaxed); }

  private:
    rl::atomic<T> value_;
};

// The policy of src/atomics.h, and the two barriers that src/quiesce.h adds.
struct atomics {
    template <typename T>
    using atomic = model::atomic<T>;

    static void fence(std::memory_order order) { rl::atomic_thread_fence(order_of(order), RL_INFO); }
    static void enqueued() { fence(std::memory_order_seq_cst); }
    static void light_fence() { fence(std::memory_order_seq_cst); }
    static void heavy_fence() { fence(std::memory_order_seq_cst); }
};

// Lets the others run: in every loop that waits.
inline void pause()
{
    rl::yield(1, RL_INFO);
}

// What Relacy writes, up to a limit: it replaces operator new, so a stream that allocates must not come near
// it.
class report : public std::streambuf {
  public:
    report() { setp(text_, text_ + sizeof text_); }
    std::string_view text() const { return {text_, static_cast<size_t>(pptr() - text_)}; }

  protected:
    int overflow(int) override { return 0; } // the rest is dropped

  private:
    char text_[16000];
};

// Explores so many random interleavings of a model. Says on stdout what came out. As rl::simulate(), but
// without the schedulers that are not used here: they take most of the time to compile.
template <typename Suite>
bool holds(const char *name, unsigned iterations)
{
    using scheduler = rl::random_scheduler<Suite::params::thread_count>;
    static report text;
    std::ostream stream(&text);
    rl::test_params parameters;
    parameters.iteration_count = iterations;
    parameters.execution_depth_limit = 4000;
    parameters.output_stream = &stream;
    parameters.progress_stream = &stream;
    rl::ostringstream state, ignored;
    if (rl::run_test<Suite, scheduler>(parameters, state, false) == rl::test_result_success) {
        std::cout << name << ": holds in " << parameters.stop_iteration << " interleavings" << std::endl;
        return true;
    }
    // Once more, from the interleaving that failed, with its history.
    parameters.initial_state = state.str();
    parameters.collect_history = true;
    rl::run_test<Suite, scheduler>(parameters, ignored, true);
    std::cout << name << ": " << rl::test_result_str(parameters.test_result) << " in interleaving "
              << parameters.stop_iteration << "\n"
              << text.text() << std::endl;
    return false;
}

} // namespace model
