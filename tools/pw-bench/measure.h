// SPDX-License-Identifier: MIT
// Cycles of short operations: contenders take turns, so that what disturbs the machine disturbs all of them
// alike.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace pw::bench {

// The time stamp counter, or the architecture's nearest relative.
inline uint64_t cycles()
{
#if defined(__x86_64__)
    unsigned processor;
    return __rdtscp(&processor); // waits for what is before it
#elif defined(__aarch64__)
    uint64_t now;
    __asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(now));
    return now;
#else
#error "no cycle counter is known for this architecture"
#endif
}

double cycles_per_ns();

// The short pause of a spinning thread.
inline void relax()
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

// Nothing is moved across it, and memory is what it says.
inline void compiler_barrier()
{
    __asm__ volatile("" ::: "memory");
}

struct summary {
    double median = 0, p25 = 0, p75 = 0;
};
summary summarize(std::vector<double> values);

// The mean of the middle four fifths: finer than the counter's steps, which a median is not, and blind to
// interruptions.
double middle_mean(std::vector<double> values);

// The least value that so large a share does not exceed, of values in ascending order.
double percentile(const std::vector<double> &sorted, double share);

// One way to do the job. run() does it so often and returns the cycles of one turn.
struct contender {
    std::string name;
    std::string group; // "own", "reference" or "peer"
    std::function<double(long pairs)> run = {};
    double divisor = 1;               // the share of the pairs that it does: slow ones do fewer
    std::vector<double> samples = {}; // cycles, one for each repetition
};

// All of them in every repetition, each time in another order: what one leaves behind, in caches and in how fast the machine runs
// now, must not always meet the same other one. One turn each before, not counted.
void measure(std::vector<contender> &contenders, int repetitions, long pairs);

// Cycles between two looks at the counter with nothing in between.
double counter_cost();

// Cycles of each call, the looks at the counter taken away; before each, what `settle` does. The counter may
// go in steps of some nanoseconds.
template <typename Call, typename Settle>
std::vector<double> time_calls(long calls, Call call, Settle settle)
{
    double cost = counter_cost();
    std::vector<double> each(static_cast<size_t>(calls));
    for (double &took : each) {
        settle();
        uint64_t began = cycles();
        call();
        took = std::max(0.0, static_cast<double>(cycles() - began) - cost);
    }
    return each;
}

// Cycles of one turn of a job, with everything inlined.
template <typename Job>
double time_job(long pairs, Job job)
{
    uint64_t began = cycles();
    for (long i = 0; i < pairs; ++i)
        job();
    return static_cast<double>(cycles() - began) / static_cast<double>(pairs);
}

// What every subcommand has.
struct bench_options {
    int repetitions = 15;
    std::optional<int> cpu, other_cpu;
    bool peers = true;
};

std::vector<int> allowed_cpus();
// Throws std::runtime_error.
void pin_to(int cpu);

// The CPU that calls and the one whose worker, or data, is called. Throws std::runtime_error if there is one
// only.
struct two_cpus {
    int caller, worker;
};
two_cpus choose_two_cpus(const bench_options &options);

// A thread on a CPU for the time of one turn.
template <typename Body>
std::thread thread_on(int cpu, Body body)
{
    return std::thread([cpu, body] {
        pin_to(cpu);
        body();
    });
}

// Cycles of each round trip between two CPUs: the caller writes a line and waits for the answer, on the same
// line or on a second one. By a thread that is on the caller's CPU.
std::vector<double> line_round_trips(two_cpus cpus, long calls, bool second_line);

std::string processor_name();
std::string kernel_name();

} // namespace pw::bench
