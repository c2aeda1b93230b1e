// SPDX-License-Identifier: MIT
// A module that uses the runtime, for a program that does not know of it.
#include <pwlocks/pwlocks.h>

#include <thread>

namespace {

long runs;

void count(pw_struct *)
{
    ++runs;
}

} // namespace

extern "C" {
[[gnu::visibility("default")]] int plugin_use(int stop);

// Queues, flushes and locks, from this thread and from one of its own. 0, or the step that went wrong.
int plugin_use(int stop)
{
    int started = pw_runtime_start(nullptr);
    if (started != 0 && started != -EALREADY)
        return 1;
    auto *lock = static_cast<pw_lock_t *>(pw_alloc_percpu(sizeof(pw_lock_t), alignof(pw_lock_t)));
    int failed = 0;
    auto use = [&] {
        pw_for_each_cpu(cpu)
        {
            pw_struct item;
            INIT_PW(&item, count, cpu);
            long before = runs;
            if (pw_queue_on(cpu, nullptr, &item) != 1)
                failed = 2;
            if (pw_flush(&item) != 0)
                failed = 3;
            if (runs != before + 1)
                failed = 4;
            pw_lock(lock, cpu);
            if (pw_trylock(lock, cpu))
                failed = 5;
            pw_unlock(lock, cpu);
            int local = pw_lock_local(lock);
            pw_unlock_local(lock, local);
        }
    };
    use();
    std::thread(use).join();
    pw_free_percpu(lock);
    if (stop && pw_runtime_stop() != 0)
        failed = 6;
    return failed;
}
}
