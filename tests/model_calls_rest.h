// SPDX-License-Identifier: MIT
// What the calls need of the rest of the library, for model_calls.h: nothing that they do in there is explored.
#pragma once

#include "model_calls_sources.h"
#include "model_rest.h"

namespace pw::detail {
stat::cpu_block &stat_segment::cpu(size_t index) const
{
    return explore::blocks[index];
}
void stat_segment::show_workqueue(size_t, const char *, bool, uint64_t) {}
void note_refusal() {}
int start_on_first_use()
{
    abort();
}
int possible_cpus()
{
    return explore::most_cpus;
}
int topology::pin(pthread_attr_t &, int) const
{
    abort();
}
caller *reserve_caller()
{
    abort();
}
void unreserve_caller(caller *) {}
void adopt_caller(caller *) {}
caller *register_caller()
{
    return this_thread.self;
}
void report(const char *, ...) {}
void run_function(pw_func_t run, pw_struct *item, const pw_workqueue *wq)
{
    pw_func_t outer = this_thread.function;
    const pw_workqueue *outer_wq = this_thread.wq;
    this_thread.function = run;
    this_thread.wq = wq;
    run(item);
    this_thread.function = outer;
    this_thread.wq = outer_wq;
}
void run_call(void (*function)(int, void *), int cpu, void *argument)
{
    function(cpu, argument);
}
void wait_until_claimant_left_slow(uint64_t state)
{
    model_wait([=] { return !claimant_is_inside(state); });
}
void wait_for_passages()
{
    using namespace explore;
    std::vector<uint64_t> then(most_threads);
    for (size_t i = 0; i < most_threads; ++i)
        then[i] = explore::callers[i].flag.now();
    model_wait([then] {
        for (size_t i = 0; i < most_threads; ++i)
            if (explore::callers[i].flag.still(then[i]))
                return false;
        return true;
    });
}
} // namespace pw::detail
bool pw::detail::start_heir(lane &, run_record &)
{
    return false; // no thread ends here
}
#undef this_thread
thread_local constinit pw::detail::thread_context pw::detail::this_thread;
__thread struct pw_detail_thread pw_detail_thread;

int pw_next_cpu(int cpu)
{
    return cpu + 1 < pw::detail::gate.cpus ? cpu + 1 : -1;
}

void *pw_alloc_percpu(size_t, size_t)
{
    return mmap(nullptr, PW_PERCPU_MAX * explore::most_cpus, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void model_point()
{
    if (explore::in_schedule)
        explore::threads->point();
}

static void model_wait(std::function<bool()> ready)
{
    if (explore::in_schedule)
        explore::threads->block_until(std::move(ready));
}

static void model_state(const void *word, uint64_t before, uint64_t after)
{
    if (explore::in_schedule)
        explore::state_changed(word, before, after);
}

// Time goes by with every look.
static int model_clock(timespec *time)
{
    explore::clock_now += 1000;
    *time = {0, static_cast<long>(explore::clock_now)};
    return 0;
}

static long model_syscall(long number, ...)
{
    va_list arguments;
    va_start(arguments, number);
    if (number == SYS_futex) {
        auto *word = va_arg(arguments, std::atomic<uint32_t> *);
        int operation = va_arg(arguments, int);
        uint32_t expected = va_arg(arguments, uint32_t);
        // Who sleeps until a time sleeps for a moment: that has come then.
        if (operation == FUTEX_WAIT_PRIVATE)
            model_wait([=] { return word->load() != expected; });
        else if (operation == FUTEX_WAIT_BITSET_PRIVATE)
            model_point();
    } else {
        model_point(); // a moment of sleep
    }
    va_end(arguments);
    return 0;
}
