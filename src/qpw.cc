// SPDX-License-Identifier: MIT
// The sections of include/pwlocks/qpw.h: which CPU's instance of which lock this thread took without being
// told the CPU. Everything is thread-local. A signal handler may come in anywhere: it leaves the stack as it
// found it, but writes over entries at and above `depth`.
#include "report.h"
#include "topology.h"

#include <atomic>
#include <unistd.h>

#include <pwlocks/qpw.h>

namespace {

struct section {
    pw_lock_t *lock;
    int cpu;
};
constexpr int most_sections = 16;

struct section_stack {
    section entries[most_sections];
    int depth;
};
thread_local constinit section_stack stack __attribute__((tls_model("initial-exec"))) = {};

// What is above was written before what is below, as far as this thread's signal handlers are concerned.
void before_handlers()
{
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

} // namespace

void qpw_section_enter_slow(pw_lock_t *lock, int cpu)
{
    if (stack.depth == most_sections)
        pw::detail::die("qpw: lock %p of cpu %d: more than %d sections at once",
                        static_cast<void *>(pw_per_cpu_ptr(lock, cpu)), cpu, most_sections);
    // Twice. Without the second: 1. we write the entry; 2. a handler enters a section at the same place, and leaves it; 3. we count the
    // handler's entry as ours. Without the first a handler may find what an earlier section has left there.
    section *entry = &stack.entries[stack.depth];
    *entry = {lock, cpu};
    before_handlers();
    ++stack.depth;
    before_handlers();
    *entry = {lock, cpu};
}

int qpw_section_leave_slow(pw_lock_t *lock)
{
    int place = stack.depth - 1;
    while (place >= 0 && stack.entries[place].lock != lock)
        --place;
    if (place < 0)
        pw::detail::die("qpw: lock %p: local unlock without a local lock by this thread",
                        static_cast<void *>(lock));
    int cpu = stack.entries[place].cpu;
    for (; place + 1 < stack.depth; ++place)
        stack.entries[place] = stack.entries[place + 1];
    before_handlers();
    --stack.depth;
    return cpu;
}

int qpw_section_cpu_slow(void)
{
    return stack.depth > 0 ? stack.entries[stack.depth - 1].cpu : pw_this_cpu();
}

void qpw_lockdep_assert_held_slow(pw_lock_t *lock)
{
    auto me = static_cast<uint32_t>(gettid());
    for (int cpu = 0; cpu < pw::detail::possible_cpus(); ++cpu)
        if (__atomic_load_n(&pw_per_cpu_ptr(lock, cpu)->owner, __ATOMIC_RELAXED) ==
            me) // relaxed: only our own id matters
            return;
    pw::detail::die("qpw_lockdep_assert_held: lock %p: thread %u does not hold it for any cpu",
                    static_cast<void *>(lock), me);
}
