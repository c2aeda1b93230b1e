// SPDX-License-Identifier: MIT
// Cycles of short operations: contenders take turns, so that what disturbs the machine disturbs all of them
// alike.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
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

// One way to do the job. run() does it so often and returns the cycles of one turn.
struct contender {
    std::string name;
    std::string group; // "own", "reference" or "peer"
    std::function<double(long pairs)> run;
    double divisor = 1;               // the share of the pairs that it does: slow ones do fewer
    std::vector<double> samples = {}; // cycles, one for each repetition
};

// All of them, round robin: repetition 1 of each, then repetition 2. One turn each before, not counted.
void measure(std::vector<contender> &contenders, int repetitions, long pairs);

// Cycles of one turn of a job, with everything inlined.
template <typename Job>
double time_job(long pairs, Job job)
{
    uint64_t began = cycles();
    for (long i = 0; i < pairs; ++i)
        job();
    return static_cast<double>(cycles() - began) / static_cast<double>(pairs);
}

std::vector<int> allowed_cpus();
// Throws std::runtime_error.
void pin_to(int cpu);

std::string processor_name();
std::string kernel_name();

} // namespace pw::bench
