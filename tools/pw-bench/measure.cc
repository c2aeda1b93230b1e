// SPDX-License-Identifier: MIT
#include "measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>
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

double middle_mean(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    auto tenth = static_cast<ptrdiff_t>(values.size() / 10);
    auto first = values.begin() + tenth, last = values.end() - tenth;
    return std::accumulate(first, last, 0.0) / static_cast<double>(last - first);
}

void measure(std::vector<contender> &contenders, int repetitions, long pairs)
{
    for (int repetition = -1; repetition < repetitions; ++repetition)
        for (contender &each : contenders) {
            double sample =
                each.run(std::max(1L, static_cast<long>(static_cast<double>(pairs) / each.divisor)));
            if (repetition >= 0)
                each.samples.push_back(sample);
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
