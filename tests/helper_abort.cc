// SPDX-License-Identifier: MIT
// Does what a program must not do, one way for each argument, and says so before; then it is the library's turn. Exit 3 if it went on.
#include <pwlocks/pwlocks.h>

#include <cstdio>
#include <cstring>
#include <pthread.h>
#include <sched.h>
#include <stdexcept>
#include <thread>
#include <unistd.h>

namespace {
pw_lock_t *lock; // per-CPU pointer
}

// Exported, so that the library can name them.
extern "C" {
[[gnu::visibility("default")]] void function_that_throws(pw_struct *);
[[gnu::visibility("default")]] void function_that_throws_a_number(pw_struct *);
[[gnu::visibility("default")]] void function_that_locks_twice(pw_struct *);
[[gnu::visibility("default")]] void function_that_ends_its_thread(pw_struct *);

void function_that_throws(pw_struct *)
{
    throw std::runtime_error("something\nelse");
}

void function_that_throws_a_number(pw_struct *)
{
    throw 42;
}

void function_that_locks_twice(pw_struct *work)
{
    pw_lock(lock, pw_get_cpu(work));
    pw_lock(lock, pw_get_cpu(work));
}

void function_that_ends_its_thread(pw_struct *)
{
    pthread_exit(nullptr);
}
}

namespace {

void announce(int cpu)
{
    std::printf("cpu %d thread %d lock %p\n", cpu, static_cast<int>(gettid()),
                static_cast<void *>(pw_per_cpu_ptr(lock, cpu)));
    std::fflush(stdout);
}

void run(pw_func_t function, int cpu)
{
    pw_struct item;
    INIT_PW(&item, function, cpu);
    announce(cpu);
    pw_queue_on(cpu, nullptr, &item);
    pw_flush(&item);
}

int stay_here()
{
    int cpu = sched_getcpu();
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<size_t>(cpu), &set);
    sched_setaffinity(0, sizeof set, &set);
    return cpu;
}

} // namespace

int main(int count, char **arguments)
{
    if (count != 2)
        return 2;
    const char *what = arguments[1];
    lock = static_cast<pw_lock_t *>(pw_alloc_percpu(sizeof(pw_lock_t), alignof(pw_lock_t)));
    int cpu = 0;
    pw_for_each_cpu(each) cpu = each;
    if (strcmp(what, "lock") == 0) {
        announce(cpu);
        pw_lock(lock, cpu);
        pw_lock(lock, cpu);
    } else if (strcmp(what, "lock-local") == 0) {
        announce(stay_here());
        pw_lock_local(lock);
        pw_lock_local(lock);
    } else if (strcmp(what, "lock-in-work") == 0) {
        run(function_that_locks_twice, cpu);
    } else if (strcmp(what, "throw") == 0) {
        run(function_that_throws, cpu);
    } else if (strcmp(what, "throw-number") == 0) {
        run(function_that_throws_a_number, cpu);
    } else if (strcmp(what, "thread-exit") == 0) {
        std::thread([cpu] { run(function_that_ends_its_thread, cpu); }).join();
    } else if (strcmp(what, "lock-out-of-range") == 0) {
        announce(0);
        pw_lock(lock, pw_nr_cpus());
    } else {
        return 2;
    }
    return 3;
}
