// SPDX-License-Identifier: MIT
#include "measure.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>
#include <random>
#include <sched.h>
#include <stdexcept>
#include <sys/utsname.h>

namespace pw::bench {

double cycles_per_ns()
{
    using clock = std::chrono::steady_clock;
    static const double result = [] {
        auto began = clock::now();
        uint64_t first = cycles();
        while (clock::now() - began < std::chrono::milliseconds(50)) {
        }
        uint64_t last = cycles();
        double ns = std::chrono::duration<double, std::nano>(clock::now() - began).count();
        return static_cast<double>(last - first) / ns;
    }();
    return result;
}

summary summarize(std::vector<double> values)
{
    if (values.empty())
        return {NAN, NAN, NAN};
    std::sort(values.begin(), values.end());
    auto at = [&](double share) {
        double place = share * static_cast<double>(values.size() - 1);
        auto below = static_cast<size_t>(place);
        size_t above = std::min(below + 1, values.size() - 1);
        double part = place - static_cast<double>(below);
        return values[below] * (1 - part) + values[above] * part;
    };
    return {at(0.5), at(0.25), at(0.75)};
}

double percentile(const std::vector<double> &sorted, double share)
{
    auto place = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
    return sorted[std::max<size_t>(place, 1) - 1];
}

double middle_mean(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    auto tenth = static_cast<ptrdiff_t>(values.size() / 10);
    auto first = values.begin() + tenth, last = values.end() - tenth;
    return std::accumulate(first, last, 0.0) / static_cast<double>(last - first);
}

double counter_cost()
{
    static const double result = [] {
        std::vector<double> each(10'000);
        for (double &took : each) {
            uint64_t began = cycles();
            took = static_cast<double>(cycles() - began);
        }
        return middle_mean(std::move(each));
    }();
    return result;
}

void measure(std::vector<contender> &contenders, int repetitions, long pairs)
{
    std::vector<contender *> turns;
    for (contender &each : contenders)
        turns.push_back(&each);
    std::minstd_rand random;
    for (int repetition = -1; repetition < repetitions; ++repetition) {
        std::shuffle(turns.begin(), turns.end(), random);
        for (contender *each : turns) {
            double sample = each->run(std::max(1L, static_cast<long>(static_cast<double>(pairs) / each->divisor)));
            if (repetition >= 0)
                each->samples.push_back(sample);
        }
    }
}

std::vector<int> allowed_cpus()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        throw std::runtime_error(std::string("sched_getaffinity: ") + strerror(errno));
    std::vector<int> all;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set))
            all.push_back(cpu);
    return all;
}

void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        throw std::runtime_error("cannot run on CPU " + std::to_string(cpu) + ": " + strerror(errno));
}

two_cpus choose_two_cpus(const bench_options &options)
{
    std::vector<int> allowed = allowed_cpus();
    // The worker's is the last one: the first has the interrupts.
    auto another_than = [&](int taken) {
        auto found = std::find_if(allowed.rbegin(), allowed.rend(), [=](int each) { return each != taken; });
        if (found == allowed.rend())
            throw std::runtime_error("two CPUs are needed, one that calls and one that works; only CPU " +
                                     std::to_string(allowed.back()) + " is ours to run on");
        return *found;
    };
    int worker = options.other_cpu.value_or(another_than(options.cpu.value_or(-1)));
    return {options.cpu.value_or(another_than(worker)), worker};
}

std::vector<double> line_round_trips(two_cpus cpus, long calls, bool second_line)
{
    struct {
        alignas(128) std::atomic<long> question{0};
        alignas(128) std::atomic<long> answer{0};
    } lines;
    std::atomic<long> &question = lines.question, &answer = second_line ? lines.answer : lines.question;
    std::thread server = thread_on(cpus.worker, [&] {
        for (long i = 0; i < calls; ++i) {
            while (question.load(std::memory_order_acquire) != 2 * i + 1)
                relax();
            answer.store(2 * i + 2, std::memory_order_release);
        }
    });
    long i = 0;
    std::vector<double> took = time_calls(
        calls,
        [&] {
            question.store(2 * i + 1, std::memory_order_release);
            while (answer.load(std::memory_order_acquire) != 2 * i + 2)
                relax();
            ++i;
        },
        [] {});
    server.join();
    return took;
}

std::string processor_name()
{
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
            return line.substr(line.find(": ") + 2);
    return "unknown";
}

std::string kernel_name()
{
    utsname name = {};
    return uname(&name) == 0 ? std::string(name.sysname) + " " + name.release : "unknown";
}

} // namespace pw::bench
