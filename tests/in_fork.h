// SPDX-License-Identifier: MIT
// Runs functions in a fork's child, bounded, with words of their own for what they expect; and what most of
// them do there.
#pragma once

#include "both.h"
#include "catch.h"
#include "on_cpu.h"
#include "settle.h"
#include "tasks.h"
#include "this_process.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <new>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

// In a fork's child, which has no use for Catch2: says what went wrong and gives up.
#define EXPECT(condition)                                                         \
    do {                                                                          \
        if (!(condition)) {                                                       \
            dprintf(STDERR_FILENO, "child: line %d: %s\n", __LINE__, #condition); \
            return 1;                                                             \
        }                                                                         \
    } while (false)

// Seconds that a child has.
inline constexpr unsigned child_limit = sanitized ? 120 : 60;

// What every child begins with.
inline void become_child()
{
    for (int number : {SIGABRT, SIGSEGV, SIGALRM, SIGTERM})
        signal(number, SIG_DFL);
    sigset_t none; // a worker's are blocked
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    alarm(child_limit);
}

inline int status_of(pid_t forked)
{
    int status = -1;
    while (waitpid(forked, &status, 0) != forked && errno == EINTR) {
    }
    return status;
}

// Runs a function in a child, which ends with what it returns; its wait status.
template <typename Function>
int in_fork_at_once(Function function)
{
    pid_t forked = fork();
    if (forked == 0) {
        become_child();
        _exit(function());
    }
    return status_of(forked);
}

template <typename Function>
int in_fork(Function function)
{
    let_threads_settle();
    return in_fork_at_once(function);
}

// Whether sanitizers leave a case possible; says why if not.
inline bool possible_with_threads()
{
    if (thread_sanitized)
        WARN("skipped: ThreadSanitizer does not support new threads in a fork's child");
    return !thread_sanitized;
}
inline bool possible_while_threads_start()
{
    if (sanitized && !thread_sanitized)
        WARN("skipped: AddressSanitizer's allocator may be locked when another thread forks");
    return possible_with_threads() && !sanitized;
}

// A number that parent and child share.
class shared_count {
  public:
    shared_count()
        : memory_(mmap(nullptr, sizeof(std::atomic<long>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0))
    {
        if (memory_ == MAP_FAILED)
            throw std::bad_alloc();
        new (memory_) std::atomic<long>(0);
    }
    ~shared_count() { munmap(memory_, sizeof(std::atomic<long>)); }
    shared_count(const shared_count &) = delete;
    shared_count &operator=(const shared_count &) = delete;

    std::atomic<long> &operator*() const { return *static_cast<std::atomic<long> *>(memory_); }

  private:
    void *memory_;
};

// Uses everything once, in a child: 0 if all went well.
inline int use_everything()
{
    // Nothing of the parent's runs here. The thread itself may be a copy of a worker.
    EXPECT(threads() == std::vector<pid_t>{gettid()});
    pthread_setname_np(pthread_self(), "child");
    for (int cpu : worker_cpus()) {
        int runs = 0;
        pid_t runner = 0;
        task item(cpu, [&] { ++runs; }), on_worker(cpu, [&] { runner = gettid(); });
        EXPECT(item.queue() == 1);
        EXPECT(on_worker.queue_to_worker() == 1);
        EXPECT(item.flush() == 0);
        EXPECT(on_worker.flush() == 0);
        EXPECT(runs == 1);
        EXPECT(runner == worker_thread(cpu));
    }
    per_cpu_memory<pw_lock_t> lock;
    int cpu = pw_lock_local(lock.get());
    EXPECT(lock.of(cpu).owner == static_cast<uint32_t>(gettid()));
    pw_unlock_local(lock.get(), cpu);
    EXPECT(pw_runtime_stop() == 0);
    // pthread_join() returns a moment before the kernel forgets the thread.
    EXPECT(eventually([] { return threads() == std::vector<pid_t>{gettid()}; }));
    return 0;
}

// Less than that, for many children.
inline int use_a_little()
{
    int runs = 0;
    task item(given_cpus.back(), [&] { ++runs; }), on_worker(given_cpus.front(), [&] { ++runs; });
    EXPECT(item.queue() == 1);
    EXPECT(item.flush() == 0);
    EXPECT(on_worker.queue_to_worker() == 1);
    EXPECT(on_worker.flush() == 0);
    EXPECT(runs == 2);
    EXPECT(pw_runtime_stop() == 0);
    EXPECT(item.queue() == -ESHUTDOWN);
    return 0;
}
