// SPDX-License-Identifier: MIT
// A whole small program: counts under every CPU's lock, through work for every CPU, and says what it found. Exit 0 if all counts
// are right.
#include <pwlocks/pwlocks.h>

#include <cstdio>

namespace {

struct counter {
    pw_lock_t lock;
    long value;
};
counter *counters; // per-CPU pointer

void add(pw_struct *work)
{
    int cpu = pw_get_cpu(work);
    pw_lock(&counters->lock, cpu);
    ++pw_per_cpu_ptr(counters, cpu)->value;
    pw_unlock(&counters->lock, cpu);
}

} // namespace

int main()
{
    counters = static_cast<counter *>(pw_alloc_percpu(sizeof(counter), alignof(counter)));
    if (!counters)
        return 2;
    constexpr long rounds = 100;
    long wrong = 0;
    std::printf("%s, from %s, cpus", pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue", pw_strategy_source());
    pw_for_each_cpu(cpu)
    {
        pw_struct item;
        INIT_PW(&item, add, cpu);
        for (long n = 0; n < rounds; ++n)
            wrong += pw_queue_on(cpu, nullptr, &item) != 1 || pw_flush(&item) != 0;
        wrong += pw_per_cpu_ptr(counters, cpu)->value != rounds;
        std::printf(" %d", cpu);
    }
    std::printf("\n");
    pw_free_percpu(counters);
    return wrong == 0 ? 0 : 1;
}
