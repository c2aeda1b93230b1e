// SPDX-License-Identifier: MIT
// Contended hand-overs: every holder lets go only when somebody waits, and takes the lock again only when
// somebody else has had it. So each acquisition hangs on the one before: a wake-up that is lost for good ends
// it. How many came so late that the waiter's timeout may have stood in for one is printed. Exit status 1 if
// a hand-over is missing or two threads were inside at once. Usage: stress_handover [HANDOVERS]
#include <pwlocks/pwlocks.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sched.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using clock_type = std::chrono::steady_clock;

struct shared_state {
    pw_lock_t *lock;
    int cpu;
    long wanted;
    // Written by the holder only.
    long plain = 0, late = 0, overlaps = 0;
    std::atomic<bool> inside{false};
    std::atomic<clock_type::time_point> released{};
    std::atomic<long> handovers{0};
    std::atomic<bool> over{false};
};

void take_turns(shared_state &state, int on, bool local)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(on, &set);
    sched_setaffinity(0, sizeof set, &set);
    pw_lock_t *instance = pw_per_cpu_ptr(state.lock, state.cpu);
    while (!state.over) {
        int cpu = state.cpu;
        if (local)
            cpu = pw_lock_local(state.lock);
        else
            pw_lock(state.lock, cpu);
        if (cpu != state.cpu) { // this CPU went offline
            pw_unlock_local(state.lock, cpu);
            local = false;
            continue;
        }
        state.overlaps += state.inside.exchange(true, std::memory_order_relaxed);
        ++state.plain;
        state.late += clock_type::now() - state.released.load(std::memory_order_relaxed) >
                      std::chrono::microseconds(190);
        long mine = state.handovers.fetch_add(1, std::memory_order_relaxed) + 1;
        if (mine >= state.wanted)
            state.over = true;
        while (!state.over && __atomic_load_n(&instance->waiters, __ATOMIC_RELAXED) == 0)
            sched_yield();
        state.inside.store(false, std::memory_order_relaxed);
        state.released.store(clock_type::now(), std::memory_order_relaxed);
        pw_unlock(state.lock, cpu);
        while (!state.over && state.handovers.load(std::memory_order_relaxed) == mine)
            sched_yield();
    }
}

} // namespace

int main(int argc, char **argv)
{
    shared_state state;
    state.wanted = argc > 1 ? atol(argv[1]) : 10'000'000;
    if (argc > 2 || state.wanted < 1) {
        fprintf(stderr, "usage: stress_handover [HANDOVERS]\n");
        return 2;
    }
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set))
            cpus.push_back(cpu);
    state.lock = static_cast<pw_lock_t *>(pw_alloc_percpu(sizeof(pw_lock_t), alignof(pw_lock_t)));
    if (!state.lock)
        return 1;
    state.cpu = cpus.back();
    state.released = clock_type::now();
    auto began = clock_type::now();
    std::vector<std::thread> threads;
    // Two on the lock's own CPU, one of them by its local call, and one on another if there is one.
    threads.emplace_back([&] { take_turns(state, cpus.back(), true); });
    threads.emplace_back([&] { take_turns(state, cpus.back(), false); });
    threads.emplace_back([&] { take_turns(state, cpus.front(), false); });
    for (std::thread &each : threads)
        each.join();
    double seconds = std::chrono::duration<double>(clock_type::now() - began).count();
    long handovers = state.handovers;
    bool complete = handovers >= state.wanted && state.plain == handovers && state.overlaps == 0;
    printf("strategy %s: %ld hand-overs, %.1f us each, %ld later than 190 us, %ld overlaps: %s\n",
           pw_strategy() == PW_STRATEGY_LOCK ? "lock" : "queue", handovers,
           seconds * 1e6 / static_cast<double>(handovers), state.late, state.overlaps,
           complete ? "complete" : "WRONG");
    return !complete;
}
